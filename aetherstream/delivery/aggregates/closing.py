"""Closing: final results go out with everything that was committed, at least once, whatever breaks in between.

The order does it. The mark comes before the reading: a state that changes before the mark is read here; who changes one
later finds the mark, or leaves it to the emitter, which sees each change and finds it. A window stays due until its
results are out. Before this, what is pending of every shard has to be folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.partials import max_bytes
from aetherstream.delivery.aggregates.places import WindowPlace
from aetherstream.delivery.aggregates.results import Result, merged, sessions_ended
from aetherstream.delivery.aggregates.state import Item, State, StateStore, WindowStore

KEEP = 7 * 86_400
"""Seconds for which states are kept after closing: for redrives, late events, and a look."""
MARKS = 400 * 86_400
"""Seconds for which a window is known to be closed: longer than a stream keeps records (AWS: 365 days)."""
ENDED = 86_400
"""Seconds for which a group whose sessions are all forgotten is kept. Longer than processes remember what is forgotten
(`memory.LOOK_AGAIN`): one that does not know it yet still finds the state."""
AT_ONCE = 200
"""Groups whose results go out together, where their states are small."""
_BYTES_AT_ONCE = 16_000_000
"""Bytes that their states may have in each shard."""

Emit = Callable[[Sequence[Result]], None]
"""Takes the results of some groups (`AT_ONCE`); it may be called again with the same ones, or later ones, and raises
where it can't deliver."""


def close(
    aggregate: Aggregate,
    due: Iterable[tuple[WindowPlace, Sequence[str]]],
    states: StateStore,
    windows: WindowStore,
    emit: Emit,
    closed: Callable[[WindowPlace], None] = lambda _: None,
    *,
    now: float,
) -> int:
    """Close windows that are due; fixed windows only. The results of small ones go out together.

    Where an earlier run was cut off it goes on: a group whose items all expire has been emitted since the mark.

    Args:
        aggregate: Whose windows they are.
        due: Each window with the shards that have begun it (`WindowStore.due`).
        states: Where its states are.
        windows: Where it is noted.
        emit: Takes the results.
        closed: Is told of each window that is closed.
        now: Epoch seconds.

    Returns:
        How many groups went out.

    Raises:
        Retryable: those of which `closed` was not told are still due.
        ConfigurationError: somebody has to change the deployment.
    """
    most, groups = at_once(aggregate), 0
    waiting: list[tuple[int, list[Item]]] = []
    read: list[tuple[WindowPlace, Sequence[str]]] = []

    def send() -> int:
        """Send what waits, and settle the windows that have been read to their end: all of theirs is out by then."""
        sent = len(waiting)
        if waiting:
            emit([result for _, items in waiting for result in merged(aggregate, items)])
        for at in dict.fromkeys(at for at, _ in waiting):
            let_expire(states, [item for each, items in waiting if each == at for item in items], at)
        for place, shards in read:
            windows.settle(place, shards)
            closed(place)
        waiting.clear()
        read.clear()
        return sent

    for place, shards in due:
        expires = _marked(place, windows, now)
        for items in states.window(place):
            if _is_to_emit(items, expires, now):
                waiting.append((expires, items))
                if len(waiting) >= most:
                    groups += send()
        read.append((place, shards))
        if len(read) >= most:
            groups += send()
    return groups + send()


def close_as_a_whole(
    place: WindowPlace,
    shards: Sequence[str],
    states: StateStore,
    windows: WindowStore,
    emit: Callable[[Iterator[list[Item]]], None],
    *,
    now: float,
) -> bool:
    """Close a window whose groups are emitted together: a ranking needs all of them.

    Args:
        place: The window.
        shards: Those that have begun it.
        states: Where its states are.
        windows: Where it is noted.
        emit: Takes the items of all groups.
        now: Epoch seconds.

    Returns:
        False where it was closed so long ago that some states may be removed: nothing went out, and nothing will.

    Raises:
        Retryable: it is still due.
        ConfigurationError: somebody has to change the deployment.
    """
    expires = _marked(place, windows, now)
    if expires <= now:
        windows.settle(place, shards)
        return False
    read: list[Item] = []
    emit(noted(states.window(place), read))
    let_expire(states, read, expires)
    windows.settle(place, shards)
    return True


def close_sessions(
    aggregate: Aggregate,
    place: WindowPlace,
    upto: float,
    floor: float,
    states: StateStore,
    windows: WindowStore,
    emit: Emit,
    *,
    now: float,
) -> int:
    """Emit the sessions that have ended since this was done last; reads all groups of the aggregate.

    Args:
        aggregate: Whose sessions they are.
        place: All of them.
        upto: Event time; those that end there or before are closed.
        floor: Those that ended before this event time are forgotten, once their results are out.
        states: Where they are.
        windows: Where it is noted.
        emit: Takes the results.
        now: Epoch seconds.

    Returns:
        How many sessions went out.

    Raises:
        Retryable: those that were not emitted will be.
        ConfigurationError: somebody has to change the deployment.
    """
    mark = windows.close_sessions(place, upto)
    if mark.emitted is not None and mark.emitted >= upto:
        return 0
    sessions = 0
    for some in _some(states.window(place), at_once(aggregate)):
        ended = [
            result
            for items in some
            for result in merged(aggregate, items)
            if result.window.end <= upto and (mark.emitted is None or result.window.end > mark.emitted)
        ]
        if ended:
            emit(ended)
            sessions += len(ended)
        if (forgotten := mark.floor) is not None:
            over = [items for items in some if sessions_ended(aggregate, items, forgotten)]
            let_expire(states, [item for items in over for item in items], int(now) + ENDED)
    windows.sessions_emitted(place, upto)
    # Only now: who folds into a group leaves out of its state what has ended before the floor.
    windows.forget(place, floor)
    return sessions


def at_once(aggregate: Aggregate) -> int:
    """How many groups are held in memory, and go out, together."""
    return max(1, min(AT_ONCE, _BYTES_AT_ONCE // max_bytes(aggregate)))


def noted(groups: Iterable[list[Item]], read: list[Item]) -> Iterator[list[Item]]:
    """Pass items on, and note for `let_expire` which they were, without their states: a window may have many."""
    for items in groups:
        read += [item._replace(state=State(item.state.k, b"")) for item in items]
        yield items


def let_expire(states: StateStore, items: Sequence[Item], at: int) -> None:
    """Let the items of a closed window be removed.

    Those that have changed since they were read are left: the emitter sees the change, and does it again.
    """
    if lasting := [item for item in items if item.expires is None]:
        states.expire(lasting, at)


def _marked(place: WindowPlace, windows: WindowStore, now: float) -> int:
    """Mark a window as closed; returns when its states may be removed, by the first mark."""
    expires = int(now) + KEEP
    mark = windows.close(place, expires, kept=int(now) + MARKS)
    return expires if mark.expires is None else mark.expires


def _is_to_emit(items: Sequence[Item], expires: int, now: float) -> bool:
    """Whether a group of a closed window has not been emitted yet, and is whole."""
    ending = [item.expires is not None for item in items]
    # Where nothing could be sent for as long as states are kept, some items of a group may be removed, and what is left
    # would pass for the whole.
    return not any(ending) if expires <= now else not all(ending)


def _some(groups: Iterator[list[Item]], count: int) -> Iterator[list[list[Item]]]:
    while some := list(islice(groups, count)):
        yield some
