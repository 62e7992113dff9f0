"""What a batch, or a part of a redrive, adds to the aggregates: gathered from its columns, logged, committed, folded.

The order is that of docs/adr/0026-numbered-commits.md: `gather` (pure but for looks at what is known of windows), `log`
beside the puts, `ShardCommit.upon` in the write that completes, `ShardCommit.fold` after it; `settle` where a batch was
completed before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor, inf

from aetherstream.aggregates.accumulators.custom import Custom
from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.column import Places
from aetherstream.aggregates.columns import Columns
from aetherstream.aggregates.declaration import Declaration, OnLate
from aetherstream.aggregates.fold import Folded, fold_all, members
from aetherstream.aggregates.judge import Refusals, Refused
from aetherstream.aggregates.partials import Partials, max_bytes
from aetherstream.aggregates.size import most_partial
from aetherstream.aggregates.windows import Tumbling, Window
from aetherstream.core import Prepared
from aetherstream.delivery.aggregates.apply import Applied
from aetherstream.delivery.aggregates.commits import Commits
from aetherstream.delivery.aggregates.size import oversized
from aetherstream.delivery.aggregates.watermark import advanced
from aetherstream.delivery.pending import Pending
from aetherstream.delivery.progress import Progress
from aetherstream.encoded import EncodedEvents, parsed
from aetherstream.records import KinesisRecords, Rejection
from aetherstream.report import AggregateCount

LATE = "late"
"""Reason of a rejection: every window of the event is closed."""
GONE = "its window was removed"
"""Reason of a rejection: the states of its windows were removed some time after closing."""
FOR_ONE = frozenset({LATE, GONE})
"""Reasons for which one aggregate lacks an event that others have; for any other reason all of them lack it."""

LONGEST = 10.0
"""Seconds that the writes of some states may take: three tries of 1 + 2 s, and the pauses between them."""
_TRIES = 5

SecondsLeft = Callable[[], float]


def _for_ever() -> float:
    return inf


@dataclass(slots=True)
class Gathered:
    """What the events of a prefix add."""

    partials: Partials = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)
    """For the quarantine, with the stage `aggregate`; the sinks get these events all the same."""
    counts: dict[str, AggregateCount] = field(default_factory=dict)
    """By aggregate."""
    newest: float | None = None
    """The latest event time among those that were not refused."""


class ShardCommit:
    """A commit on its way: `aetherstream.delivery.commit.Commit`."""

    def __init__(
        self, commits: Commits, shard: str, pending: Pending | None, newest: float | None, seconds_left: SecondsLeft
    ) -> None:
        """`pending`: the log, as it was written; None where there is nothing to fold."""
        self._commits, self._shard, self._pending, self._newest = commits, shard, pending, newest
        self._seconds_left = seconds_left

    def upon(self, item: Progress, /) -> Progress:
        """See `Commit.upon`."""
        timed = replace(item, event_time=advanced(item.event_time, self._newest))
        if self._pending is None:
            return timed
        self._commits.fold(self._shard, item.pending, seconds_left=self._seconds_left, longest=LONGEST)
        number = self._commits.next_number(item.commit)
        if number != self._pending.commit:
            self._pending = self._commits.renumbered(self._shard, self._pending, number)
        return replace(timed, commit=number, pending=self._pending)

    def fold(self) -> Applied:
        """Fold it, after the write. Raises Retryable, ConfigurationError: then some groups may lack it until then."""
        return self._commits.fold(self._shard, self._pending, seconds_left=self._seconds_left, longest=LONGEST)


class Aggregation:
    """The aggregates of one pipeline whose states are in the state table."""

    def __init__(
        self,
        declarations: Sequence[Declaration],
        commits: Callable[[str], Commits],
        archives: Collection[str],
    ) -> None:
        """`commits`: makes those of a stream, given its name; `archives`: the per-object sinks.

        Events that no archive gets are not aggregated: its objects tell redrives what was folded.
        """
        self.aggregates = tuple(one.aggregate for one in declarations)
        self._on_late: dict[str, OnLate] = {one.name: one.on_late for one in declarations}
        self._make = commits
        self._made: dict[str, Commits] = {}
        self._archives = frozenset(archives)
        self._bounds = {one.name: (most_partial(one), max_bytes(one), _is_trusted(one)) for one in self.aggregates}
        self._arrivals_matter = any(one.future is not None for one in self.aggregates)

    def commits(self, stream: str) -> Commits:
        """Those of a stream, by its name or ARN."""
        name = stream.rpartition("/")[2]
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def gather(
        self,
        batch: KinesisRecords,
        prepared: Prepared,
        end: int,
        committed: float | None,
        aside: Mapping[str, Collection[int]] | None = None,
    ) -> Gathered:
        """Fold the events of the records before `end` into partials.

        Args:
            batch: The records, or those of a unit that is redriven.
            prepared: What was made of them.
            end: Index of the first Kinesis record that is left out.
            committed: The event time that the shard has committed; None: nothing is judged late.
            aside: By aggregate, indices of events that it must not count.

        Raises:
            Retryable, ConfigurationError: the state table does not answer as it should.
        """
        events, columns = prepared.events, prepared.columns
        upto = events.before(end)
        if columns is None or not upto:
            return Gathered()
        columns = Columns(columns.values, columns.times, Places(batch.shard, batch.sequences, events))
        if self._arrivals_matter:
            columns.arrivals = [batch.arrivals[record] for record in events.records]
        unheld = self._unheld(events)
        left = {one.name: {*unheld, *(aside or {}).get(one.name, ())} for one in self.aggregates}
        commits = self.commits(batch.stream)
        known = commits.known(batch.shard, {one.name: _windows(one, columns, upto) for one in self.aggregates})
        gone: dict[str, set[int]] = {}
        large: Refusals = {}
        for _ in range(_TRIES):
            without = {name: {*some, *gone.get(name, ()), *large} for name, some in left.items()}
            folded, refused = fold_all(
                self.aggregates, columns, upto=upto, watermark=committed, known=known, aside=without
            )
            partials: Partials = {}
            for one in folded.values():
                partials |= one.partials
            too_large = self._too_large(columns, upto, partials, without)
            lost = self._gone(commits, columns, upto, partials, without)
            if not too_large and not lost:
                break
            large |= too_large
            for name, indices in lost.items():
                gone.setdefault(name, set()).update(indices)
        return self._gathered(events, columns, upto, folded, {**large, **refused}, left, gone, partials)

    def log(
        self,
        stream: str,
        shard: str,
        epoch: int,
        item: Progress,
        gathered: Gathered,
        seconds_left: SecondsLeft = _for_ever,
    ) -> ShardCommit | None:
        """Write what was gathered down, under the epoch of a claim or the number of a redrive.

        Returns None where it adds nothing. Raises Superseded, Retryable, ConfigurationError.
        """
        commits = self.commits(stream)
        if not gathered.partials:
            if gathered.newest is None:
                return None
            return ShardCommit(commits, shard, None, gathered.newest, seconds_left)
        pending = commits.log(shard, epoch, commits.next_number(item.commit), gathered.partials)
        return ShardCommit(commits, shard, pending, gathered.newest, seconds_left)

    def settle(self, stream: str, shard: str, item: Progress, seconds_left: SecondsLeft = _for_ever) -> Applied:
        """Fold what is pending of a shard. Raises Retryable, ConfigurationError."""
        return self.commits(stream).fold(shard, item.pending, seconds_left=seconds_left, longest=LONGEST)

    # ----------------------------------------------------------------------------------------------------------------

    def _unheld(self, events: EncodedEvents) -> set[int]:
        if not events.routed_somewhere:
            return set()
        return {index for index, sinks in enumerate(events.routes) if sinks is not None and not sinks & self._archives}

    def _gone(
        self,
        commits: Commits,
        columns: Columns,
        upto: int,
        partials: Partials,
        without: Mapping[str, Collection[int]],
    ) -> dict[str, set[int]]:
        """By aggregate: the events whose states were removed after closing."""
        keys = commits.gone(partials)
        found: dict[str, set[int]] = {}
        for one in self.aggregates:
            own = {key for key in keys if key.aggregate == one.name}
            if own:
                floor = commits.floor(one.name)
                for key, indices in members(one, columns, own, upto=upto, without=without[one.name]).items():
                    lost = indices if key.window is not None else _before(columns, indices, floor)
                    found.setdefault(one.name, set()).update(lost)
        return found

    def _too_large(
        self, columns: Columns, upto: int, partials: Partials, without: Mapping[str, Collection[int]]
    ) -> Refusals:
        """The events of groups whose partial no item can take: thousands of sessions of one group in a batch."""
        refused: dict[int, Refused] = {}
        for one in self.aggregates:
            limit, each, trusted = self._bounds[one.name]
            own = {
                key: partial
                for key, partial in partials.items()
                if key.aggregate == one.name and (not trusted or (key.window is None and len(partial) * each > limit))
            }
            large = oversized(one, own) if own else {}
            if large:
                for key, indices in members(one, columns, large, upto=upto, without=without[one.name]).items():
                    message = (
                        f"what one batch brings for the group {key.group} takes {large[key]:,} bytes, {limit:,} are "
                        "the most: a longer gap makes fewer sessions, a lower capacity or precision smaller ones"
                    )
                    refused |= {
                        index: Refused(f"aggregates.{one.name}", "too large", message)
                        for index in indices
                        if index not in refused
                    }
        return refused

    def _gathered(
        self,
        events: EncodedEvents,
        columns: Columns,
        upto: int,
        folded: Mapping[str, Folded],
        refused: Refusals,
        left: Mapping[str, set[int]],
        gone: Mapping[str, set[int]],
        partials: Partials,
    ) -> Gathered:
        out = Gathered(partials)
        out.rejections = [_rejection(events, index, why) for index, why in sorted(refused.items()) if index < upto]
        for one in self.aggregates:
            name, found = one.name, folded[one.name]
            out.newest = advanced(out.newest, found.newest)
            count = out.counts[name] = AggregateCount(events=upto - sum(index < upto for index in left[name]))
            count.quarantined = sum(index not in left[name] for index in refused)
            count.skipped = sum(found.skipped.values())
            late = {} if one.correct else {i: LATE for i in found.late if _is_wholly_late(one, columns, i, found)}
            late |= dict.fromkeys(gone.get(name, set()) - refused.keys(), GONE)
            count.corrected = len(found.late) - sum(why == LATE for why in late.values())
            if self._on_late[name] == "drop":
                count.late = len(late)
            else:
                count.quarantined += len(late)
                out.rejections += [
                    _rejection(events, index, _late_cause(one, columns.times[index], why))
                    for index, why in sorted(late.items())
                ]
            count.folded = count.events - count.quarantined - count.late
        return out


def _is_trusted(aggregate: Aggregate) -> bool:
    """Whether no accumulator is a user's: ours keep to their size."""
    return not any(isinstance(output.accumulator, Custom) for output in aggregate.outputs)


