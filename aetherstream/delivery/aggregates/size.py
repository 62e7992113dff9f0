"""How large states may be, and where one goes on when its item is full.

DynamoDB: an item has up to 400 KB. A shard's state of a group goes on in a further item (part) when the last one is
full; what is emitted is merged over all items anyway. Whether a part is full follows from what is stored, so that a
commit that is folded again takes the same way, and finds itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.partials import Partial, dump, max_bytes
from aetherstream.errors import ConfigurationError

MOST_PARTIAL = 150_000
"""Most bytes that one batch may bring for one group."""
FULL = 200_000
"""From so many bytes on a part takes no more: with a partial it would not fit into an item, names and all."""
MOST_STATE = 390_000
"""Most bytes that are written: only a user's accumulator that breaks its word (`max_bytes`) gets there."""


def check_size(aggregate: Aggregate) -> None:
    """Refuse an aggregate that may not fit, when the pipeline is loaded.

    Raises:
        ConfigurationError: says what each output may take.
    """
    if (most := max_bytes(aggregate)) > MOST_PARTIAL:
        parts = ", ".join(f"{output.name} {output.accumulator.max_bytes:,}" for output in aggregate.outputs)
        raise ConfigurationError(
            f"aggregate {aggregate.name}: the state of a group may take {most:,} bytes ({parts}), and {MOST_PARTIAL:,} "
            "are the most: ask for less precision or a lower capacity, or make several aggregates of it"
        )


def oversized(aggregate: Aggregate, partials: Mapping[Key, Partial]) -> dict[Key, int]:
    """The partials of a batch that are too large to be committed, with their bytes; they have to be refused before.

    Only groups with thousands of sessions in one batch, and accumulators that break their word, come so far.
    """
    found = {}
    for key, partial in partials.items():
        if key.aggregate == aggregate.name and (size := len(dump(aggregate, partial))) > MOST_PARTIAL:
            found[key] = size
    return found
