"""Bringing a unit of records back, so that each of its events ends in each sink once, whatever stands there already.

A unit is a dead letter, a group of quarantine envelopes, or a part of the stream. `Redriver.redrive` reads from top to
bottom like *Redrive* in docs/delivery-guarantees.md. Interrupted anywhere and done again, it comes to the same; killed
by one of its records and done again, it takes the unit apart until that record is alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import count

from aetherstream.aggregation import Aggregation, ShardCommit
from aetherstream.core import Core, Prepared, collector_paused
from aetherstream.delivery.progress import Progress, ProgressStore, Suspect, peek, progress_key
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.delivery.writer import Writer
from aetherstream.documents import documents_of
from aetherstream.errors import ConfigurationError, Retryable, Superseded
from aetherstream.objects import Target, empty_object
from aetherstream.plan import Planner
from aetherstream.quarantine import Quarantine
from aetherstream.records import KinesisRecords, Rejection, sortable
from aetherstream.recovery.choice import Choice, Select, choose, settle
from aetherstream.recovery.held import Held, look_up
from aetherstream.recovery.lease import LEASE_SECONDS, HeldLease, LeaseLost, Leases
from aetherstream.recovery.origin import Origin, check_mark, excluded, undecided
from aetherstream.recovery.parts import Parts
from aetherstream.recovery.placed import PlacedDecoder
from aetherstream.recovery.redrive_report import RedriveReport
from aetherstream.recovery.refold import Fold, fold, notes
from aetherstream.recovery.suspects import Known, positions_of, suspects_of
from aetherstream.recovery.unit import distinct
from aetherstream.sinks.base import RecordSink

_TRIES = 5


class Redriver:
    """Redrives units of one pipeline."""

    def __init__(
        self,
        pipeline: str,
        core: Core,
        *,
        quarantine: Quarantine,
        spills: Sequence[Target] = (),
        record_sinks: Sequence[RecordSink] = (),
        aggregation: Aggregation | None = None,
        store: ObjectStore,
        archive: ObjectReader,
        progress: ProgressStore,
        executor: Executor,
        clock: Callable[[], float],
        owner: str,
        version: Callable[[], str],
        lease_seconds: float = LEASE_SECONDS,
        request: float = 25.0,
    ) -> None:
        """`spills`: of the per-record sinks, left to their drain; `clock`: epoch seconds; `owner`: as in `Leases`;
        `request`: seconds that a put may take at most.
        """
        self._pipeline = pipeline
        self._core = core
        self._quarantine = quarantine
        self._spills = list(spills)
        self._record_sinks = list(record_sinks)
        self._aggregation = aggregation
        self._store = store
        self._archive = archive
        self._progress = progress
        self._executor = executor
        self._version = version
        self._request = request
        self._clock = clock
        self._leases = Leases(progress, owner=owner, clock=clock, seconds=lease_seconds)

    def without_aggregates(self) -> Redriver:
        """The same, which adds nothing to aggregates: for what they have, though no object tells it any more."""
        made = copy(self)
        made._aggregation = None
        return made

    def redrive(
        self,
        unit: KinesisRecords,
        *,
        origin: Origin = "dead_letter",
        select: Select | None = None,
        subs: Sequence[int | None] | None = None,
        dry_run: bool = False,
        seconds_left: Callable[[], float] = lambda: math.inf,
    ) -> RedriveReport:
        """Deliver what no object of the shard holds, and quarantine what is refused again.

        Args:
            unit: records of one shard, in the order of the stream.
            origin: what the unit is; decides what becomes of the mark and of quarantined records.
            select: which user records to bring back (`shard:sequence:sub`); None: all of them.
            subs: for each record the flat index that its bytes had in their Kinesis record, None where they are the
                whole of it. For envelopes that hold one user record alone.
            dry_run: only say what would be done: nothing is written, and no lease is taken.
            seconds_left: the time that is left; puts that might outlast it are not begun.

        Raises LeaseHeld where somebody else redrives the shard; LeaseLost where that began while this was running;
        BeyondTheMark; Retryable where the world is at fault. After each of them, redrive again.
        """
        report = self._report(unit, origin, dry_run=dry_run)
        if not len(unit):
            return report
        unit, subs = distinct(unit, subs)
        core = self._core if subs is None else self._core.decoding(lambda inner: PlacedDecoder(inner, subs))
        before = self._peek(unit, origin)
        if dry_run:
            held = self._look_up(unit, excluded(before, unit, origin), lambda: None)
            left = undecided(unit, held, origin, report)
            known = Known(left, subs, self._suspects(before), report.version)
            known.refuse_rehearsal()
            numbers = count(before.epoch + 1)
            for choice in self._choices(core, left, known, held, origin, select, report, lambda _: next(numbers)):
                refused = settle(left, choice, held, {}, report)
                part = self._fold(left, choice, held, report)
                kept = self._kept(left, choice, [*choice.rejections, *refused, *part.rejections], part, 0)
                report.objects += [*(planned.location for planned in choice.objects), *kept]
            report.check()
            return report
        lease = self._leases.take(before)
        try:
            writer = partial(self._writer, lease, seconds_left)
            self._empty_unfinished(lease, writer, report)
            if origin == "dead_letter":
                self._pass(lease, unit, writer, report)
            held = self._look_up(unit, (), lease.renew)
            left = undecided(unit, held, origin, report)
            known = Known(left, subs, lease.item.suspects, report.version)
            names = [sink.name for sink in core.sinks]  # a per-record sink takes again what it has
            parts = Parts(lease, report, sinks=names, seconds_left=seconds_left, shortest=self._request)
            for choice in self._choices(core, left, known, held, origin, select, report, parts.begin):
                parts.adds(self._deliver(lease, core, left, choice, held, writer, report, seconds_left))
            report.check()
            parts.finish(positions_of(unit, subs) if select is None else ())
            if self._aggregation is not None:  # what an earlier redrive, say this one's, has committed and not folded
                self._aggregation.settle(unit.stream, unit.shard, lease.item, seconds_left)
        except MemoryError:
            raise  # as if it had been killed: the next one takes the unit apart
        except (Exception, KeyboardInterrupt, SystemExit):
            _give_up(lease)
            raise
        return report

    def discard(self, unit: KinesisRecords, *, seconds_left: Callable[[], float] = lambda: math.inf) -> RedriveReport:
        """Settle a dead letter without delivering any of it: a redrive that chooses nothing. Raises like `redrive`.

        It adds nothing to the aggregates, and leaves what is pending there to whoever comes next.
        """
        report = self._report(unit, "discard", dry_run=False)
        if not len(unit):
            return report
        unit, _ = distinct(unit, None)
        lease = self._leases.take(self._peek(unit, "dead_letter"))
        try:
            writer = partial(self._writer, lease, seconds_left)
            self._empty_unfinished(lease, writer, report)
            self._pass(lease, unit, writer, report)
            report.numbers.append(lease.number)
            report.records = report.not_chosen = len(unit)
            report.check()
            lease.finish(passed=positions_of(unit, None))
        except (Exception, KeyboardInterrupt, SystemExit):
            _give_up(lease)
            raise
        return report

    # -- The steps of a redrive, in their order ----------------------------------------------------------------------

    def _empty_unfinished(self, lease: HeldLease, writer: Callable[[], Writer], report: RedriveReport) -> None:
        """Empty what an unfinished redrive may have put, or may still put."""
        if keys := lease.item.redrive_keys:
            self._empty(keys, lease, writer(), report)
            lease.write(lambda item: replace(item, redrive_keys=()))

    def _pass(
        self, lease: HeldLease, unit: KinesisRecords, writer: Callable[[], Writer], report: RedriveReport
    ) -> None:
        """Move the mark to the unit's end, where it is not there yet, as an attempt without events would."""
        end, arrival = sortable(unit.sequences[-1]), int(unit.arrivals[-1] * 1000)

        def passed(item: Progress) -> Progress:
            if item.completed >= end:
                return item
            if item.epoch != lease.number:
                raise Superseded(f"{item.key}: an attempt has claimed the shard meanwhile")
            left = {key: noted for key, noted in item.open.items() if noted.first > end}
            return replace(item, completed=end, completed_arrival=arrival, open=left)

        for _ in range(_TRIES):
            if lease.item.completed >= end:
                return None
            if lease.item.epoch != lease.number:
                lease.commit()  # a number of our own above the claim's
            try:
                self._empty(lease.item.open, lease, writer(), report)
                return lease.write(passed)
            except LeaseLost:
                raise
            except Superseded:
                lease.commit()
        raise Retryable(f"{lease.item.key}: attempts claimed the shard {_TRIES} times while its mark was to be moved")

    def _look_up(self, unit: KinesisRecords, excluded: Collection[str], between: Callable[[], None]) -> Held:
        return look_up(
            unit,
            self._archive,
            sinks=[(sink.name, sink.target) for sink in self._core.sinks],
            spills=self._spills,
            quarantine=self._quarantine.target,
            refolded=None if self._aggregation is None else self._notes(unit),
            excluded=excluded,
            executor=self._executor,
            between=between,
        )

    def _choices(
        self,
        core: Core,
        unit: KinesisRecords,
        known: Known,
        held: Held,
        origin: Origin,
        select: Select | None,
        report: RedriveReport,
        begin: Callable[[Suspect], int],
    ) -> Iterator[Choice]:
        """The parts of the unit, each with a number of its own, which `begin` gives.

        A part has no more partitions than a sink may open at a time, and none that is suspect has many records.
        """
        planner = Planner(core, self._quarantine)
        at = 0
        while at < len(unit):
            part = known.part(at)
            number = begin(part.at)
            with collector_paused():
                if part.is_crasher:
                    prepared = Prepared(at, part.end, rejections=[known.crashed(at, part.at)], seen=[at])
                else:
                    prepared = core.prepare(unit, at, part.end)
                prepared = planner.plan(unit, prepared).prepared
            report.numbers.append(number)
            yield choose(
                unit,
                prepared,
                held,
                number=number,
                select=select,
                frees=origin == "quarantine",
                sinks=core.sinks,
                record_sinks=self._record_sinks,
                report=report,
            )
            at = prepared.end

    def _deliver(
        self,
        lease: HeldLease,
        core: Core,
        unit: KinesisRecords,
        choice: Choice,
        held: Held,
        writer: Callable[[], Writer],
        report: RedriveReport,
        seconds_left: Callable[[], float],
    ) -> ShardCommit | None:
        """Per-record sinks first, since what they refuse goes to the quarantine; then note the keys, and put.

        Returns what the part adds to the aggregates, written down and to be committed with it.
        """
        events = choice.prepared.events
        outcomes = {}
        for sink in self._record_sinks:
            lease.renew()
            documents = documents_of(choice.prepared, sink.name, choice.documents[sink.name])
            if len(documents):
                outcomes[sink.name] = sink.deliver(documents, max(0.0, seconds_left() - self._request))
        refused = settle(unit, choice, held, outcomes, report)
        lease.renew()
        part = self._fold(unit, choice, held, report)
        rejections = [*choice.rejections, *core.with_payloads([*refused, *part.rejections], unit)]
        kept = self._kept(unit, choice, rejections, part, lease.number)
        keys = [*(planned.location for planned in choice.objects), *kept]
        if not keys:
            return None
        lease.write(lambda item: replace(item, redrive_keys=tuple(keys)))
        puts = writer()
        for planned in choice.objects:
            first, last = events.ids[planned.members[0]], events.ids[planned.members[-1]]
            make = partial(planned.sink.encode, events.lines(planned.members, planned.sink.name), lease.number)
            metadata = self._metadata(len(planned.members), first=first, last=last)
            puts.put(planned.sink.target.bucket, planned.key, make, metadata)
        for location, (rows, make_rows) in kept.items():
            bucket, _, key = location.partition("/")
            puts.put(bucket, key, make_rows, self._metadata(rows))
        sizes = puts.join()
        report.objects += keys
        report.bytes += sum(sizes)
        if self._aggregation is None:
            return None
        return self._aggregation.log(unit.stream, unit.shard, lease.number, lease.item, part.gathered, seconds_left)

    # ----------------------------------------------------------------------------------------------------------------

    def _empty(self, locations: Iterable[str], lease: HeldLease, writer: Writer, report: RedriveReport) -> None:
        """Put empty objects, also where none stands: a late put then meets a newer epoch."""
        number = lease.number
        for location in locations:
            bucket, _, key = location.partition("/")
            writer.put(bucket, key, partial(empty_object, key, number), self._metadata(0))
            report.emptied += 1
        writer.join()

    def _writer(self, lease: HeldLease, seconds_left: Callable[[], float]) -> Writer:
        return Writer(self._store, self._executor, epoch=lease.number, seconds_left=seconds_left, longest=self._request)

    def _fold(self, unit: KinesisRecords, choice: Choice, held: Held, report: RedriveReport) -> Fold:
        return fold(self._aggregation, unit, choice, held, [sink.name for sink in self._core.sinks], report)

    def _kept(
        self, unit: KinesisRecords, choice: Choice, rejections: Sequence[Rejection], part: Fold, number: int
    ) -> dict[str, tuple[int, Callable[[], bytes]]]:
        """What is put beside the sinks' objects: by `bucket/key`, how many rows, and what makes the bytes."""
        kept: dict[str, tuple[int, Callable[[], bytes]]] = {}
        if rejections:
            key = self._quarantine.key(unit, choice.prepared.start, choice.name)
            make = partial(self._quarantine.encode, rejections, unit, self._version(), number)
            kept[f"{self._quarantine.target.bucket}/{key}"] = (len(rejections), make)
        if part.noted:
            target = self._notes(unit)
            key = target.key("", unit.shard, choice.name)
            kept[f"{target.bucket}/{key}"] = (len(part.noted), partial(part.encode, number))
        return kept

    def _notes(self, unit: KinesisRecords) -> Target:
        return notes(self._quarantine.target.bucket, self._pipeline, unit.stream)

    def _peek(self, unit: KinesisRecords, origin: Origin) -> Progress:
        item = peek(self._progress, progress_key(self._pipeline, unit.stream, unit.shard))
        check_mark(item, unit, origin)
        return item

    def _suspects(self, before: Progress) -> tuple[Suspect, ...]:
        """Where redrives were killed, as whoever takes the lease will know; its holder may still be alive."""
        is_over = before.lease is not None and before.lease.until <= self._clock() * 1000
        return suspects_of(before) if is_over else before.suspects

    def _metadata(self, count: int, **positions: str) -> dict[str, str]:
        found = {"aether-count": str(count), "aether-version": self._version()}
        return {**found, **{f"aether-{name}": value for name, value in positions.items()}}

    def _report(self, unit: KinesisRecords, origin: str, *, dry_run: bool) -> RedriveReport:
        first, last = (unit.sequences[0], unit.sequences[-1]) if len(unit) else ("", "")
        return RedriveReport(unit.shard, origin, len(unit), first, last, dry_run, version=self._version())


def _give_up(lease: HeldLease) -> None:
    """Give the lease back, if that can be done now; else it runs out."""
    with suppress(Retryable, ConfigurationError):
        lease.give_up()
