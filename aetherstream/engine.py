"""One batch, from the records of a shard to the report.

`Engine._attempt` reads from top to bottom like the delivery protocol in docs/delivery-guarantees.md. Everything impure
(stores, sinks, the time that is left) is handed in by the composition root.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from aetherstream.core import Core, Prepared, collector_paused
from aetherstream.delivery.ledger import Ledger, Opening, Unledgered
from aetherstream.delivery.progress import Progress, is_crasher, progress_key
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.writer import Writer
from aetherstream.encoded import EncodedEvents
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.objects import empty_object
from aetherstream.plan import Plan, PlannedObject, Planner
from aetherstream.quarantine import Quarantine
from aetherstream.record_delivery import Delivered, RecordDelivery, Standby
from aetherstream.records import OF_EVENTS, KinesisRecords, Rejection, Sortable, sortable
from aetherstream.report import AccountingError, Report, SinkCount
from aetherstream.sinks.base import RecordSink
from aetherstream.spill import Spilled
from aetherstream.timings import Timings

if TYPE_CHECKING:
    from aetherstream.aggregation import Aggregation, Gathered, ShardCommit

RECREATED_TOLERANCE = 600
"""Seconds that a settled record may have arrived behind the shard's mark; later ones are of another stream."""

_TRIES = 5

SecondsLeft = Callable[[], float]


