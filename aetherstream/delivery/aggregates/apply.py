"""Folding a commit's log into the states: every group once, whoever does it, however often.

Commits are folded in their order (the next one is made only when this one is folded), so an item whose `k` is not lower
than the commit's has it already. Every write is made on the condition that the stored `k` is the one that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.partials import Partial, dump, load, merge
from aetherstream.aggregates.size import MOST_STATE
from aetherstream.delivery.aggregates.memory import Memory, Remembered
from aetherstream.delivery.aggregates.places import Address, GroupPlace, Scope, WindowPlace
from aetherstream.delivery.aggregates.size import FULL
from aetherstream.delivery.aggregates.state import Mark, State, StateStore, WindowStore, Write
from aetherstream.errors import ConfigurationError, Retryable

SOON = 3600
"""A state that may be removed within so many seconds counts as gone."""
_TRIES = 10
_AT_ONCE = 400
"""Writes that are begun before the time that is left is looked at again: 16 requests of 25, all at once."""


class Declared(NamedTuple):
    """An aggregate and where its states stand."""

    aggregate: Aggregate
    scope: Scope


@dataclass(slots=True)
class Applied:
    """What folding a log came to."""

    folded: int = 0
    """Groups into which it was folded now."""
    had: int = 0
    """Groups that had it already."""
    gone: int = 0
    """Groups, or sessions, whose state was removed after closing: they were left alone."""
    undeclared: int = 0
    """Groups of aggregates that are no longer declared so: nobody reads their states any more."""
    reads: int = 0
    """Items that were asked for."""
    writes: int = 0
    """Writes, also those whose condition did not hold."""


class Stores(NamedTuple):
    """What folding works on."""

    states: StateStore
    windows: WindowStore


class Budget(NamedTuple):
    """Time, as folding needs it."""

    now: float
    """Epoch seconds."""
    seconds_left: Callable[[], float] = lambda: float("inf")
    longest: float = 0.0
    """Seconds that some writes may take; with less left no more are begun."""


def apply(
    commit: int,
    shard: str,
    partials: Mapping[Key, Partial],
    declared: Mapping[str, Declared],
    stores: Stores,
    memory: Memory,
    budget: Budget,
) -> Applied:
    """Fold the partials of a commit.

    Raises:
        Retryable: some groups may lack it; folding it again folds it into those.
        ConfigurationError: somebody has to change the deployment; or `UnreadableState`.
    """
    applied = Applied()
    places = {GroupPlace(declared[key.aggregate].scope, key): partial for key, partial in partials.items()}
    marks = look(dict.fromkeys(place.in_window for place in places), stores.windows, memory, budget.now)
    there: dict[GroupPlace, Partial] = {}
    for place, partial in places.items():
        kept, gone = remaining(partial, marks[place.in_window], budget.now)
        applied.gone += gone
        if kept is not None:
            there[place] = kept
    _begin(dict.fromkeys(place.in_window for place in there), shard, marks, stores.windows, memory)
    folding = _Folding(commit, shard, declared, stores.states, memory, marks, budget, applied)
    folding.run(_Task(place, partial, place.address(shard)) for place, partial in there.items())
    memory.forget_windows(budget.now)
    return applied


def look(places: Iterable[WindowPlace], windows: WindowStore, memory: Memory, now: float) -> dict[WindowPlace, Mark]:
    """What closing has left behind of windows; nothing is read of those that were looked at a while ago.

    Raises Retryable, ConfigurationError.
    """
    found = {place: memory.mark(place, now) for place in places}
    if unknown := [place for place, mark in found.items() if mark is None]:
        marks = windows.marks(unknown)
        for place in unknown:
            memory.looked(place, marks.get(place, Mark()), now)
            found[place] = marks.get(place, Mark())
    return {place: mark or Mark() for place, mark in found.items()}


def is_gone(mark: Mark, now: float) -> bool:
    """Whether the states of a closed window may be removed, now or before a log is folded."""
    return mark.expires is not None and mark.expires <= now + SOON


def remaining(partial: Partial, mark: Mark, now: float) -> tuple[Partial | None, int]:
    """What of a partial can still be folded (None: nothing), and how many of its parts can't."""
    if is_gone(mark, now):
        return None, 1
    floor = mark.floor
    if floor is None:
        return partial, 0
    kept = tuple(session for session in partial if session.first >= floor)
    return kept or None, len(partial) - len(kept)


def _begin(
    places: Iterable[WindowPlace],
    shard: str,
    marks: Mapping[WindowPlace, Mark],
    windows: WindowStore,
    memory: Memory,
) -> None:
    """Let closing know of windows, before anything is written into them."""
    new = [place for place in places if place.window is not None and not memory.has_begun(place, shard)]
    if new:
        first = windows.begin(new, shard)
        for place in new:
            # Of a window that was closed it is no longer noted who had begun it.
            memory.begun(place, shard, first=place in first and marks[place] == Mark())


class _Task(NamedTuple):
    """A partial on its way into an item."""

    place: GroupPlace
    partial: Partial
    address: Address
    part: int = 0


