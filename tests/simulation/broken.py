"""Engines with one part of the protocol left out: each has to be caught, or the checks prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from aetherstream.core import Prepared
from aetherstream.delivery.ledger import Ledger, Opening
from aetherstream.delivery.progress import Attempt, Progress, ended
from aetherstream.engine import Engine, SecondsLeft
from aetherstream.errors import Retryable, Superseded
from aetherstream.objects import empty_object
from aetherstream.plan import Plan, PlannedObject, Planner
from aetherstream.record_delivery import Delivered, RecordDelivery
from aetherstream.records import KinesisRecords, sortable
from aetherstream.report import Report
from aetherstream.timings import Timings
from tests.simulation.broken_aggregates import BROKEN_COUNTS, BROKEN_RECOUNTS, COUNTED_BY
from tests.simulation.broken_drains import BROKEN_DRAINS, NotesNoSpill, SpillsNothing
from tests.simulation.broken_emissions import BROKEN_EMISSIONS, EMITTED_BY
from tests.simulation.broken_loads import BROKEN_LOADS
from tests.simulation.broken_redrives import BROKEN_REDRIVES
from tests.simulation.loading import LoaderVariant
from tests.simulation.models import held_lines
from tests.simulation.recovery import RedriverVariant
from tests.simulation.run import ANY, Setting, Simulation, Variant, parts
from tests.simulation.settings import (
    CLOSINGS,
    COUNTS,
    GIVEN_UP,
    LATECOMERS,
    LOADED_LATECOMERS,
    LOADED_REDRIVES,
    LOADS,
    OUTAGES,
    PARTS,
    POISONED,
    REDRIVES,
    REPLAYS,
    SPILLED_LETTERS,
    STALE,
    VERSIONS,
)
from tests.simulation.spilling import DrainerVariant


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
    def _empty_what_was_left(self, opening: Opening, claim: Progress, *rest: Any) -> None:
        report: Report = rest[-1]
        same = {key: replace(noted, version=report.version) for key, noted in opening.item.open.items()}
        super()._empty_what_was_left(replace(opening, item=replace(opening.item, open=same)), claim, *rest)


class _EmptiesAfterwards(Engine):
    """Puts first, and empties what was left when that is done."""

    def _empty_what_was_left(self, *args: Any) -> None:
        self._later = args

    def _put(self, *args: Any) -> None:
        super()._put(*args)
        super()._empty_what_was_left(*self._later)


class _CompletesFirst(Engine):
    def _empty_what_was_left(self, opening: Opening, claim: Progress, *rest: Any) -> None:
        batch, end = self._batch, self._end
        self._ledger.complete(claim, sortable(batch.sequences[end - 1]), int(batch.arrivals[end - 1] * 1000), {})
        super()._empty_what_was_left(opening, claim, *rest)

    def _claim(self, batch: KinesisRecords, opening: Opening, plan: Plan, report: Report) -> Progress | None:
        self._end = plan.prepared.end
        return super()._claim(batch, opening, plan, report)

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


class _Everything(RecordDelivery):
    """Calls delivered what was not; with `after_the_first`, only where something was."""

    def __init__(self, inner: RecordDelivery, *, after_the_first: bool) -> None:
        self._inner = inner
        self._after_the_first = after_the_first

    @property
    def sinks(self) -> list[str]:
        return self._inner.sinks

    def deliver(self, prepared: Prepared, timings: Timings, seconds_left: SecondsLeft) -> Delivered:
        delivered = self._inner.deliver(prepared, timings, seconds_left)
        if delivered.end is not None and not (self._after_the_first and delivered.end == prepared.start):
            delivered.end = None
        return delivered


class _IgnoresWhatIsUndelivered(Engine):
    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._delivery = _Everything(self._delivery, after_the_first=False)


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

    def complete(self, claimed: Progress, *rest: Any) -> Progress:
        return super().complete(replace(claimed, epoch=self._epoch_of(claimed)), *rest)

    def _epoch_of(self, claimed: Progress) -> int:
        known = self._known.get(claimed.key)
        return known.epoch if known else claimed.epoch


class _NeverSuperseded(Ledger):
    """Completes also under a newer epoch."""

    def complete(self, claimed: Progress, *rest: Any) -> Progress:
        try:
            return super().complete(claimed, *rest)
        except Superseded:
            return super().complete(self._known[claimed.key], *rest)


class _SettlesNothing(Ledger):
    """Delivers again what is settled."""

    def _opening(self, item: Progress, sequences: Sequence[str]) -> Opening:
        return super()._opening(replace(item, completed=""), sequences)


class _NeverIsolates(Ledger):
    def _opening(self, item: Progress, sequences: Sequence[str]) -> Opening:
        opening = super()._opening(replace(item, attempt=Attempt()), sequences)
        return replace(opening, item=item)


class _NeverTakesBackAKill(Ledger):
    """Counts whom it has once counted as killed, whatever they do later."""

    def _opening(self, item: Progress, sequences: Sequence[str]) -> Opening:
        opening = super()._opening(item, sequences)
        before = item.attempt
        if opening.attempt.start != before.start:
            return opening
        new = [death for death in opening.attempt.deaths if death not in before.deaths]
        return replace(opening, attempt=replace(opening.attempt, deaths=(*before.deaths, *new)))

    def give_up(self, key: str) -> None:
        item = self._known.pop(key, None)
        if item is not None and item.attempt.process == self._process and (last := ended(item, self._process)):
            with suppress(Retryable):
                self._write(last)


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
        self.rewrite = inner.rewrite
        self.partition: Callable[..., Any] = inner.partition
        self.encode: Callable[[bytes, int], bytes] = lambda lines, _: inner.encode(lines, 1)


class _EqualBytes:
    """A store in which objects of several epochs have the same bytes, hence the same ETag."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.head = inner.head

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        if not any(held_lines(body)):
            body = empty_object(key, 1)
        self._inner.put(bucket, key, body, metadata, if_match=if_match)