class Engine:
    """Runs the batches of one pipeline."""

    def __init__(
        self,
        pipeline: str,
        core: Core,
        *,
        store: ObjectStore,
        ledger: Ledger | Unledgered,
        quarantine: Quarantine,
        record_sinks: Sequence[RecordSink] = (),
        standbys: Mapping[str, Standby] | None = None,
        aggregation: Aggregation | None = None,
        executor: Executor,
        version: Callable[[], str],
        reserve: float = 30.0,
        request: float = 25.0,
        timings: Callable[[], Timings] = Timings,
    ) -> None:
        """`standbys`: by per-record sink; one without can only block.

        `reserve`: seconds kept for delivering what has been prepared; `request`: the most that one put may take.
        """
        self._pipeline = pipeline
        self._core = core
        self._standbys = dict(standbys or {})
        self._delivery = RecordDelivery(record_sinks, self._standbys)
        self._planner = Planner(core, quarantine, [standby.spill for standby in self._standbys.values()])
        self._store = store
        self._ledger = ledger
        self._quarantine = quarantine
        self._aggregation = aggregation
        self._executor = executor
        self._version = version
        self._reserve = reserve
        self._request = request
        self._timings = timings

    def process(self, batch: KinesisRecords, seconds_left: SecondsLeft) -> Report:
        """Process a batch; whatever the world does to it stands in the report. Raises only on a bug of ours."""
        report = Report(batch.shard, kinesis_records=len(batch), version=self._version(), timings=self._timings())
        if not len(batch):
            return report
        report.first, report.last = batch.sequences[0], batch.sequences[-1]
        key = progress_key(self._pipeline, batch.stream, batch.shard)
        try:
            with collector_paused():
                self._attempt(key, batch, report, seconds_left)
        except (Retryable, ConfigurationError) as error:
            self._ledger.give_up(key)
            report.fail(f"{type(error).__name__}: {error}")
        except MemoryError:
            self._ledger.died(key)  # as if it had been killed: the next attempt takes less
            raise
        except Exception:
            self._ledger.give_up(key)
            raise
        return report

    def _attempt(self, key: str, batch: KinesisRecords, report: Report, seconds_left: SecondsLeft) -> None:
        for _ in range(_TRIES):
            opening = self._ledger.open(key, Sortable(batch.sequences))
            _refuse_another_stream(batch, opening)
            self._fold_pending(batch, opening, report, seconds_left)
            if opening.attempt.size == 0:
                if self._settle(batch, opening, report):
                    return
                continue
            plan = self._plan(batch, opening, report, seconds_left)
            if plan.is_empty and not opening.item.open:
                if self._finish(batch, opening, plan, report):
                    return
                continue
            claim = self._claim(batch, opening, plan, report)
            if claim is not None:
                break
        else:
            raise Retryable(f"{batch.shard}: {_TRIES} claims in a row met another attempt")

        delivered = self._delivery.deliver(
            plan.prepared, report.timings, lambda: max(0.0, seconds_left() - self._reserve / 2)
        )
        end = plan.prepared.end if delivered.end is None else delivered.end
        if end == plan.prepared.start:
            raise Retryable(f"nothing could be delivered: {delivered.why}")
        gathered = self._gather(batch, plan, end, claim, report)
        late = [] if gathered is None else gathered.rejections
        refused = self._core.with_payloads([*delivered.rejections, *late], batch)
        rejections = [r for r in (*plan.prepared.rejections, *refused) if r.record < end]
        spilled = self._spilled(delivered, batch, end)
        self._account(batch, opening.settled, plan, end, rejections, report, spilled)
        with report.timings.step("put"):
            puts = self._cut(plan, end)
            writer = Writer(
                self._store,
                self._executor,
                epoch=claim.epoch if self._ledger.fenced else None,
                seconds_left=seconds_left,
                longest=self._request,
            )
            kept = self._kept(batch, plan, rejections, spilled, report.version, claim.epoch)
            self._empty_what_was_left(opening, claim, {*kept, *(p.location for p, _ in puts)}, writer, report)
            self._put(plan, puts, kept, claim.epoch, writer, report)
        commit = self._log(batch, claim, gathered, report, seconds_left)
        report.aggregates = {} if gathered is None else gathered.counts
        report.check()
        with report.timings.step("complete"):
            arrival = int(batch.arrivals[end - 1] * 1000)
            totals = report.totals(claim.counters)
            self._ledger.complete(claim, sortable(batch.sequences[end - 1]), arrival, totals, commit)
        if commit is not None:
            # Completed already: where this fails the batch is reported, and its retry, which finds it settled, folds.
            with report.timings.step("fold"):
                commit.fold()
        if end < len(batch):
            report.leave(batch.sequences[end], delivered.why)

    # -- The steps of an attempt, in their order ---------------------------------------------------------------------

    def _fold_pending(self, batch: KinesisRecords, opening: Opening, report: Report, seconds_left: SecondsLeft) -> None:
        """Fold what an earlier attempt has committed of this batch, if it could not; else a success would be too early.

        What comes after it may be nothing to commit: dropped, refused, or settled as well.
        """
        if self._aggregation is not None and opening.settled:
            with report.timings.step("fold"):
                self._aggregation.settle(batch.stream, batch.shard, opening.item, seconds_left)

    def _settle(self, batch: KinesisRecords, opening: Opening, report: Report) -> bool:
        """Every record was settled before: the answer of that attempt was lost, or a passed checkpoint read again."""
        report.restart()
        report.records_in = report.settled = len(batch)
        report.check()
        return self._ledger.settle(opening.item, report.totals(opening.item.counters))

    def _plan(self, batch: KinesisRecords, opening: Opening, report: Report, seconds_left: SecondsLeft) -> Plan:
        start = opening.settled
        end = start + opening.attempt.size
        report.isolating = end < len(batch)
        if is_crasher(opening.attempt):
            prepared = Prepared(start, end, rejections=[_crashed(start, opening)], seen=[start])
        else:
            prepared = self._core.prepare(batch, start, end, lambda: seconds_left() > self._reserve, report.timings)
        if prepared.end == start:
            raise Retryable(
                f"less than {self._reserve:g} s were left when the batch began: raise the function's time-out"
            )
        _check_prepared(prepared)
        with report.timings.step("plan"):
            plan = self._planner.plan(batch, prepared)
        report.capped = plan.capped
        return plan

    def _finish(self, batch: KinesisRecords, opening: Opening, plan: Plan, report: Report) -> bool:
        """Claim and complete in one write: there is nothing to deliver."""
        end = plan.prepared.end
        self._account(batch, opening.settled, plan, end, [], report, {})
        report.check()
        arrival = int(batch.arrivals[end - 1] * 1000)
        totals = report.totals(opening.item.counters)
        if not self._ledger.finish(opening, sortable(batch.sequences[end - 1]), arrival, totals):
            return False
        if end < len(batch):
            report.leave(batch.sequences[end])
        return True

    def _claim(self, batch: KinesisRecords, opening: Opening, plan: Plan, report: Report) -> Progress | None:
        keys = {planned.location: sortable(batch.sequences[planned.first]) for planned in plan.objects}
        # Reserved whether or not anything is rejected yet: a per-record sink may still refuse an event.
        # The same holds for spilling.
        for location in (plan.quarantine, *plan.spills.values()):
            keys[location] = sortable(batch.sequences[plan.prepared.start])
        with report.timings.step("claim"):
            claim = self._ledger.claim(opening, keys, report.version)
        if claim is not None:
            report.epoch = claim.epoch
        return claim

    def _spilled(self, delivered: Delivered, batch: KinesisRecords, end: int) -> dict[str, list[Spilled]]:
        """What of the prefix is spilled, by sink, each with the bytes of its user record."""
        spilled: dict[str, list[Spilled]] = {}
        for sink, each in delivered.spilled.items():
            within = [one for one in each if one.rejection.record < end]
            rejections = self._core.with_payloads([one.rejection for one in within], batch)
            if within:
                spilled[sink] = [replace(one, rejection=r) for one, r in zip(within, rejections, strict=True)]
        return spilled

    def _gather(self, batch: KinesisRecords, plan: Plan, end: int, claim: Progress, report: Report) -> Gathered | None:
        """What the prefix adds to the aggregates."""
        if self._aggregation is None:
            return None
        with report.timings.step("aggregate"):
            return self._aggregation.gather(batch, plan.prepared, end, claim.event_time)

    def _log(
        self,
        batch: KinesisRecords,
        claim: Progress,
        gathered: Gathered | None,
        report: Report,
        seconds_left: SecondsLeft,
    ) -> ShardCommit | None:
        """Write down what the prefix adds, before it is committed."""
        if self._aggregation is None or gathered is None:
            return None
        with report.timings.step("log"):
            return self._aggregation.log(batch.stream, batch.shard, claim.epoch, claim, gathered, seconds_left)

    def _cut(self, plan: Plan, end: int) -> list[tuple[PlannedObject, list[int]]]:
        """Cut the planned objects down to the prefix; what stands wholly behind it is not put."""
        limit = bisect_left(plan.prepared.events.records, end)
        cut = [(planned, planned.members[: bisect_left(planned.members, limit)]) for planned in plan.objects]
        return [(planned, members) for planned, members in cut if members]

    def _kept(
        self,
        batch: KinesisRecords,
        plan: Plan,
        rejections: Sequence[Rejection],
        spilled: Mapping[str, Sequence[Spilled]],
        version: str,
        epoch: int,
    ) -> dict[str, tuple[int, Callable[[], bytes]]]:
        """What is put beside the sinks' objects: by `bucket/key`, how many rows, and what makes the bytes."""
        kept: dict[str, tuple[int, Callable[[], bytes]]] = {}
        if rejections:
            make = partial(self._quarantine.encode, rejections, batch, version, epoch)
            kept[plan.quarantine] = (len(rejections), make)
        for sink, rows in spilled.items():
            make = partial(self._standbys[sink].spill.encode, rows, batch, version, epoch)
            kept[plan.spills[sink]] = (len(rows), make)
        return kept

    def _empty_what_was_left(
        self, opening: Opening, claim: Progress, kept: Collection[str], writer: Writer, report: Report
    ) -> None:
        """Empty, before anything is put, every noted key that this attempt does not put, or that another version noted.

        The empty object stays, also where none stood: a late put of an older attempt then meets a newer epoch.
        """
        left = [
            location
            for location, noted in opening.item.open.items()
            if location not in kept or noted.version != report.version
        ]
        report.emptied = len(left)
        for location in left:
            bucket, _, key = location.partition("/")
            writer.put(bucket, key, partial(empty_object, key, claim.epoch), _metadata(0, report))
        writer.join()

    def _put(
        self,
        plan: Plan,
        puts: Sequence[tuple[PlannedObject, list[int]]],
        kept: Mapping[str, tuple[int, Callable[[], bytes]]],
        epoch: int,
        writer: Writer,
        report: Report,
    ) -> None:
        """Put every object of the prefix."""
        events = plan.prepared.events
        for planned, members in puts:
            metadata = _metadata(len(members), report, first=events.ids[members[0]], last=events.ids[members[-1]])
            make = partial(_encoded, planned, events, members, epoch)
            writer.put(planned.bucket, planned.key, make, metadata)
        for location, (count, make_rows) in kept.items():
            bucket, _, key = location.partition("/")
            writer.put(bucket, key, make_rows, _metadata(count, report))
        sizes = writer.join()
        report.objects, report.bytes = len(sizes), sum(sizes)
        for planned, members in puts:
            report.sinks[planned.sink.name].delivered += len(members)

    def _account(
        self,
        batch: KinesisRecords,
        settled: int,
        plan: Plan,
        end: int,
        rejections: Sequence[Rejection],
        report: Report,
        spilled: Mapping[str, Sequence[Spilled]],
    ) -> None:
        """Count the prefix `[settled:end]`."""
        prepared, events = plan.prepared, plan.prepared.events
        whole = end == prepared.end
        seen = len(prepared.seen) if whole else sum(1 for record in prepared.seen if record < end)
        limit = bisect_left(events.records, end)
        early = [r for r in rejections if r.stage not in OF_EVENTS]
        report.settled = settled
        report.left = len(batch) - end
        report.records_in = seen + settled + report.left
        report.passed = events.user_records(limit)
        report.quarantined = len({(r.record, r.sub) for r in early})
        report.dropped = prepared.dropped if whole else seen - report.passed - report.quarantined
        report.reasons = dict(Counter(f"{r.stage}: {r.reason}" for r in rejections))
        for name in [s.name for s in self._core.sinks] + self._delivery.sinks:
            made = bisect_left(events.routed(name), limit)
            refused = len([r for r in rejections if r.stage == "deliver" and r.where == f"sinks.{name}"])
            report.sinks[name] = SinkCount(events=made, quarantined=refused)
        for sink in self._delivery.sinks:
            count = report.sinks[sink]
            count.spilled = len(spilled.get(sink, ()))
            count.delivered = count.events - count.quarantined - count.spilled


