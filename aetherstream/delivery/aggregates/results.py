"""What is emitted: a group's items, merged over shards and parts, with a version that only grows.

The version is the sum of the `k` of the items that hold a part of the result. Each change of any of them raises it;
reading them again gives the same or a later one, so an emission that is late or repeated does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.partials import Partial, load, merge
from aetherstream.aggregates.sessions import Accs, Sessions
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.state import Item


class Result(NamedTuple):
    """What a group has in one window, or in one session."""

    key: Key
    window: Window
    """Of the session, where the windows are sessions."""
    accs: Accs
    """For `aetherstream.aggregates.partials.results`."""
    version: int


def merged(aggregate: Aggregate, items: Sequence[Item]) -> list[Result]:
    """Merge all items of one group (`StateStore.group`): one result, or one for each session.

    Raises:
        UnreadableState: a later version wrote an item.
    """
    if not items:
        return []
    key = items[0].place.key
    parts = [(item.state.k, load(aggregate, item.state.acc)) for item in items]
    partial = _united(aggregate, [part for _, part in parts])
    if key.window is not None:
        return [Result(key, key.window, partial, sum(k for k, _ in parts))]
    return _by_session(aggregate, key, partial, parts)


def sessions_ended(aggregate: Aggregate, items: Sequence[Item], floor: float) -> bool:
    """Whether all sessions of a group ended before `floor` (event time): then its items may be removed."""
    gap = aggregate.gap
    return gap is not None and all(
        session.last + gap <= floor for item in items for session in load(aggregate, item.state.acc)
    )


def _united(aggregate: Aggregate, partials: Sequence[Partial]) -> Partial:
    united = partials[0]
    for partial in partials[1:]:
        united = merge(aggregate, united, partial)
    return united


def _by_session(
    aggregate: Aggregate, key: Key, united: Sessions, parts: Sequence[tuple[int, Sessions]]
) -> list[Result]:
    # An item counts only for the sessions that it holds a part of: it may be removed while others go on, and the
    # version of those must not fall.
    return [
        Result(
            key,
            session.window(aggregate.gap or 0),
            session.accs,
            sum(k for k, own in parts if any(session.first <= one.first <= session.last for one in own)),
        )
        for session in united
    ]
