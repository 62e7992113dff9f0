"""What the state table's stream says: which groups have changed, so that they are emitted again."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

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
    return list(dict.fromkeys(place for place, _, _ in _writes(records)))


class Images(NamedTuple):
    """One write of an item that holds the sessions of a group: its states before and after."""

    old: bytes | None
    """None: there was no item."""
    new: bytes


def session_images(records: Iterable[Mapping[str, Any]]) -> dict[GroupPlace, list[Images]]:
    """The writes of items of sessions, by group, in their order. The stream's view has to have both images.

    Args:
        records: As those of `changed`.
    """
    found: dict[GroupPlace, list[Images]] = {}
    for place, old, new in _writes(records):
        if place.key.window is None:
            before = None if old is None or "acc" not in old else _binary(old["acc"]["B"])
            found.setdefault(place, []).append(Images(before, _binary(new["acc"]["B"])))
    return found


def _writes(
    records: Iterable[Mapping[str, Any]],
) -> Iterator[tuple[GroupPlace, Mapping[str, Any] | None, Mapping[str, Any]]]:
    for record in records:
        images = record["dynamodb"]
        new, old = images.get("NewImage"), images.get("OldImage")
        if not new or "k" not in new or (old and old.get("k") == new["k"]):
            continue
        scope = scope_in(new["pk"]["S"])
        key = Key(scope.aggregate, window_of(new["window"]["S"]), new["group"]["S"])
        yield GroupPlace(scope, key), old, new


def _binary(value: str | bytes) -> bytes:
    """AWS: an event has binary values in base64; the API of the stream gives bytes."""
    return base64.b64decode(value) if isinstance(value, str) else bytes(value)
