"""Closing a window: its results go out with everything that was committed, at least once, whatever breaks in between.

The order does it. The mark comes before the reading: a state that changes before the mark is read here; who changes one
later finds the mark, or leaves it to the emitter, which sees each change and finds it. The window stays due until its
results are out. Before this, what is pending of every shard has to be folded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.delivery.aggregates.places import WindowPlace
from aetherstream.delivery.aggregates.results import Result, merged
from aetherstream.delivery.aggregates.state import Item, StateStore, WindowStore

KEEP = 7 * 86_400
"""Seconds for which states are kept after closing: for redrives, late events, and a look."""
MARKS = 400 * 86_400
"""Seconds for which a window is known to be closed: longer than a stream keeps records (AWS: 365 days)."""
AT_ONCE = 200
"""Groups whose results go out together."""


def close(
    aggregate: Aggregate,
    place: WindowPlace,
    shards: Sequence[str],
    states: StateStore,
    windows: WindowStore,
    emit: Callable[[Sequence[Result]], None],
    *,
    now: float,
) -> int:
    """Close a window that is due (`WindowStore.due` gives it with its shards); fixed windows only.

    Args:
        aggregate: Whose window it is.
        place: The window.
        shards: Those that have begun it.
        states: Where its states are.
        windows: Where it is noted.
        emit: Takes the results of some groups (`AT_ONCE`); it may be called again with the same ones, or later ones,
            and raises where it can't deliver.
        now: Epoch seconds.

    Returns:
        How many groups it has.

    Raises:
        Retryable: it is still due.
        ConfigurationError: somebody has to change the deployment.
    """
    mark = windows.close(place, int(now) + KEEP, kept=int(now) + MARKS)
    groups = 0
    of_all = states.window(place)
    while some := list(islice(of_all, AT_ONCE)):
        emit([result for items in some for result in merged(aggregate, items)])
        groups += len(some)
        if mark.expires is not None:
            let_expire(states, [item for items in some for item in items], mark.expires)
    windows.settle(place, shards)
    return groups


def let_expire(states: StateStore, items: Sequence[Item], at: int) -> None:
    """Let the items of a closed window be removed.

    Those that have changed since they were read are left: the emitter sees the change, and does it again.
    """
    if lasting := [item for item in items if item.expires is None]:
        states.expire(lasting, at)
