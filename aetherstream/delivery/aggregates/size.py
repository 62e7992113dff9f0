"""How large states may be, and where one goes on when its item is full.

DynamoDB: an item has up to 400 KB. The state of a window is bounded by its accumulators, and an aggregate that may not
fit is refused. How many sessions a group has is not bounded: there a shard's state goes on in a further item (part)
when the last one is full; what is emitted is merged over all items anyway. Whether a part is full follows from the
bytes that are stored, so that a commit that is folded again takes the same way, and finds itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.partials import Partial, dump, max_bytes
from aetherstream.errors import ConfigurationError

MOST_STATE = 380_000
"""Most bytes of a state in one item; the rest is for its names."""
FULL = 200_000
"""From so many bytes on a part takes no more sessions."""
MOST_SESSIONS = 150_000
"""Most bytes of sessions that one batch may bring for one group: they fit behind what is not yet full."""


def check_size(aggregate: Aggregate) -> None:
    """Refuse an aggregate that may not fit, when the pipeline is loaded.

    Raises:
        ConfigurationError: says what each output may take.
    """
    limit = most_partial(aggregate)
    if (most := max_bytes(aggregate)) > limit:
        parts = ", ".join(f"{output.name} {output.accumulator.max_bytes:,}" for output in aggregate.outputs)
        what = "group" if aggregate.gap is None else "session"
        raise ConfigurationError(
            f"aggregate {aggregate.name}: the state of a {what} may take {most:,} bytes ({parts}), "
            f"and {limit:,} are the most: ask for less precision or a lower capacity, or make several aggregates of it"
        )


def most_partial(aggregate: Aggregate) -> int:
    """Most bytes that one batch may bring for one group."""
    return MOST_STATE if aggregate.gap is None else MOST_SESSIONS


def oversized(aggregate: Aggregate, partials: Mapping[Key, Partial]) -> dict[Key, int]:
    """The partials of a batch that are too large to be committed, with their bytes; they have to be refused before.

    Only groups with thousands of sessions in one batch, and accumulators that break their word, come so far.
    """
    limit, found = most_partial(aggregate), {}
    for key, partial in partials.items():
        if key.aggregate == aggregate.name and (size := len(dump(aggregate, partial))) > limit:
            found[key] = size
    return found
