"""The closer: windows and sessions that the watermark has passed go out as final results, the oldest first.

A run may be cut off anywhere, or be made twice at a time: what it has not done is done by the next one, and what is
sent twice is stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from typing import NamedTuple

from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.aggregates.windows import Window
from aetherstream.aggregation import LONGEST
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.closing import KEEP, close, close_as_a_whole, close_sessions
from aetherstream.delivery.aggregates.commits import Commits
from aetherstream.delivery.aggregates.places import WindowPlace, scope_of
from aetherstream.delivery.aggregates.results import Result
from aetherstream.delivery.aggregates.state import Item
from aetherstream.delivery.aggregates.watermark import closes_upto, sessions_floor, sessions_upto
from aetherstream.emission.clock import Clock, Clocks
from aetherstream.emission.publish import RESERVE, Outlets, Publisher
from aetherstream.emission.ranking import ranked_rows
from aetherstream.emission.report import Closing
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.results.rows import rows

SESSIONS_EVERY = 300.0
"""Seconds between two runs of a process that look for sessions which have ended: each reads all groups."""

_TOGETHER = 200
"""Windows, the oldest ones, that are closed before the next ones are begun."""


class _NoTimeLeft(Retryable):
    """The run is over; the next one goes on."""


class _Due(NamedTuple):
    """A window that is to be closed."""

    window: Window
    declaration: Declaration
    place: WindowPlace
    shards: Sequence[str]
    """Those that have begun it."""

    @property
    def order(self) -> tuple[float, float, str]:
        """The oldest first."""
        return (self.window.end, self.window.start, self.declaration.name)


class Closer:
    """Closes the windows of the aggregates of one pipeline and stream."""

    def __init__(
        self,
        owner: str,
        declarations: Iterable[Declaration],
        stores: Stores,
        outlets: Outlets,
        commits: Commits,
        clocks: Clocks,
        *,
        now: Callable[[], float],
    ) -> None:
        """`owner`: of the states (`places.Scope`); `now`: epoch seconds."""
        self._owner, self._declarations = owner, tuple(declarations)
        self._stores, self._outlets, self._commits, self._clocks, self._now = stores, outlets, commits, clocks, now
        self._looked: dict[str, float] = {}
        """When a process has last looked for sessions that ended, by aggregate."""

    def run(self, seconds_left: Callable[[], float], upto: float | None = None) -> Closing:
        """Close what is due.

        Doesn't raise where something hinders it: `Closing.troubles` says what.

        Args:
            seconds_left: Of the invocation.
            upto: Event time (epoch seconds) up to which windows are closed wherever the watermark is: by hand.
        """
        done = Closing()
        try:
            clock = self._clocks.look()
            done.watermark, done.held_by = clock.watermark, clock.held_by
            run = _Run(clock, Publisher(self._outlets, seconds_left, done.published), seconds_left, done, set())
            self._close(run, self._limits(clock, upto), by_hand=upto is not None)
        except _NoTimeLeft:
            pass
        except (Retryable, ConfigurationError) as error:
            done.troubles.append(error)
        return done

    def _limits(self, clock: Clock, upto: float | None) -> dict[str, float]:
        """By aggregate: the event time up to which its windows are due."""
        found = {
            one.name: upto if upto is not None else closes_upto(one.aggregate, clock.watermark)
            for one in self._declarations
        }
        return {name: limit for name, limit in found.items() if limit is not None}

    def _close(self, run: _Run, limits: Mapping[str, float], *, by_hand: bool) -> None:
        due, sessions = self._due(limits), self._with_sessions(run, limits, by_hand=by_hand)
        if self._fold(run, due, everything=bool(due or sessions)):
            due = self._due(limits)  # what nobody had folded may have begun further windows
        run.done.overdue = len(due)
        for start in range(0, len(due), _TOGETHER):
            some: dict[str, list[_Due]] = {}
            for one in due[start : start + _TOGETHER]:
                some.setdefault(one.declaration.name, []).append(one)
            for name, each in some.items():
                if name not in run.failed:
                    with run.noting(each[0].declaration):
                        self._windows(run, each[0].declaration, each)
        for declaration in sessions:
            with run.noting(declaration):
                self._sessions(run, declaration, limits[declaration.name])

    def _with_sessions(self, run: _Run, limits: Mapping[str, float], *, by_hand: bool) -> list[Declaration]:
        """The aggregates in which sessions that have ended are to be looked for."""
        if run.clock.newest is None:
            return []
        now = self._now()
        return [
            one
            for one in self._declarations
            if one.aggregate.gap is not None
            and one.name in limits
            and (by_hand or now - self._looked.get(one.name, -inf) >= SESSIONS_EVERY)
        ]

    def _due(self, limits: Mapping[str, float]) -> list[_Due]:
        found = []
        for one in self._declarations:
            if one.aggregate.gap is None and one.name in limits:
                scope = scope_of(self._owner, one.aggregate)
                for window, shards in self._stores.windows.due(scope, limits[one.name]).items():
                    found.append(_Due(window, one, WindowPlace(scope, window), shards))
        return sorted(found, key=lambda due: due.order)

    def _fold(self, run: _Run, due: Iterable[_Due], *, everything: bool) -> int:
        """Fold what is pending: of all shards where anything is to be closed, else where nobody else comes to do it."""
        items = run.clock.items
        shards = {*items, *(shard for one in due for shard in one.shards)} if everything else run.clock.quiet
        folded = 0
        for shard in sorted(shards):
            item = items.get(shard) or self._clocks.item(shard)
            applied = self._commits.fold(shard, item.pending, seconds_left=run.seconds_left, longest=LONGEST)
            folded += applied.folded
            if shard in run.clock.quiet:
                self._clocks.settle(item)
        run.done.folded += folded
        return folded

    def _windows(self, run: _Run, declaration: Declaration, due: Sequence[_Due]) -> None:
        """Close some windows of one aggregate."""
        states, windows = self._stores

        def hurried() -> Iterator[tuple[WindowPlace, Sequence[str]]]:
            for one in due:
                run.hurry()
                yield one.place, one.shards

        def closed(_: WindowPlace) -> None:
            run.done.windows += 1
            run.done.overdue -= 1

        if declaration.ranking is None:
            emit, aggregate = run.final(declaration), declaration.aggregate
            run.done.groups += close(aggregate, hurried(), states, windows, emit, closed, now=self._now())
            return
        for one in due:
            run.hurry()
            rank = run.ranked(declaration, declaration.ranking, one.window)
            sent = close_as_a_whole(one.place, one.shards, states, windows, rank, now=self._now())
            run.done.given_up += not sent
            closed(one.place)

    def _sessions(self, run: _Run, declaration: Declaration, limit: float) -> None:
        run.hurry()
        aggregate, now, newest = declaration.aggregate, self._now(), run.clock.newest or 0.0
        place, (states, windows) = WindowPlace(scope_of(self._owner, aggregate), None), self._stores
        upto = sessions_upto(aggregate, limit, newest)
        floor = sessions_floor(upto, newest, KEEP)
        emit = run.final(declaration)
        run.done.sessions += close_sessions(aggregate, place, upto, floor, states, windows, emit, now=now)
        self._looked[declaration.name] = now


class _Run(NamedTuple):
    """One run."""

    clock: Clock
    publisher: Publisher
    seconds_left: Callable[[], float]
    done: Closing
    failed: set[str]
    """Aggregates that are left for the next run."""

    @contextmanager
    def noting(self, declaration: Declaration) -> Iterator[None]:
        """Note what hinders an aggregate, and go on with the others."""
        try:
            yield
        except (_NoTimeLeft, MemoryError):
            raise
        except (Retryable, ConfigurationError) as error:
            self.done.troubles.append(error)
            self.failed.add(declaration.name)
        except Exception as error:  # noqa: BLE001 - a user's accumulator may raise anything
            what = f"aggregate {declaration.name}: its results can't be made: {error!r}"
            self.done.troubles.append(ConfigurationError(what))
            self.failed.add(declaration.name)

    def hurry(self) -> None:
        """Stop where too little time is left for another step."""
        if self.seconds_left() < 2 * RESERVE:
            raise _NoTimeLeft("the time of the invocation is over")

    def final(self, declaration: Declaration) -> Callable[[Sequence[Result]], None]:
        """What sends final results."""

        def emit(results: Sequence[Result]) -> None:
            self.hurry()
            self.publisher.send(declaration.name, rows(declaration.aggregate, results, final=True))

        return emit

    def ranked(
        self, declaration: Declaration, ranking: Ranking, window: Window
    ) -> Callable[[Iterator[list[Item]]], None]:
        """What ranks a window, and sends the first groups."""

        def emit(groups: Iterator[list[Item]]) -> None:
            found = ranked_rows(declaration, ranking, window, groups)
            self.hurry()
            self.publisher.send(declaration.name, found)

        return emit
