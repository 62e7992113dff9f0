"""Which groups the state table's stream tells of."""

from __future__ import annotations

from typing import Any

from aetherstream.delivery.aggregates.changes import changed
from aetherstream.delivery.aggregates.places import begun_address, mark_address
from aetherstream.delivery.aggregates.statements import key_of, window_text
from tests.delivery.aggregate_support import SHARD, VISITS, WINDOW, place, window_place

OTHER = "shardId-000000000001"


def image(group: str, k: int, shard: str = SHARD, **more: Any) -> dict[str, Any]:
    at = key_of(place(group).address(shard))
    return {**at, "k": {"N": str(k)}, "group": {"S": f'["{group}"]'}, "window": {"S": window_text(WINDOW)}, **more}


def record(new: dict[str, Any] | None, old: dict[str, Any] | None = None) -> dict[str, Any]:
    images = {name: found for name, found in (("NewImage", new), ("OldImage", old)) if found is not None}
    return {"eventName": "MODIFY", "dynamodb": images}


def test_a_group_that_has_changed_is_told_once_whatever_shards_changed_it() -> None:
    records = [
        record(image("AA", 1)),
        record(image("UA", 2), image("UA", 1)),
        record(image("AA", 1, OTHER)),
        record(image("AA", 2), image("AA", 1)),
    ]
    assert changed(records) == [place("AA"), place("UA")]


def test_sessions_are_told_as_such() -> None:
    visits = place("AA", VISITS)
    new = {**image("AA", 1), **key_of(visits.address(SHARD)), "window": {"S": ""}}
    assert changed([record(new)]) == [visits]


def test_a_removal_changes_no_result() -> None:
    assert changed([record(None, image("AA", 1))]) == []


def test_an_expiry_changes_no_result() -> None:
    assert changed([record(image("AA", 1, expires={"N": "17"}), image("AA", 1))]) == []


def test_items_about_windows_are_no_groups() -> None:
    items = (begun_address(window_place(), SHARD), mark_address(window_place()))
    assert changed([record(key_of(address)) for address in items]) == []
