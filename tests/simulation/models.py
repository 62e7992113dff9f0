"""The services: S3, DynamoDB and a per-record sink, with their faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson
from isal import igzip

from aetherstream.delivery.dynamodb import from_item, to_item
from aetherstream.delivery.pending import Pending
from aetherstream.delivery.progress import Progress
from aetherstream.delivery.put import Head, PreconditionFailed
from aetherstream.delivery.reader import Listed
from aetherstream.errors import Rejected, Retryable
from aetherstream.records import OF_EVENTS, Event, sortable
from aetherstream.sinks.base import Answer, Documents, Outcome
from aetherstream.testing.builders import START, decompressed
from aetherstream.testing.stores import MemoryObjects, MemoryProgress
from tests.simulation.faults import AT_BULK, AT_PUT, AT_READ, AT_WRITE, Fault
from tests.simulation.world import World

BUCKET = "bucket"
QUARANTINE = "quarantine"
SPILL = "spill"
LOGS = ".aggregates"
REFOLDED = "simulated/refolded"
_DOWN = "down"
_PARTLY = "crashed when redriven"
"""Such a record stands in the quarantine whole, also where a filtered redrive had delivered a part of it."""


class Objects(MemoryObjects):
    """S3: conditional puts, answers that get lost, puts that land late. Watches that nothing is there twice."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=lambda: world.now + START)
        self.replaying = False
        """Whether what stands in the quarantine may stand in a sink too: its replay leaves it there."""
        self.on_put: Callable[[str], None] = lambda key: None
        """Called with the key of every put that was made."""
        self._world = world
        self._held: dict[str, Sequence[tuple[str, str]]] = {}
        self._events: Counter[tuple[str, str]] = Counter()
        self._by_record: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        """See `ObjectStore.put`."""
        held = _contents(key, body)

        def act() -> None:
            super(Objects, self).put(bucket, key, body, metadata, if_match=if_match)
            self._watch(key, held)
            self.on_put(key)

        condition = "if none" if if_match is None else f"if {if_match[1:5]}"
        what = f"put {key} {condition}, epoch {metadata.get('aether-epoch')}: {' '.join(name for _, name in held)}"
        self._world.effect(what, act, AT_PUT)

    def head(self, bucket: str, key: str, /) -> Head | None:
        """See `ObjectStore.head`."""
        return self._world.effect(f"head {key}", lambda: super(Objects, self).head(bucket, key), AT_READ)

    def list(self, bucket: str, prefix: str, /) -> Iterator[Listed]:
        """See `ObjectReader.list`."""
        return iter(self._world.effect(f"list {prefix}", lambda: [*super(Objects, self).list(bucket, prefix)], AT_READ))

    def get(self, bucket: str, key: str, /) -> bytes | None:
        """See `ObjectReader.get`."""
        return self._world.effect(f"get {key}", lambda: super(Objects, self).get(bucket, key), AT_READ)

    def delete(self, bucket: str, key: str, if_match: str | None) -> None:
        """Delete the object if its ETag is `if_match` (None: if there is none). Only broken engines do."""

        def act() -> None:
            stored = self.objects.get((bucket, key))
            if (stored.etag if stored else None) != if_match:
                raise PreconditionFailed
            self.objects.pop((bucket, key), None)
            self._watch(key, [])

        self._world.effect(f"delete {key}", act, AT_PUT)

    def _watch(self, key: str, held: Sequence[tuple[str, str]]) -> None:
        sink = key.split("/", 1)[0]
        for stage, name in self._held.get(key, []):
            self._count(sink, stage, name, -1)
        self._held[key] = held
        for stage, name in held:
            self._count(sink, stage, name, 1)
        for _, name in held:
            record = ":".join(name.split(":")[:2])
            if self._events[sink, name] > 1:
                self._world.violate(f"doubled: {name} stands twice in {sink}")
            if self.replaying:
                continue
            if self._by_record[name] and self._refused[name]:
                self._world.violate(f"doubled: {name} stands in the quarantine and in a sink")
            if self._by_record[record] and self._refused[record]:
                self._world.violate(f"doubled: {record} stands in the quarantine and in a sink")

    def _count(self, sink: str, stage: str, name: str, by: int) -> None:
        self._events[sink, name] += by
        if sink == QUARANTINE:
            self._refused[name] += 0 if stage == _PARTLY else by
            return
        parts = name.split(":")
        for user_record in (":".join(parts[:2]), ":".join(parts[:3])):
            self._by_record[user_record] += by


class Overwritten(Objects):
    """S3 as `at_least_once` uses it: puts without a condition."""

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /) -> None:
        """See `ObjectStore.overwrite`."""

        def act() -> None:
            super(Overwritten, self).overwrite(bucket, self.named(key), body, metadata)

        self._world.effect(f"overwrite {key}: {' '.join(name for _, name in _contents(key, body))}", act, AT_WRITE)

    def named(self, key: str) -> str:
        """The name that the object gets; a broken store changes it."""
        return key


@lru_cache(maxsize=4096)
def held_lines(body: bytes) -> list[dict[str, Any]]:
    """The lines of an object; many attempts write the same bytes."""
    text = igzip.decompress(body) if body[:2] == b"\x1f\x8b" else decompressed(body)  # type: ignore[no-untyped-call]
    return [orjson.loads(line) for line in text.splitlines()]


