"""Breakers' items stand in the progress table, and disturb nobody who lists it."""

from __future__ import annotations

from aetherstream.delivery.breaker_item import BreakerItem, breaker_key
from aetherstream.delivery.breaker_store import to_item
from aetherstream.delivery.dynamodb import to_item as progress_item
from aetherstream.recovery.progress_view import ProgressTable, ShardView
from tests.recovery.test_progress_view import Table, item

BREAKER = to_item(BreakerItem(breaker_key("flights", "search"), revision=4, state="open"))


def test_a_listing_of_shards_passes_breakers_over() -> None:
    table = ProgressTable(Table(BREAKER, progress_item(item("flights#events#shardId-1"))), "progress")
    assert table.shards() == [ShardView("flights", "events", "shardId-1", item("flights#events#shardId-1"))]


def test_a_listing_of_one_pipeline_does_not_meet_them() -> None:
    table = ProgressTable(Table(BREAKER, progress_item(item("flights#events#shardId-1"))), "progress")
    assert [view.shard for view in table.shards("flights")] == ["shardId-1"]
