"""An engine around stores in memory, and readers of what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aetherstream.aggregates.aggregate import expressions
from aetherstream.aggregates.columns import ColumnReader
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.partials import results
from aetherstream.aggregation import Aggregation
from aetherstream.core import Core, Decode, Transforming
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.commits import Commits, Logs
from aetherstream.delivery.aggregates.results import merged
from aetherstream.delivery.ledger import Ledger, Unledgered
from aetherstream.delivery.progress import Progress, progress_key
from aetherstream.engine import Engine
from aetherstream.quarantine import Quarantine
from aetherstream.record_delivery import Standby
from aetherstream.records import Event, Events, KinesisRecords, Rejection
from aetherstream.report import Report
from aetherstream.sinks.base import ObjectSink, RecordSink
from aetherstream.sinks.s3 import S3Archive, by_field
from aetherstream.testing.builders import SHARD, STREAM, JsonLists, event_ids_of, kinesis_records, written
from aetherstream.testing.states import MemoryStates, MemoryWindows
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress

NOW = 1_763_712_000.0
KEY = progress_key("flights", STREAM, SHARD)


class Steps:
    """`Transforming` that obeys the events: `do` is drop, reject or split."""

    def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
        made = Events(nths=[])
        nths: list[int] = []
        dropped = 0
        for value, record, sub in zip(events.values, events.records, events.subs, strict=True):
            do = value.get("do")
            if do == "reject":
                rejections.append(Rejection(record, sub, "transform", "transforms[0]", "refused", f"refused {value}"))
                continue
            copies = {"drop": [], "split": [{**value, "half": 0}, {**value, "half": 1}]}.get(do or "", [value])
            dropped += not copies
            for nth, copy in enumerate(copies):
                made.values.append(copy)
                made.records.append(record)
                made.subs.append(sub)
                nths.append(nth)
        events.values, events.records, events.subs, events.nths = made.values, made.records, made.subs, nths
        return dropped


def archive(**changes: Any) -> S3Archive:
    return S3Archive("archive", **{"bucket": "data", "prefix": "archive", "partition": [by_field("p")], **changes})


@dataclass
class Bench:
    """One pipeline in memory; `engine()` is a process of it."""

    sinks: Sequence[ObjectSink] = field(default_factory=lambda: [archive()])
    record_sinks: Sequence[RecordSink] = ()
    standbys: Mapping[str, Standby] = field(default_factory=dict)
    decoder: Decode = field(default_factory=JsonLists)
    transform: Transforming | None = field(default_factory=Steps)
    core: Mapping[str, Any] = field(default_factory=dict)
    """More of the core's parts."""
    objects: Any = field(default_factory=MemoryObjects)
    progress: Any = field(default_factory=MemoryProgress)
    ledgered: bool = True
    declarations: Sequence[Declaration] = ()
    """Of aggregates; their states are in `states` and `windows`."""
    states: MemoryStates = field(default_factory=MemoryStates)
    windows: MemoryWindows = field(default_factory=MemoryWindows)
    most_inline: int = 4096
    processes: int = 0

    def engine(self, version: str = "v1") -> Engine:
        self.processes += 1
        return Engine(
            "flights",
            Core(self.decoder, sinks=self.sinks, transform=self.transform, columns=self._reader(), **self.core),
            store=self.objects,
            ledger=Ledger(self.progress, f"p{self.processes}") if self.ledgered else Unledgered(),
            quarantine=Quarantine(bucket="data", prefix="quarantine", pipeline="flights"),
            record_sinks=self.record_sinks,
            standbys=self.standbys,
            aggregation=self.aggregation(),
            executor=InlineExecutor(),
            version=lambda: version,
        )

    def _reader(self) -> ColumnReader | None:
        aggregates = [one.aggregate for one in self.declarations]
        return ColumnReader(expressions(aggregates)) if aggregates else None

    def aggregation(self) -> Aggregation | None:
        """That of a process of its own."""
        aggregates = [one.aggregate for one in self.declarations]
        stores = Stores(self.states, self.windows)

        def commits(stream: str) -> Commits:
            logs = Logs(self.objects, self.objects, "data", f"logs/{stream}", self.most_inline)
            return Commits(f"flights#{stream}", aggregates, stores, logs, now=lambda: NOW)

        archives = [sink.name for sink in self.sinks]
        return Aggregation(self.declarations, commits, archives) if aggregates else None

    def results(self) -> dict[tuple[str, str, str], Any]:
        """By aggregate, window and group: the results, merged over the shards."""
        by_name = {one.name: one.aggregate for one in self.declarations}
        found = {}
        for place in dict.fromkeys(item.place for item in self.states.items.values()):
            aggregate = by_name[place.key.aggregate]
            for result in merged(aggregate, self.states.group(place)):
                found[aggregate.name, result.window.id, place.key.group] = results(aggregate, result.accs)
        return found

    def run(self, payloads: Sequence[object], **changes: Any) -> Report:
        return process(self.engine(), kinesis_records(payloads, **changes))

    @property
    def archived(self) -> dict[str, list[Event]]:
        return written(self.objects, "data", "archive")

    @property
    def quarantined(self) -> list[Event]:
        return [line for held in written(self.objects, "data", "quarantine").values() for line in held]

    @property
    def spilled(self) -> list[Event]:
        return [line for held in written(self.objects, "data", "spill").values() for line in held]

    @property
    def ids(self) -> list[str]:
        """Event ids in the archive, without the shard, sorted."""
        return sorted(event_id.removeprefix(f"{SHARD}:") for event_id in event_ids_of(self.archived))

    @property
    def item(self) -> Progress:
        found: Progress = self.progress.items[KEY]
        return found


def process(engine: Engine, batch: KinesisRecords, seconds_left: Callable[[], float] = lambda: 900.0) -> Report:
    return engine.process(batch, seconds_left)


def counted(report: Report) -> dict[str, int]:
    """The counts of a report that are not 0."""
    names = ("records_in", "passed", "quarantined", "dropped", "settled", "left")
    return {name: getattr(report, name) for name in names if getattr(report, name)}