def _contents(key: str, body: bytes) -> list[tuple[str, str]]:
    """What an object holds, as (stage, event id or user record). Refusals of single events don't count here."""
    if key.startswith((LOGS, REFOLDED)):
        return []
    if key.startswith(QUARANTINE):
        redriven = "-redrive-" in key
        whole = [line for line in held_lines(body) if line["stage"] not in OF_EVENTS]
        return [(_PARTLY if redriven and line["stage"] == "crashed" else line["stage"], line["id"]) for line in whole]
    lines = (line["event"] if key.startswith(SPILL) else line for line in held_lines(body))
    return [("", line["_event_id"]) for line in lines]


class Table(MemoryProgress):
    """DynamoDB's conditional writes; now and then an item goes through its attribute values and back."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.settled: set[str] = set()
        """Names of the Kinesis records that attempts have completed."""
        self.judged: dict[str, float | None] = {}
        """By their names: the event time that the shard had committed when the attempt that completed them claimed."""
        self.commits: dict[str, Pending] = {}
        """By their names: the commit that has what they add to the aggregates."""
        self.numbers: set[tuple[str, int]] = set()
        """Every commit of aggregates, by item and number."""
        self._claimed: dict[tuple[str, int], float | None] = {}

    def write(self, item: Progress, /) -> Progress | None:
        """See `ProgressStore.write`."""
        keys = list(item.open)
        self._world.rng.shuffle(keys)
        sent = replace(item, open={key: item.open[key] for key in keys})
        if self._world.rng.random() < 0.1 and from_item(to_item(item)) != item:
            self._world.violate(f"{item} came back as {from_item(to_item(item))}")
        attempt = item.attempt
        what = (
            f"write r{item.revision} e{item.epoch} completed={item.completed or '-'} open={len(item.open)} "
            f"start={attempt.start} size={attempt.size} killed={attempt.killed}/{attempt.alone} ended={attempt.ended}"
        )
        attempt_now = self._world.current

        def act() -> Progress | None:
            before = self.items.get(sent.key)
            answer = super(Table, self).write(sent)
            if answer is None:
                self._watch(before or Progress(sent.key), sent)
                if attempt_now is not None and not attempt_now.redrives:
                    self._settle(sent, before or Progress(sent.key), attempt_now.sequences)
            return answer

        return self._world.effect(what, act, AT_WRITE, progress=True)

    def _watch(self, before: Progress, item: Progress) -> None:
        if item.epoch > before.epoch:
            self._claimed[item.key, item.epoch] = item.event_time
        if item.pending is not None and item.pending != before.pending:
            self.numbers.add((item.key, item.pending.commit))
        if before.event_time is not None and (item.event_time is None or item.event_time < before.event_time):
            self._world.violate(f"other: the event time of {item.key} goes back")

    def _settle(self, item: Progress, before: Progress, names: list[str]) -> None:
        """Note which records an attempt has settled: those of its batch that the mark has passed."""
        if item.completed > before.completed:
            ends = {name: sortable(name.rpartition(":")[2]) for name in names}
            passed = [name for name, at in ends.items() if before.completed < at <= item.completed]
            self.settled.update(passed)
            self.judged.update(dict.fromkeys(passed, self._claimed[item.key, item.epoch]))
            if item.pending is not None and item.pending != before.pending:
                self.commits.update(dict.fromkeys(passed, item.pending))


class Search:
    """A per-record sink that takes documents in bulk requests of three and may do a part of each."""

    def __init__(self, world: World) -> None:
        self.name = "search"
        self.documents: dict[str, Event] = {}
        self.down_until = 0.0
        """While it is down, it takes nothing."""
        self.refusing = False
        """Whether it refuses every request then, or merely fails."""
        self._world = world

    def deliver(self, documents: Documents, seconds: float, /) -> Outcome:
        """See `RecordSink.deliver`."""
        outcome = Outcome()
        items = list(zip(documents.ids, documents.bodies, strict=True))
        for start in range(0, len(items), 3):
            bulk = {document_id: orjson.loads(line) for document_id, line in items[start : start + 3]}
            why = "throttled"
            try:
                self._request(bulk, outcome)
            except Retryable as error:
                why = str(error)
                outcome.undelivered.update(dict.fromkeys(bulk, why))
                for document_id in bulk:
                    outcome.rejected.pop(document_id, None)
            failed = len(bulk.keys() & outcome.undelivered)
            refused = self.refusing and why == _DOWN
            outcome.answers.append(Answer(len(bulk), failed, why if failed else "", refused))
        return outcome

    def _request(self, bulk: Mapping[str, Event], outcome: Outcome) -> None:
        if self.is_down():
            raise Retryable(_DOWN)
        self._world.effect(f"bulk {' '.join(bulk)}", lambda: self._store(bulk, outcome), AT_BULK)

    def is_down(self) -> bool:
        """Whether it takes nothing now."""
        return self._world.now < self.down_until and not self._world.calm

    def _store(self, bulk: Mapping[str, Event], outcome: Outcome) -> None:
        for document_id, document in bulk.items():
            if self._world.draw(frozenset({Fault.PARTIAL})):
                self._world.note(document_id, Fault.PARTIAL)
                outcome.undelivered[document_id] = "throttled"
            elif self._refuses(document_id, document):
                outcome.rejected[document_id] = Rejected("mapping conflict", document_id)
            else:
                self.documents.setdefault(document_id, dict(document))

    def _refuses(self, document_id: str, document: Event) -> bool:
        if flaky := self._world.draw(frozenset({Fault.FLAKY})):
            self._world.note(document_id, flaky)
        return bool(flaky) or document["do"] == "conflict"
