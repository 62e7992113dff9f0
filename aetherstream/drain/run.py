"""One run of the drain under its lease: the probe, then the objects from the oldest on, then the breaker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aetherstream.delivery.breaker import is_failing
from aetherstream.delivery.breaker_item import BreakerItem, Cursor, closed, half_opened, opened
from aetherstream.delivery.reader import Listed
from aetherstream.drain.backlog import Backlog, look
from aetherstream.drain.lease import HeldLease
from aetherstream.drain.parts import Parts, SecondsLeft, Spilling
from aetherstream.drain.refusals import Refusals, find, refusals_key
from aetherstream.drain.report import DrainReport
from aetherstream.drain.spilled import Marks, Pace, SpillObject, SpillReader
from aetherstream.errors import CONFIGURATION
from aetherstream.sinks.base import Documents, Outcome
from aetherstream.spill import SpilledRow, UnusableSpill

BY = "drain"

RESERVE = 30.0
"""Seconds that a run keeps for writing down what it has delivered."""

PROBE = 100
"""Most documents of a probe."""

SLICE_BYTES = 20_000_000
"""Bytes that are handed to the sink at once."""

GROUP = 16
GROUP_BYTES = 4_000_000
"""Objects, and their compressed bytes, that are in memory at a time; a larger object is alone."""

TOLERANCE = 900.0
"""Seconds by which the clocks of S3 (LastModified) and of the drain may differ."""


_CANDIDATES = 50
"""Objects that are looked at for one that a probe can take."""


@dataclass(slots=True)
class _Brought:
    """How far the documents of an object have come."""

    settled: int
    """So many of its first rows have arrived, or are refused."""
    refused: list[bytes] = field(default_factory=list)
    """Lines for the quarantine."""
    configuration: int = 0
    """How many of them somebody has to mend the sink for."""
    stopped: bool = False


class Run:
    """One run for one sink."""

    def __init__(
        self, parts: Parts, spilling: Spilling, lease: HeldLease, report: DrainReport, seconds_left: SecondsLeft
    ) -> None:
        self.cursor: Cursor | None = None
        """How far it came in an object that it could not finish."""
        self._parts = parts
        self._spilling = spilling
        self._lease = lease
        self._report = report
        self._seconds_left = seconds_left
        self._marks = Marks(parts.pipeline, parts.progress)
        self._pace = Pace(spilling.rate, clock=parts.clock, sleep=parts.sleep)
        self._objects = SpillReader(
            parts.pipeline,
            spilling.sink.name,
            spilling.target,
            store=parts.store,
            reader=parts.reader,
            fenced=parts.progress is not None,
        )
        self._passed_over: set[str] = set()
        self._answered = False

    # -- The probe ----------------------------------------------------------------------------------------------------

    def probe(self, backlog: Backlog) -> bool:
        """Where the breaker is open, try the sink with documents of the spill; tell whether to go on."""
        if self._lease.item.state != "open":
            return True
        rules, now = self._spilling.rules, self._parts.clock()
        why = "nothing is spilled to try the sink with: live traffic does"
        for rows in self._probes(backlog):
            outcome, count = self._deliver(rows)
            if down := self._down(outcome, count):
                self._report.stopped = f"a probe of {count} documents failed: {down}"
                self._lease.change(lambda item: _if_open(item, opened(item, now, f"probe: {down}", BY, rules)))
                return False
            if len(outcome.undelivered) == count:
                self._report.stopped = "the sink took nothing in the time that was left"
                return False
            self._answered = True
            why = f"a probe of {count} documents was taken"
            break
        self._lease.change(
            lambda item: _if_open(item, half_opened(item, now, why, BY, answered=self._answered)),
        )
        return self._may_go_on()

    def _probes(self, backlog: Backlog) -> Iterator[Sequence[SpilledRow]]:
        """Documents of the oldest object; every second time of the newest.

        Else an index that is lost for good would keep the sink shut for all others.
        """
        candidates = backlog.first[:_CANDIDATES]
        if self._lease.item.probes % 2 and backlog.newest is not None:
            candidates = [backlog.newest, *candidates]
        for listed in candidates:
            before = self._marks.looked
            spilled = self._checked(listed, self._find(listed)[0])
            if spilled is not None and spilled.rows and self._marks.passed(spilled, before, self._parts.store):
                yield spilled.rows[:PROBE]

    # -- The objects --------------------------------------------------------------------------------------------------

    def drain(self, backlog: Backlog) -> None:
        """Bring the objects from the oldest on, until nothing is left that can be brought, or no time."""
        while todo := [listed for listed in backlog.first if listed.key not in self._passed_over]:
            for group in _groups(todo):
                if not self._group(group):
                    return
            self._marks.forget()
            backlog = look(self._parts.reader, self._spilling.target, self._passed_over, self._parts.at_once)
        if not self._report.left:
            self._lease.change(self._close)

    def _group(self, group: Sequence[Listed]) -> bool:
        """Read some objects, deliver one after another, and empty those that are done; tell whether to go on."""
        done: list[SpillObject] = []
        goes_on, before = True, self._marks.looked
        for listed, found in zip(group, self._parts.executor.map(self._find, group), strict=True):
            goes_on = self._may_go_on()
            if not goes_on:
                break
            spilled = self._checked(listed, found[0])
            if spilled is None or found[1] is None:
                continue
            if not self._marks.passed(spilled, before, self._parts.store):
                self._report.unfinished += 1
                self._passed_over.add(listed.key)
                continue
            brought = self._settle(spilled, found[1])
            goes_on = not brought.stopped
            if not goes_on:
                break
            if brought.settled == len(spilled.rows):
                done.append(spilled)
            else:
                self._leave(listed.key)
        for spilled, emptied in zip(done, self._parts.executor.map(self._empty, done), strict=True):
            if emptied:
                self._report.emptied += 1
            else:
                self._leave(spilled.key)  # it was written again meanwhile
        return goes_on

    def _leave(self, key: str) -> None:
        self._report.left += 1
        self._passed_over.add(key)

    def _close(self, item: BreakerItem) -> BreakerItem | None:
        if item.state != "half_open" or not (item.answered or self._answered):
            return None
        return closed(item, self._parts.clock(), "the spill is drained, and the sink answers", BY)

    def _find(self, listed: Listed) -> tuple[SpillObject | UnusableSpill | None, Refusals | None]:
        """Read an object and what belongs to it; called in other threads."""
        quarantine = self._parts.quarantine
        try:
            spilled = self._objects.read(listed)
            if spilled is None:
                return None, None
            key = refusals_key(quarantine, spilled.name, self._spilling.sink.name)
            return spilled, find(self._parts.store, self._parts.reader, quarantine.bucket, key)
        except UnusableSpill as error:
            return error, None

    def _empty(self, spilled: SpillObject) -> bool:
        return spilled.empty(self._parts.store)

    def _settle(self, spilled: SpillObject, refusals: Refusals) -> _Brought:
        """Deliver one object's documents, then write down what was refused: before the object is emptied."""
        lease, store = self._lease, self._parts.store
        if lease.item.unclean and spilled.modified <= lease.item.unclean / 1000 + TOLERANCE:
            # A drain that did not end by itself may still be about to write it: this makes its put fail.
            refusals.write(store, (), drain=lease.number, epoch=spilled.epoch, version=spilled.version)
        brought = self._bring(spilled, refusals)
        if brought.refused:
            refusals.write(store, brought.refused, drain=lease.number, epoch=spilled.epoch, version=spilled.version)
            self._report.rejected += len(brought.refused)
            self._report.configuration += brought.configuration
        if brought.stopped and brought.settled:
            self.cursor = Cursor(spilled.key, spilled.etag, brought.settled)
        return brought

    def _bring(self, spilled: SpillObject, refusals: Refusals) -> _Brought:
        """Deliver the documents of an object that are not settled, as fast as the rate and the time allow."""
        cursor = self._lease.item.cursor
        start = cursor.rows if cursor and (cursor.key, cursor.etag) == (spilled.key, spilled.etag) else 0
        brought, whole = _Brought(settled=start), True
        for end, rows in _slices(spilled.rows, start, min(self._parts.most, self._spilling.rate)):
            if not self._may_go_on(self._pace.seconds()):
                brought.stopped = True
                return brought
            todo = [row for row in rows if not refusals.holds(row)]
            self._pace.send(len(todo))
            outcome, count = self._deliver(todo)
            for row in todo:
                if (error := outcome.rejected.get(row.document_id)) is not None:
                    brought.refused.append(row.refused(error).rstrip(b"\n"))
                    brought.configuration += error.reason.startswith(CONFIGURATION)
                elif row.document_id not in outcome.undelivered:
                    self._report.drained += 1
            whole = whole and not outcome.undelivered
            if whole:
                brought.settled = end
            if self._is_outage(outcome, count):
                brought.stopped = True
                return brought
        return brought

    def _checked(self, listed: Listed, found: SpillObject | UnusableSpill | None) -> SpillObject | None:
        """What was read; where that is unusable, name it, pass it over, and give None."""
        if not isinstance(found, UnusableSpill):
            return found
        if listed.key not in self._passed_over:
            self._report.name_unusable(found.message)
            self._report.unusables += 1
            self._passed_over.add(listed.key)
        return None

    # -- The sink -----------------------------------------------------------------------------------------------------

    def _deliver(self, rows: Sequence[SpilledRow]) -> tuple[Outcome, int]:
        """Deliver rows by their ids; of several with one id the first, as the engine does. Gives how many went."""
        firsts: dict[str, SpilledRow] = {}
        for row in rows:
            firsts.setdefault(row.document_id, row)
        if not firsts:
            return Outcome(), 0
        documents = Documents(
            list(firsts), [row.place for row in firsts.values()], [row.body for row in firsts.values()]
        )
        self._lease.renew()  # at the last moment: what a successor has put into the quarantine must not be delivered
        seconds = min(self._spilling.rules.patience, self._seconds_left() - RESERVE)
        return self._spilling.sink.deliver(documents, max(0.0, seconds)), len(documents)

    def _down(self, outcome: Outcome, count: int) -> str:
        """Why the sink counts as down; empty where it does not.

        A few documents that it does not take are no outage: one index that is lost must not keep the others waiting.
        """
        share = self._spilling.rules.share
        refusing = next((answer.why or "refused" for answer in outcome.answers if answer.refused), "")
        if refusing or not outcome.undelivered or len(outcome.undelivered) < share * count:
            return refusing
        failing = any(is_failing(answer, share) for answer in outcome.answers)
        return next(iter(outcome.undelivered.values())) if failing else ""

    def _is_outage(self, outcome: Outcome, count: int) -> bool:
        """Open the breaker again where the sink fails; tell whether to stop."""
        if down := self._down(outcome, count):
            now, rules = self._parts.clock(), self._spilling.rules
            self._report.stopped = f"{len(outcome.undelivered)} of {count} documents were not taken: {down}"
            # A closed breaker is judged by live traffic: somebody may have closed it although the spill can't go in.
            self._lease.change(
                lambda item: opened(item, now, f"drain: {down}", BY, rules) if item.state == "half_open" else None
            )
            return True
        if count and len(outcome.undelivered) == count:
            self._report.stopped = "the sink took nothing in the time that was left"
            return True
        return False

    def _may_go_on(self, wait: float = 0.0) -> bool:
        """Hold the lease, and tell whether there is time for another delivery after a wait (seconds)."""
        self._lease.renew()
        item = self._lease.item
        if item.state == "open":
            self._report.stopped = f"opened meanwhile by {item.by}: {item.why}"
            return False
        if self._seconds_left() - wait < RESERVE + self._spilling.rules.patience:
            self._report.stopped = "its time was over: the next run goes on"
            return False
        return True


def _if_open(item: BreakerItem, step: BreakerItem) -> BreakerItem | None:
    """The step of a probe, where nobody has done anything by hand meanwhile."""
    return step if item.state == "open" and not item.held else None


def _slices(rows: Sequence[SpilledRow], start: int, most: int) -> Iterator[tuple[int, Sequence[SpilledRow]]]:
    """Cut the rows from `start` on into what goes to the sink at once; each with the index behind its last row."""
    size = 0
    for index in range(start, len(rows)):
        size += len(rows[index].event)
        if index + 1 - start == most or size >= SLICE_BYTES or index + 1 == len(rows):
            yield index + 1, rows[start : index + 1]
            start, size = index + 1, 0


def _groups(todo: Sequence[Listed]) -> Iterator[Sequence[Listed]]:
    """Cut a listing into what is read at once."""
    begin = size = 0
    for index, listed in enumerate(todo):
        if index > begin and (index - begin == GROUP or size + listed.size > GROUP_BYTES):
            yield todo[begin:index]
            begin, size = index, 0
        size += listed.size
    if todo:
        yield todo[begin:]
