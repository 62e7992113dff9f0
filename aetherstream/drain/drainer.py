"""Draining one sink: whether there is anything to do, the lease, one run, and the report."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from aetherstream.delivery.breaker_item import BreakerItem, BreakerStore, breaker_key, due
from aetherstream.delivery.progress import ProgressStore
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.drain.backlog import AT_ONCE, Backlog, look
from aetherstream.drain.lease import LEASE_SECONDS, LeaseHeld, LeaseLost, take
from aetherstream.drain.parts import SLICE, Parts, SecondsLeft, Spilling
from aetherstream.drain.report import DrainReport
from aetherstream.drain.run import RESERVE, Run
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.objects import Target


class Drainer:
    """Drains the spills of one pipeline."""

    run_kind: type[Run] = Run
    """What one run is; the simulation puts broken ones here."""

    def __init__(
        self,
        pipeline: str,
        *,
        quarantine: Target,
        store: ObjectStore,
        reader: ObjectReader,
        progress: ProgressStore | None,
        breakers: BreakerStore,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        executor: Executor,
        owner: str,
        lease_seconds: float = LEASE_SECONDS,
        most: int = SLICE,
        at_once: int = AT_ONCE,
    ) -> None:
        """`progress` None: delivery `at_least_once`; `clock`: epoch seconds; `owner`: for people.
        `executor`: reads and empties objects beside each other.
        `most`: documents that are handed to a sink at once; `at_once`: objects that are remembered.
        """
        self._parts = Parts(pipeline, quarantine, store, reader, progress, clock, sleep, executor, most, at_once)
        self._breakers = breakers
        self._owner = owner
        self._lease_seconds = lease_seconds

    def look(self, spilling: Spilling) -> tuple[DrainReport, Backlog]:
        """Tell how a sink's breaker and spill stand, and change nothing. Raises Retryable and ConfigurationError."""
        report = DrainReport(spilling.sink.name)
        backlog, _ = self._look(spilling, report)
        return report, backlog

    def drain(self, spilling: Spilling, seconds_left: SecondsLeft, *, probe_now: bool = False) -> DrainReport:
        """Drain one sink's spill as far as the time allows; whatever hinders it stands in the report.

        `probe_now`: do not wait until a probe is due.
        """
        report = DrainReport(spilling.sink.name)
        try:
            backlog, item = self._look(spilling, report)
            report.stopped = self._why_not(item, probe_now=probe_now)
            if report.stopped or (item.state == "closed" and not backlog.objects):
                return report
            if seconds_left() < RESERVE + spilling.rules.patience:
                report.stopped = "too little time is left to deliver anything"
                return report
            self._run(spilling, item, backlog, report, seconds_left, probe_now=probe_now)
            report.count(look(self._parts.reader, spilling.target, most=1), self._parts.clock())
        except (LeaseHeld, LeaseLost) as error:
            report.stopped = str(error)
        except (Retryable, ConfigurationError) as error:
            report.trouble = f"{type(error).__name__}: {error}"
        return report

    def _look(self, spilling: Spilling, report: DrainReport) -> tuple[Backlog, BreakerItem]:
        backlog = look(self._parts.reader, spilling.target, most=self._parts.at_once)
        report.count(backlog, self._parts.clock())
        for key in backlog.foreign:
            report.name_unusable(f"s3://{spilling.target.bucket}/{key}: not a name that the engine gives")
        report.unusables = backlog.foreigners
        item = self._breakers.read(breaker_key(self._parts.pipeline, spilling.sink.name))
        report.tell(item)
        return backlog, item

    def _run(
        self,
        spilling: Spilling,
        item: BreakerItem,
        backlog: Backlog,
        report: DrainReport,
        seconds_left: SecondsLeft,
        *,
        probe_now: bool,
    ) -> None:
        parts = self._parts
        lease = take(self._breakers, item, owner=self._owner, clock=parts.clock, seconds=self._lease_seconds)
        run = self.run_kind(parts, spilling, lease, report, seconds_left)
        unclean = True
        try:
            report.stopped = self._why_not(lease.item, probe_now=probe_now)  # it may have changed since it was read
            if not report.stopped and run.probe(backlog):
                run.drain(backlog)
            unclean = False
        finally:
            # After an error a put may still land: the next drain has to fence it off.
            lease.give_back(run.cursor, unclean=unclean)
            report.tell(lease.item)

    def _why_not(self, item: BreakerItem, *, probe_now: bool) -> str:
        """Why the sink is to be left alone; empty where it is not."""
        if item.held:
            return "opened by hand, and so held open until it is closed by hand"
        if item.state == "open" and not probe_now and not due(item, self._parts.clock()):
            return "open, and no probe is due yet"
        return ""
