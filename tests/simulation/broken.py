"""Engines with one part of the protocol left out: each has to be caught, or the checks prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from aetherstream.delivery.ledger import Ledger, Opening
from aetherstream.delivery.progress import Attempt, Progress
from aetherstream.delivery.reader import Listed
from aetherstream.engine import Delivered, Engine, SecondsLeft
from aetherstream.errors import Retryable, Superseded
from aetherstream.objects import empty_object
from aetherstream.plan import Plan, PlannedObject, Planner
from aetherstream.records import KinesisRecords, sortable
from aetherstream.recovery.held import Held
from aetherstream.recovery.lease import HeldLease, Leases
from aetherstream.recovery.redrive import Redriver
from aetherstream.report import Report
from tests.simulation.faults import Fault
from tests.simulation.models import held_lines
from tests.simulation.recovery import RedriverVariant, redrive_parts
from tests.simulation.run import ANY, Setting, Simulation, Variant, parts


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
        batch, plan, puts, rejections, claim, writer, report = args
        super()._put(batch, plan, puts, [], claim, writer, report)
        try:
            super()._put(batch, plan, [], rejections, claim, writer, report)
        except Retryable:
            return


class _CompletesNothing(Ledger):
    """Settles no batch: the mark stays where it is."""

    def complete(self, claimed: Progress, completed: str, arrival: int, counters: Mapping[str, int]) -> Progress:
        return super().complete(claimed, claimed.completed, claimed.completed_arrival, counters)


class _CoversOnlyWhatItPut(Engine):
    """Cuts per-record sinks to the prefix, and completes the whole batch."""

    def _deliver_records(self, plan: Plan, report: Report, seconds_left: SecondsLeft) -> Delivered:
        delivered = super()._deliver_records(plan, report, seconds_left)
        if delivered.end is not None and delivered.end > plan.prepared.start:
            delivered.end = None
        return delivered


class _SeesNoHolder(Leases):
    """Takes the lease whoever holds it, and writes whoever has taken it since."""

    def take(self, item: Progress) -> HeldLease:
        taken = super().take(replace(item, lease=None))
        return _Careless(taken.item, self._store, self._clock, self._lease)


class _Careless(HeldLease):
    def _write(self, change: Callable[[Progress], Progress]) -> Progress:
        item = self.item
        for _ in range(20):
            changed = replace(change(item), revision=item.revision + 1)
            stored = self._store.write(changed)
            if stored is None or stored == changed:
                self.item = changed
                return changed
            item = stored
        raise Retryable("met another writer")


class _NotesNoRedriveKeys(Leases):
    def take(self, item: Progress) -> HeldLease:
        taken = super().take(item)
        return _Forgetful(taken.item, self._store, self._clock, self._lease)


class _Forgetful(HeldLease):
    def write(self, change: Callable[[Progress], Progress]) -> None:
        super().write(lambda item: replace(change(item), redrive_keys=()))


class _LooksNowhere(Redriver):
    def _look_up(self, *_: Any) -> Held:
        return Held()


class _LooksWhereItWouldPut(Redriver):
    """Looks for events only in the partitions where today's pipeline would put them."""

    def _look_up(self, unit: KinesisRecords, *rest: Any) -> Held:
        paths = self._core.prepare(unit, 0, len(unit)).groups.get("archive", {})
        whole = self._archive
        self._archive = _Partly(whole, [f"archive/{path}/" for path in paths])
        try:
            return super()._look_up(unit, *rest)
        finally:
            self._archive = whole


class _Partly:
    def __init__(self, inner: Any, under: Sequence[str]) -> None:
        self._inner, self._under = inner, tuple(under)
        self.get = inner.get

    def list(self, bucket: str, prefix: str, /) -> Iterator[Listed]:
        found = self._inner.list(bucket, prefix)
        return (one for one in found if prefix != "archive/" or one.key.startswith(self._under))


