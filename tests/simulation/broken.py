"""Engines with one part of the protocol left out: each has to be caught, or the checks prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aetherstream.delivery.ledger import Ledger, Opening
from aetherstream.delivery.progress import Attempt, Progress
from aetherstream.engine import Delivered, Engine, SecondsLeft
from aetherstream.errors import Superseded
from aetherstream.plan import Plan, PlannedObject, Planner
from aetherstream.records import KinesisRecords, sortable
from aetherstream.report import Report
from tests.simulation.run import Simulation, Variant, parts


class _Overwriting:
    """A store of which every put goes through."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.head = inner.head

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        stored = self._inner.objects.get((bucket, key))
        self._inner.put(bucket, key, body, metadata, if_match=stored.etag if stored else None)


class _KeyedByBatch(Planner):
    """Keys from the batch's first record instead of the object's own first event."""

    def plan(self, batch: KinesisRecords, prepared: Any) -> Plan:
        plan = super().plan(batch, prepared)
        for planned in plan.objects:
            head, _, tail = planned.key.rpartition(f"{batch.shard}-")
            suffix = tail.partition(".")[2]
            planned.key = f"{head}{batch.shard}-{sortable(batch.sequences[0])}-000000.{suffix}"
        return plan


class _EmptiesNothing(Engine):
    def _empty_what_was_left(self, *_: Any) -> None:
        return


class _KnowsNoVersions(Engine):
    def _empty_what_was_left(self, opening: Opening, claim: Progress, plan: Plan, puts: Any, *rest: Any) -> None:
        report: Report = rest[-1]
        same = {key: replace(noted, version=report.version) for key, noted in opening.item.open.items()}
        super()._empty_what_was_left(replace(opening, item=replace(opening.item, open=same)), claim, plan, puts, *rest)


class _EmptiesAfterwards(Engine):
    """Puts first, and empties what was left when that is done."""

    def _empty_what_was_left(self, *args: Any) -> None:
        self._later = args

    def _put(self, *args: Any) -> None:
        super()._put(*args)
        super()._empty_what_was_left(*self._later)


class _CompletesFirst(Engine):
    def _empty_what_was_left(self, opening: Opening, claim: Progress, plan: Plan, puts: Any, *rest: Any) -> None:
        batch, end = self._batch, plan.prepared.end
        self._ledger.complete(claim, sortable(batch.sequences[end - 1]), int(batch.arrivals[end - 1] * 1000), {})
        super()._empty_what_was_left(opening, claim, plan, puts, *rest)

    def process(self, batch: KinesisRecords, seconds_left: SecondsLeft) -> Report:
        self._batch = batch
        return super().process(batch, seconds_left)


class _ReportsTheNextRecord(Engine):
    def process(self, batch: KinesisRecords, seconds_left: SecondsLeft) -> Report:
        report = super().process(batch, seconds_left)
        if report.failed_from:
            index = batch.sequences.index(report.failed_from) + 1
            report.failed_from = batch.sequences[index] if index < len(batch) else None
        return report


class _IgnoresWhatIsUndelivered(Engine):
    def _deliver_records(self, plan: Plan, report: Report, seconds_left: SecondsLeft) -> Delivered:
        delivered = super()._deliver_records(plan, report, seconds_left)
        delivered.end = None
        return delivered


class _CutsNothing(Engine):
    """Puts every event that was prepared, also behind the prefix."""

    def _cut(self, plan: Plan, end: int) -> list[tuple[PlannedObject, list[int]]]:
        cut = super()._cut(plan, end)
        return [(planned, planned.members) for planned, _ in cut]


class _NotesNothing(Ledger):
    def claim(self, opening: Opening, keys: Mapping[str, str], version: str) -> Progress | None:
        return super().claim(opening, {}, version)


class _NotesOnlyWhatIsNew(Ledger):
    """Forgets the keys of earlier attempts at a claim."""

    def claim(self, opening: Opening, keys: Mapping[str, str], version: str) -> Progress | None:
        return super().claim(replace(opening, item=replace(opening.item, open={})), keys, version)