def _epoch_in_metadata(simulation: Simulation, name: str, version: str) -> Engine:
    made = parts(simulation, name, version)
    sinks = [_EpochOnlyInMetadata(sink) for sink in simulation.shape.object_sinks()]
    core = simulation.shape.core(version, simulation.world, sinks)
    return Engine(**{**made, "core": core, "store": _EqualBytes(made["store"])})


class _EmptyDeleted:
    """A store in which emptying an object deletes it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.head = inner.head

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        if any(held_lines(body)):
            self._inner.put(bucket, key, body, metadata, if_match=if_match)
        else:
            self._inner.delete(bucket, key, if_match)


def _deleting(simulation: Simulation, name: str, version: str) -> Engine:
    made = parts(simulation, name, version)
    return Engine(**{**made, "store": _EmptyDeleted(made["store"])})


class _AnswersBeforeTheQuarantine(Engine):
    """Completes without having seen that the quarantine was written."""

    def _put(self, *args: Any) -> None:
        plan, puts, kept, *rest = args
        super()._put(plan, puts, {}, *rest)
        try:
            super()._put(plan, [], kept, *rest)
        except Retryable:
            return


class _CompletesNothing(Ledger):
    """Settles no batch: the mark stays where it is."""

    def complete(self, claimed: Progress, completed: str, arrival: int, *rest: Any) -> Progress:
        return super().complete(claimed, claimed.completed, claimed.completed_arrival, *rest)


class _CoversOnlyWhatItPut(Engine):
    """Cuts per-record sinks to the prefix, and completes the whole batch."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._delivery = _Everything(self._delivery, after_the_first=True)


_SHOWN_BY_REPLAYS = ("redrive without the lease", "redrive looks nowhere")
_SHOWN_BY = {
    "redrive notes no place": POISONED,
    "redrive looks into no spill": SPILLED_LETTERS,
    "loader takes what a redrive may write": LOADED_REDRIVES,
    "loader looks before it knows what is final": LOADED_LATECOMERS,
}


class Broken(NamedTuple):
    """An engine, a redrive, a drain or a loader with a part left out."""

    variant: Variant | None = None
    setting: Setting = ANY
    """What brings it to light."""
    redriver: RedriverVariant | None = None
    drainer: DrainerVariant | None = None
    loader: LoaderVariant | None = None


BROKEN = {
    "keys by the batch": Broken(_planner(_KeyedByBatch)),
    "unconditional puts": Broken(_unconditional, LATECOMERS),
    "no epochs": Broken(_ledger(_KnowsNoEpochs), LATECOMERS),
    "the epoch in the metadata alone": Broken(_epoch_in_metadata, STALE),
    "nothing is emptied": Broken(_engine(_EmptiesNothing)),
    "emptied after the puts": Broken(_engine(_EmptiesAfterwards)),
    "empty objects are deleted": Broken(_deleting, LATECOMERS),
    "no version rule": Broken(_engine(_KnowsNoVersions), VERSIONS),
    "completion before the puts": Broken(_engine(_CompletesFirst)),
    "no completion": Broken(_ledger(_CompletesNothing)),
    "the quarantine is not waited for": Broken(_engine(_AnswersBeforeTheQuarantine)),
    "the response names the next record": Broken(_engine(_ReportsTheNextRecord)),
    "undelivered documents are ignored": Broken(_engine(_IgnoresWhatIsUndelivered), PARTS),
    "the prefix is forgotten": Broken(_engine(_CoversOnlyWhatItPut), PARTS),
    "objects reach beyond the prefix": Broken(_engine(_CutsNothing), PARTS),
    "no keys are noted": Broken(_ledger(_NotesNothing)),
    "a claim forgets older keys": Broken(_ledger(_NotesOnlyWhatIsNew)),
    "completion under a newer epoch": Broken(_ledger(_NeverSuperseded), LATECOMERS),
    "settled records are delivered again": Broken(_ledger(_SettlesNothing)),
    "a kill is never taken back": Broken(_ledger(_NeverTakesBackAKill), GIVEN_UP),
    "crashers are never isolated": Broken(_ledger(_NeverIsolates)),
    **{name: Broken(None, _SHOWN_BY.get(name, REDRIVES), redriver) for name, redriver in BROKEN_REDRIVES.items()},
    **{f"replay: {name}": Broken(None, REPLAYS, BROKEN_REDRIVES[name]) for name in _SHOWN_BY_REPLAYS},
    "the claim reserves no spill": Broken(_ledger(NotesNoSpill), OUTAGES),
    "what is spilled is put nowhere": Broken(_engine(SpillsNothing), OUTAGES),
    **{name: Broken(None, OUTAGES, None, drainer) for name, drainer in BROKEN_DRAINS.items()},
    **{name: Broken(variant, COUNTED_BY.get(name, COUNTS)) for name, variant in BROKEN_COUNTS.items()},
    **{name: Broken(variant, EMITTED_BY.get(name, CLOSINGS)) for name, variant in BROKEN_EMISSIONS.items()},
    **{name: Broken(None, COUNTED_BY.get(name, COUNTS), redriver) for name, redriver in BROKEN_RECOUNTS.items()},
    **{name: Broken(None, _SHOWN_BY.get(name, LOADS), loader=loader) for name, loader in BROKEN_LOADS.items()},
}
"""What is left out → what has it not, and the schedules that show it."""