class _LeavesTheUnfinished(Redriver):
    def _empty_unfinished(self, *_: Any) -> None:
        return


class _LeavesTheMark(Redriver):
    def _pass(self, *_: Any) -> None:
        return


class _PassesWithoutEmptying(Redriver):
    def _empty(self, locations: Any, lease: Any, writer: Any, report: Any) -> None:
        if locations is not lease.item.open:
            super()._empty(locations, lease, writer, report)


def _redriver(kind: type[Redriver]) -> RedriverVariant:
    return lambda simulation, name: kind(**redrive_parts(simulation, name))


def _leases(kind: type[Leases]) -> RedriverVariant:
    def make(simulation: Simulation, name: str) -> Redriver:
        made = redrive_parts(simulation, name)
        redriver = Redriver(**made)
        redriver._leases = kind(made["progress"], owner=name, clock=made["clock"])
        return redriver

    return make


_BATCHES = {"chunk": 1, "batch_size": 20, "max_partitions": 200, "age": -1, "retries": -1, "with_search": True}
LATECOMERS = Setting(
    {Fault.ABANDONED: 0.6, Fault.LATE: 0.4, Fault.PARTIAL: 0.4, Fault.COLD: 0.5, Fault.KILLED_IN_FLIGHT: 0.4},
    {**_BATCHES, "eagerness": 0.1},
)
PARTS = Setting({Fault.PARTIAL: 1, Fault.REFUSED: 0.3, Fault.RESPONSE_LOST: 0.1}, {**_BATCHES, "chunk": 2000})
STALE = Setting(
    {Fault.SHORT_OF_TIME: 0.6, Fault.LATE: 0.6, Fault.LOST: 0.4},
    {**_BATCHES, "with_search": False, "places": ("staging",), "compression": "gzip", "plain": True, "eagerness": 0.03},
)
VERSIONS = Setting({Fault.DEPLOYED: 0.5, Fault.REFUSED: 0.9, Fault.SHORT_OF_TIME: 0.5}, {**_BATCHES, "batch_size": 5})
REDRIVES = Setting(
    {
        Fault.ABANDONED: 0.5,
        Fault.LATE: 0.2,
        Fault.REFUSED: 0.2,
        Fault.LOST: 0.2,
        Fault.KILLED_AFTER: 0.3,
        Fault.REDRIVEN_EARLY: 0.6,
        Fault.LEASE_EXPIRED: 0.5,
        Fault.RESPONSE_LOST: 0.3,
        Fault.DEPLOYED: 0.2,
        Fault.FILTERED: 0.3,
    },
    {"retries": 0, "eagerness": 0.1, "batch_size": 5},
)


SETTINGS = {
    "any": ANY,
    "latecomers": LATECOMERS,
    "stale": STALE,
    "parts": PARTS,
    "versions": VERSIONS,
    "redrives": REDRIVES,
}


class Broken(NamedTuple):
    """An engine or a redrive with a part left out."""

    variant: Variant | None = None
    setting: Setting = ANY
    """What brings it to light."""
    redriver: RedriverVariant | None = None


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
    "crashers are never isolated": Broken(_ledger(_NeverIsolates)),
    "redrive without the lease": Broken(None, REDRIVES, _leases(_SeesNoHolder)),
    "redrive notes no keys": Broken(None, REDRIVES, _leases(_NotesNoRedriveKeys)),
    "redrive looks nowhere": Broken(None, REDRIVES, _redriver(_LooksNowhere)),
    "redrive looks where it would put": Broken(None, REDRIVES, _redriver(_LooksWhereItWouldPut)),
    "redrive leaves what is unfinished": Broken(None, REDRIVES, _redriver(_LeavesTheUnfinished)),
    "redrive leaves the mark": Broken(None, REDRIVES, _redriver(_LeavesTheMark)),
    "redrive passes without emptying": Broken(None, REDRIVES, _redriver(_PassesWithoutEmptying)),
}
"""What is left out → what has it not, and the schedules that show it."""
