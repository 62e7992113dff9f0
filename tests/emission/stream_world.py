"""A stream, what its shards have committed, and the closer over them; the state table with its emitter below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aetherstream.aggregates.aggregate import Key
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.partials import Partial
from aetherstream.delivery.aggregates.commits import Commits, Logs
from aetherstream.delivery.aggregates.watermark import advanced
from aetherstream.delivery.progress import Attempt, Progress, progress_key
from aetherstream.emission.clock import Clocks
from aetherstream.emission.closer import Closer
from aetherstream.emission.report import Closing
from aetherstream.emission.shards import StreamShards
from aetherstream.records import sortable
from aetherstream.testing.builders import STREAM
from aetherstream.testing.kinesis import FakeKinesis, StoredRecord
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from tests.emission.world import OWNER, World


class CountedKinesis(FakeKinesis):
    """A stream that counts who is asked for records."""

    def __init__(self, shards: int) -> None:
        super().__init__(shards)
        self.asked: list[str] = []
        self.failing: Exception | None = None

    def get_records(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request["ShardIterator"].split("/")[0])
        if self.failing is not None:
            raise self.failing
        return super().get_records(**request)


class StreamWorld(World):
    """Shards by their numbers."""

    def __init__(self, *declarations: Declaration, shards: int = 2, **more: Any) -> None:
        super().__init__(*declarations, **more)
        self.kinesis = CountedKinesis(shards)
        self.progress = MemoryProgress()
        self.objects = MemoryObjects()
        self.closing = self.closer()
        self.function = self.commits()

    @property
    def ids(self) -> list[str]:
        return sorted(self.kinesis.shards)

    def key(self, shard: str) -> str:
        return progress_key("flights", STREAM, shard)

    def item(self, number: int) -> Progress:
        key = self.key(self.ids[number])
        return self.progress.items.get(key, Progress(key))

    def keep(self, number: int, **changes: Any) -> None:
        """Change the progress item of a shard."""
        item = self.item(number)
        self.progress.items[item.key] = replace(item, revision=item.revision + 1, **changes)

    def arrive(self, number: int, count: int = 1) -> None:
        """Records come that nobody has taken."""
        records = self.kinesis.shards[self.ids[number]].records
        for _ in range(count):
            sequence = str(1000 + len(records))
            records.append(StoredRecord(sequence, b"", "k", None, datetime.fromtimestamp(self.now, UTC)))

    def commit(
        self,
        number: int,
        parts: Mapping[Key, Partial] | None = None,
        time: float | None = None,
        *,
        folds: bool = True,
    ) -> None:
        """The stream function takes everything that waits in a shard. `folds` False: it is killed before it folds."""
        self.arrive(number)
        shard, item = self.ids[number], self.item(number)
        last = self.kinesis.shards[shard].records[-1].sequence
        pending, commit = item.pending, item.commit
        if parts:
            self.function.fold(shard, item.pending)
            commit = item.commit + 1
            pending = self.function.log(shard, commit, commit, parts)
        self.keep(
            number,
            completed=sortable(last),
            completed_arrival=int(self.now * 1000),
            commit=commit,
            pending=pending,
            event_time=advanced(item.event_time, time),
        )
        if parts and folds:
            self.function.fold(shard, pending)

    def claim(self, number: int) -> None:
        """An attempt is at work, or was killed."""
        self.keep(number, attempt=Attempt("x", 1, "p", ended=False))

    def commits(self) -> Commits:
        aggregates = [one.aggregate for one in self.declarations]
        logs = Logs(self.objects, self.objects, "b", "logs")
        return Commits(OWNER, aggregates, self.stores, logs, now=lambda: self.now)

    def clocks(self) -> Clocks:
        shards = StreamShards(self.kinesis, STREAM)  # type: ignore[arg-type]
        return Clocks("flights", STREAM, shards, self.progress, InlineExecutor(), now=lambda: self.now)

    def closer(self) -> Closer:
        """A cold one."""
        return Closer(
            OWNER,
            self.declarations,
            self.stores,
            self.outlets,
            self.commits(),
            self.clocks(),
            now=lambda: self.now,
        )

    def close(self, upto: float | None = None) -> Closing:
        return self.closing.run(lambda: self.left, upto)
