"""What the state table's stream says: which groups have changed, so that they are emitted again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aetherstream.aggregates.aggregate import Key
from aetherstream.delivery.aggregates.places import GroupPlace, scope_in
from aetherstream.delivery.aggregates.statements import window_of


def changed(records: Iterable[Mapping[str, Any]]) -> list[GroupPlace]:
    """The groups whose states have changed, each once, in the order of their first change.

    A removal (by expiry, say) changes no result, nor does a write that leaves `k` as it is (`expires` alone, say); the
    items about windows are none of a group's.

    Args:
        records: `Records` of the Lambda event; the stream's view type has to have new images. Where it has old ones
            too, writes that change nothing are told apart.
    """
    found: dict[GroupPlace, None] = {}
    for record in records:
        images = record["dynamodb"]
        new, old = images.get("NewImage"), images.get("OldImage")
        if not new or "k" not in new or (old and old.get("k") == new["k"]):
            continue
        scope = scope_in(new["pk"]["S"])
        key = Key(scope.aggregate, window_of(new["window"]["S"]), new["group"]["S"])
        found[GroupPlace(scope, key)] = None
    return list(found)