def _check_prepared(prepared: Prepared) -> None:
    """Hold what went into the pure steps against what came out of them."""
    events = prepared.events
    passed = events.user_records(len(events))
    refused = {(r.record, r.sub) for r in prepared.rejections}
    both = bool(refused) and any(pair in refused for pair in zip(events.records, events.subs, strict=True))
    if len(prepared.seen) != passed + len(refused) + prepared.dropped or both:
        raise AccountingError(
            f"{len(prepared.seen)} records were prepared, but {passed} passed on + {len(refused)} rejected + "
            f"{prepared.dropped} dropped came out{', some as both passed on and rejected' if both else ''}"
        )


def _refuse_another_stream(batch: KinesisRecords, opening: Opening) -> None:
    """A stream made anew under the same name numbers its records from low again: they would pass for settled ones."""
    if not opening.settled:
        return
    arrival = batch.arrivals[opening.settled - 1]
    mark = opening.item.completed_arrival / 1000
    if arrival > mark + RECREATED_TOLERANCE:
        raise ConfigurationError(
            f"{opening.item.key}: record {batch.sequences[opening.settled - 1]} counts as settled but arrived "
            f"{arrival - mark:.0f} s after the shard's mark: the stream was made anew under the same name. "
            "`aetherstream progress reset` says what setting its shards back means, and does it; or give the pipeline "
            "another name"
        )


def _crashed(record: int, opening: Opening) -> Rejection:
    killed = opening.attempt.killed
    message = f"the process was killed {killed} times at this record, {opening.attempt.alone} times with it alone"
    return Rejection(record, None, "crashed", "crashed", "killed the process", message)


def _metadata(count: int, report: Report, **positions: str) -> dict[str, str]:
    found = {"aether-count": str(count), "aether-version": report.version}
    return {**found, **{f"aether-{name}": value for name, value in positions.items()}}


def _encoded(planned: PlannedObject, events: EncodedEvents, members: Sequence[int], epoch: int) -> bytes:
    return planned.sink.encode(events.lines(members, planned.sink.name), epoch)
