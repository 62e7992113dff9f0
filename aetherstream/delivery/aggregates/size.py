"""How large states may be, and where one goes on when its item is full.

DynamoDB: an item has up to 400 KB. The state of a window is bounded by its accumulators, and an aggregate that may not
fit is refused. How many sessions a group has is not bounded: there a shard's state goes on in a further item (part)
when the last one is full; what is emitted is merged over all items anyway. Whether a part is full follows from the
bytes that are stored, so that a commit that is folded again takes the same way, and finds itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.partials import Partial, dump
from aetherstream.aggregates.size import most_partial

FULL = 200_000
"""From so many bytes on a part takes no more sessions."""


def oversized(aggregate: Aggregate, partials: Mapping[Key, Partial]) -> dict[Key, int]:
    """The partials of a batch that are too large to be committed, with their bytes; they have to be refused before.

    Only groups with thousands of sessions in one batch, and accumulators that break their word, come so far.
    """
    limit, found = most_partial(aggregate), {}
    for key, partial in partials.items():
        if key.aggregate == aggregate.name and (size := len(dump(aggregate, partial))) > limit:
            found[key] = size
    return found