def _windows(aggregate: Aggregate, columns: Columns, upto: int) -> set[Window | None]:
    """The windows that a prefix may reach."""
    windows, times = aggregate.windows, columns.times if upto == len(columns.times) else columns.times[:upto]
    if isinstance(windows, Tumbling):
        return {Window(start, start + windows.size) for start in set(windows.starts(times))}
    if aggregate.gap is not None:
        return {None}
    panes = windows.panes  # type: ignore[union-attr]
    looked = {floor(time) for time in times} if panes is None else set(panes.starts(times))
    return {window for time in looked for window in windows.assign(time)}  # type: ignore[union-attr]


def _before(columns: Columns, indices: Sequence[int], floor: float | None) -> list[int]:
    """The events of a group's sessions that lie before the floor."""
    return [index for index in indices if floor is None or columns.times[index] < floor]


def _is_wholly_late(aggregate: Aggregate, columns: Columns, index: int, folded: Folded) -> bool:
    """Whether an event is left out of all its windows; of those that overlap some may be open."""
    if aggregate.gap is not None:
        return True
    return len(folded.late[index]) == len(aggregate.windows.assign(columns.times[index]))  # type: ignore[union-attr]


def _late_cause(aggregate: Aggregate, time: float, why: str) -> Refused:
    what = "are closed" if why == LATE else "were closed so long ago that their states are removed"
    return Refused(
        f"aggregates.{aggregate.name}", why, f"event time {Window(time, time).id}: the windows of that time {what}"
    )


def _rejection(events: EncodedEvents, index: int, why: Refused) -> Rejection:
    return Rejection(
        events.records[index],
        events.subs[index],
        "aggregate",
        why.where,
        why.reason,
        why.message,
        event=parsed(events.line(index)),
    )