class _Folding:
    """The rounds of one `apply`: look, write, and again what met somebody else's write."""

    def __init__(
        self,
        commit: int,
        shard: str,
        declared: Mapping[str, Declared],
        states: StateStore,
        memory: Memory,
        marks: Mapping[WindowPlace, Mark],
        budget: Budget,
        applied: Applied,
    ) -> None:
        self._commit, self._shard, self._declared, self._marks = commit, shard, declared, marks
        self._states, self._memory, self._budget, self._applied = states, memory, budget, applied
        self._known: dict[Address, Remembered | None] = {}
        """Items as far as is known; None: nothing stands there."""

    def run(self, tasks: Iterable[_Task]) -> None:
        tasks = list(tasks)
        for _ in range(_TRIES):
            writes: list[tuple[_Task, Write, Remembered]] = []
            while tasks:  # once, and once more for each further part that full ones make it look at
                self._read(tasks)
                tasks = [further for task in tasks if (further := self._decide(task, writes)) is not None]
            tasks = self._write(writes)
            if not tasks:
                return
        raise Retryable(
            f"aggregates of {self._shard}: {len(tasks)} groups met another writer {_TRIES} times in a row, the first "
            f"is {tasks[0].place.key}"
        )

    def _read(self, tasks: list[_Task]) -> None:
        """Make every task's item known."""
        unknown = []
        for task in tasks:
            if task.address in self._known:
                continue
            item = self._memory.get(task.address)
            if item is not None:
                self._known[task.address] = item
            elif task.part == 0 and self._memory.is_whole(task.place.in_window, self._shard):
                self._known[task.address] = None  # most likely; if not, the write tells
            else:
                unknown.append(task)
        if unknown:
            self._applied.reads += len(unknown)
            found = self._states.read([task.address for task in unknown])
            for task in unknown:
                self._learn(task, found.get(task.address))

    def _learn(self, task: _Task, state: State | None) -> None:
        if state is None:
            self._memory.forget(task.address)
            self._known[task.address] = None
        else:
            partial = load(self._declared[task.place.key.aggregate].aggregate, state.acc)
            self._remember(task, Remembered(state.k, partial, len(state.acc)))

    def _remember(self, task: _Task, item: Remembered) -> None:
        self._known[task.address] = item
        self._memory.put(task.place, self._shard, task.address, item)

    def _decide(self, task: _Task, writes: list[tuple[_Task, Write, Remembered]]) -> _Task | None:
        """Say what is to be written for a task; or give the task of the next part."""
        item = self._known[task.address]
        if item is not None and item.k >= self._commit:
            self._applied.had += 1
            return None
        if item is not None and item.size >= FULL and task.place.key.window is None:
            return self._next_part(task)
        aggregate = self._declared[task.place.key.aggregate].aggregate
        partial = task.partial
        if item is not None:
            partial = merge(aggregate, self._pruned(task.place, item.partial), partial)
        acc = dump(aggregate, partial)
        if len(acc) > MOST_STATE:  # only where an accumulator breaks its word
            if item is None:
                raise ConfigurationError(
                    f"aggregate {aggregate.name}: what one batch brings for {task.place.key.group} takes {len(acc):,} "
                    "bytes, more than an item of DynamoDB holds: an accumulator exceeds its max_bytes"
                )
            return self._next_part(task)
        write = Write(task.place, task.address, None if item is None else item.k, State(self._commit, acc))
        writes.append((task, write, Remembered(self._commit, partial, len(acc))))
        return None

    def _next_part(self, task: _Task) -> _Task:
        part = task.part + 1
        return task._replace(part=part, address=task.place.address(self._shard, part))

    def _pruned(self, place: GroupPlace, partial: Partial) -> Partial:
        """A state without the sessions that were closed long ago."""
        floor, gap = self._marks[place.in_window].floor, self._declared[place.key.aggregate].aggregate.gap
        if floor is None or gap is None:
            return partial
        return tuple(session for session in partial if session.last + gap > floor)

    def _write(self, writes: list[tuple[_Task, Write, Remembered]]) -> list[_Task]:
        """Write; gives the tasks whose items were not as they were known."""
        again: list[_Task] = []
        errors: list[Retryable | ConfigurationError] = []
        for start in range(0, len(writes), _AT_ONCE):
            if errors:
                break
            if (left := self._budget.seconds_left()) < self._budget.longest:
                errors.append(Retryable(f"aggregates of {self._shard}: not all are folded, {left:.1f} s were left"))
                break
            some = writes[start : start + _AT_ONCE]
            self._applied.writes += len(some)
            written = self._states.write([write for _, write, _ in some])
            for task, write, made in some:
                if task.address in written.failed:
                    self._memory.forget(task.address)
                    errors.append(written.failed[task.address])
                elif task.address in written.refused:
                    again += self._refused(task, write, written.refused[task.address])
                else:
                    self._remember(task, made)
                    self._applied.folded += 1
        if errors:
            raise next((error for error in errors if isinstance(error, ConfigurationError)), errors[0])
        return again

    def _refused(self, task: _Task, write: Write, stored: State | None) -> list[_Task]:
        if stored is None and write.read is not None and task.place.key.window is not None:
            # There was a state and it is gone: its window was closed long ago, and a new one would be a part.
            self._memory.forget(task.address)
            self._applied.gone += 1
            return []
        self._learn(task, stored)
        return [task]