class _KnowsNoEpochs(Ledger):
    def claim(self, opening: Opening, keys: Mapping[str, str], version: str) -> Progress | None:
        claim = super().claim(opening, keys, version)
        return None if claim is None else replace(claim, epoch=1)

    def complete(self, claimed: Progress, completed: str, arrival: int, counters: Mapping[str, int]) -> Progress:
        return super().complete(replace(claimed, epoch=self._epoch_of(claimed)), completed, arrival, counters)

    def _epoch_of(self, claimed: Progress) -> int:
        known = self._known.get(claimed.key)
        return known.epoch if known else claimed.epoch


class _NeverSuperseded(Ledger):
    """Completes also under a newer epoch."""

    def complete(self, claimed: Progress, completed: str, arrival: int, counters: Mapping[str, int]) -> Progress:
        try:
            return super().complete(claimed, completed, arrival, counters)
        except Superseded:
            return super().complete(self._known[claimed.key], completed, arrival, counters)


class _SettlesNothing(Ledger):
    """Delivers again what is settled."""

    def _opening(self, item: Progress, sequences: Sequence[str]) -> Opening:
        return super()._opening(replace(item, completed=""), sequences)


class _NeverIsolates(Ledger):
    def _opening(self, item: Progress, sequences: Sequence[str]) -> Opening:
        opening = super()._opening(replace(item, attempt=Attempt()), sequences)
        return replace(opening, item=item)


def _engine(kind: type[Engine]) -> Variant:
    return lambda simulation, name, version: kind(**parts(simulation, name, version))


def _ledger(kind: type[Ledger]) -> Variant:
    def make(simulation: Simulation, name: str, version: str) -> Engine:
        return Engine(**{**parts(simulation, name, version), "ledger": kind(simulation.table, name)})

    return make


def _planner(kind: type[Planner]) -> Variant:
    def make(simulation: Simulation, name: str, version: str) -> Engine:
        made = parts(simulation, name, version)
        engine = Engine(**made)
        engine._planner = kind(made["core"], made["quarantine"])
        return engine

    return make


def _unconditional(simulation: Simulation, name: str, version: str) -> Engine:
    made = parts(simulation, name, version)
    return Engine(**{**made, "store": _Overwriting(made["store"])})


class _EpochOnlyInMetadata:
    """A sink whose bytes are the same in every epoch."""

    def __init__(self, inner: Any) -> None:
        self.name, self.target, self.max_partitions = inner.name, inner.target, inner.max_partitions
        self.partition: Callable[..., Any] = inner.partition
        self.encode: Callable[[bytes, int], bytes] = lambda lines, _: inner.encode(lines, 1)


def _epoch_in_metadata(simulation: Simulation, name: str, version: str) -> Engine:
    made = parts(simulation, name, version)
    sinks = [_EpochOnlyInMetadata(sink) for sink in simulation.shape.object_sinks()]
    return Engine(**{**made, "core": simulation.shape.core(version, simulation.world, sinks)})


BROKEN: dict[str, Variant] = {
    "keys by the batch": _planner(_KeyedByBatch),
    "unconditional puts": _unconditional,
    "no epochs": _ledger(_KnowsNoEpochs),
    "nothing is emptied": _engine(_EmptiesNothing),
    "emptied after the puts": _engine(_EmptiesAfterwards),
    "no version rule": _engine(_KnowsNoVersions),
    "completion before the puts": _engine(_CompletesFirst),
    "the response names the next record": _engine(_ReportsTheNextRecord),
    "undelivered documents are ignored": _engine(_IgnoresWhatIsUndelivered),
    "objects reach beyond the prefix": _engine(_CutsNothing),
    "no keys are noted": _ledger(_NotesNothing),
    "a claim forgets older keys": _ledger(_NotesOnlyWhatIsNew),
    "completion under a newer epoch": _ledger(_NeverSuperseded),
    "settled records are delivered again": _ledger(_SettlesNothing),
    "crashers are never isolated": _ledger(_NeverIsolates),
}
"""What is left out → the engine without it."""

RARE: dict[str, Variant] = {"the epoch in the metadata alone": _epoch_in_metadata}
"""Caught by some one in a thousand schedules only; the puts' own tests and the sinks' contract hold it."""
