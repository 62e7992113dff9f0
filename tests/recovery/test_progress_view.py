"""Where shards stand, and a reset that no late attempt and no older object can spoil."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from aetherstream.delivery.dynamodb import to_item
from aetherstream.delivery.progress import Attempt, Death, Lease, Noted, Progress, ProgressStore
from aetherstream.delivery.put import put
from aetherstream.errors import Retryable, Superseded, UsageError
from aetherstream.objects import lines_of
from aetherstream.records import KinesisRecords
from aetherstream.recovery.lease import LeaseHeld, Leases
from aetherstream.recovery.progress_view import ProgressTable, ShardView, reset
from aetherstream.testing.builders import SHARD, STREAM, kinesis_records
from aetherstream.testing.stores import MemoryObjects, MemoryProgress
from tests.engine.harness import KEY, Bench, counted, process


class Table:
    """Answers GetItem and Scan as DynamoDB does, a page of one item at a time."""

    def __init__(self, *items: dict[str, Any], down: bool = False) -> None:
        self.items = items
        self.down = down

    def get_item(self, *, TableName: str, ConsistentRead: bool, Key: Any) -> dict[str, Any]:  # noqa: N803
        assert (TableName, ConsistentRead) == ("progress", True)
        found = [item for item in self.items if item["pk"] == Key["pk"]]
        return {"Item": found[0]} if found else {}

    def scan(self, *, TableName: str, ConsistentRead: bool, **request: Any) -> dict[str, Any]:  # noqa: N803
        assert (TableName, ConsistentRead) == ("progress", True)
        if self.down:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1")
        prefix = request.get("ExpressionAttributeValues", {}).get(":prefix", {"S": ""})["S"]
        at = request.get("ExclusiveStartKey", 0)
        page = [item for item in self.items[at : at + 1] if item["pk"]["S"].startswith(prefix)]
        return {"Items": page} | ({"LastEvaluatedKey": at + 1} if at + 1 < len(self.items) else {})


def item(key: str, **changes: Any) -> Progress:
    return replace(
        Progress(key, revision=3, epoch=2, completed="003110", completed_arrival=1_763_712_010_000), **changes
    )


def view(**changes: Any) -> ShardView:
    return ShardView("flights", "events", SHARD, item(KEY, **changes))


def test_the_shards_of_a_pipeline_come_in_order_over_all_pages() -> None:
    keys = ["flights#events#shardId-2", "flights#events#shardId-1", "other#events#shardId-1"]
    table = ProgressTable(Table(*[to_item(item(key)) for key in keys]), "progress")
    assert table.shards("flights") == [
        ShardView("flights", "events", "shardId-1", item(keys[1])),
        ShardView("flights", "events", "shardId-2", item(keys[0])),
    ]
    assert [found.pipeline for found in table.shards()] == ["flights", "flights", "other"]


def test_items_of_other_kinds_are_passed_over() -> None:
    assert ProgressTable(Table({"pk": {"S": "flights#events#breaker"}}), "progress").shards() == []


def test_one_item_is_read_by_its_key() -> None:
    table = ProgressTable(Table(to_item(item(KEY))), "progress")
    assert (table.get(KEY), table.get("flights#events#none")) == (item(KEY), None)


def test_a_table_that_does_not_answer_is_named() -> None:
    with pytest.raises(UsageError, match="the progress table progress can't be read: Could not connect"):
        ProgressTable(Table(down=True), "progress").shards()


def test_a_mark_is_the_sequence_number_and_its_arrival() -> None:
    assert (view().mark, view().arrival) == ("110", datetime(2025, 11, 21, 8, 0, 10, tzinfo=UTC))


def test_a_shard_without_a_mark_has_no_arrival() -> None:
    assert (view(completed="").mark, view(completed="").arrival) == (None, None)


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        (Attempt(), "none"),
        (Attempt("003100", 5), "done (5 records from 100)"),
        (Attempt("003200", 1), "ended with an error (1 record from 200)"),
        (Attempt("003200", 5, ended=False), "under way, or killed (5 records from 200)"),
        (Attempt("003100", 5, ended=False), "given up, and settled by a redrive since (5 records from 100)"),
        (
            Attempt("003200", 2, ended=False, deaths=(Death("p8", 4), Death("p9", 4))),
            "under way, or killed (2 records from 200, 2 killed before at this start)",
        ),
    ],
)
def test_the_last_attempt_is_told_in_words(attempt: Attempt, says: str) -> None:
    assert view(attempt=attempt).last_attempt == says


NOW = 1_763_800_000.0


def set_back(stored: Progress, progress: ProgressStore, objects: MemoryObjects) -> Progress:
    return reset(stored, Leases(progress, owner="me", clock=lambda: NOW), store=objects)


def stores(stored: Progress) -> tuple[MemoryObjects, MemoryProgress]:
    return MemoryObjects(), MemoryProgress({stored.key: stored})


def test_a_reset_clears_the_mark_and_keeps_totals_and_the_epoch_rising() -> None:
    stored = item(KEY, counters={"records": 7}, attempt=Attempt("003100", 2), others={"note": {"S": "kept"}})
    objects, progress = stores(stored)
    done = set_back(stored, progress, objects)
    assert done == replace(stored, revision=6, epoch=3, completed="", completed_arrival=0, attempt=Attempt())
    assert (progress.items, objects.objects) == ({KEY: done}, {})


def test_what_unfinished_attempts_noted_is_emptied_also_where_nothing_stands() -> None:
    stored = item(
        KEY, open={"data/archive/a.ndjson.gz": Noted("003120", "v1"), "data/b.ndjson.zst": Noted("003", "v1")}
    )
    objects, progress = stores(stored)
    put(objects, "data", "archive/a.ndjson.gz", b"left", {}, 2)
    done = set_back(stored, progress, objects)
    assert done.open == {}
    assert {key: lines_of(key, o.body) for (_, key), o in objects.objects.items()} == {
        "archive/a.ndjson.gz": [],
        "b.ndjson.zst": [],
    }
    with pytest.raises(Superseded):
        put(objects, "data", "archive/a.ndjson.gz", b"late", {}, 2)


def test_a_reset_acts_on_the_item_that_stands_and_not_on_the_one_that_was_shown() -> None:
    objects, progress = stores(item(KEY, revision=9, epoch=6))
    done = set_back(item(KEY), progress, objects)
    assert (done.revision, done.epoch, done.completed) == (12, 7, "")


def test_a_reset_that_was_interrupted_comes_to_the_same_when_it_is_done_again() -> None:
    class Broken(MemoryObjects):
        def put(self, *args: Any, **options: Any) -> None:
            raise Retryable("S3 is down")

    stored = item(KEY, open={"data/a.ndjson.gz": Noted("003120", "v1")})
    progress = MemoryProgress({KEY: stored})
    with pytest.raises(Retryable, match="S3 is down"):
        set_back(stored, progress, Broken())
    assert progress.items[KEY] == replace(stored, revision=5, epoch=3)
    done = set_back(progress.items[KEY], progress, MemoryObjects())
    assert (done.epoch, done.completed, done.open) == (4, "", {})


def test_a_reset_gives_way_to_an_attempt_that_claims_in_between() -> None:
    stored = item(KEY, open={"data/a.ndjson.gz": Noted("003120", "v1")})
    progress = MemoryProgress({KEY: stored})

    class Claimed(MemoryObjects):
        def put(self, *args: Any, **options: Any) -> None:
            now = progress.items[KEY]
            progress.items[KEY] = replace(now, revision=now.revision + 1, epoch=now.epoch + 1)

    with pytest.raises(Retryable, match="an attempt has claimed the shard during the reset, and its mark stays"):
        set_back(stored, progress, Claimed())
    assert progress.items[KEY].completed == stored.completed


def test_a_reset_waits_for_whoever_redrives_the_shard() -> None:
    stored = item(KEY, lease=Lease("somebody", 2, round(NOW * 1000) + 1))
    objects, progress = stores(stored)
    with pytest.raises(LeaseHeld, match="somebody redrives this shard"):
        set_back(stored, progress, objects)
    assert progress.items[KEY] == stored


def test_what_an_unfinished_redrive_noted_is_emptied() -> None:
    stored = item(KEY, redrive_keys=("data/archive/r.ndjson.gz",))
    objects, progress = stores(stored)
    done = set_back(stored, progress, objects)
    assert (done.redrive_keys, done.lease, list(objects.objects)) == ((), None, [("data", "archive/r.ndjson.gz")])


def test_an_item_that_is_not_there_is_not_made() -> None:
    with pytest.raises(UsageError, match="there is no progress item, and nothing to reset"):
        set_back(Progress(KEY), MemoryProgress(), MemoryObjects())


def batch(*numbers: int, arrival: float, first: int = 100) -> KinesisRecords:
    return kinesis_records([{"p": "a", "n": n} for n in numbers], first=first, stream=STREAM, arrival=arrival)


def test_a_stream_made_anew_goes_on_after_a_reset() -> None:
    bench = Bench()
    engine = bench.engine()
    process(engine, batch(1, 2, arrival=1_763_712_000.0, first=500))
    anew = batch(3, 4, arrival=1_763_900_000.0)
    assert "made anew" in (process(engine, anew).error or "")
    set_back(bench.item, bench.progress, bench.objects)
    assert counted(process(engine, anew)) == {"records_in": 2, "passed": 2}
    assert bench.ids == ["100:0", "110:0", "500:0", "510:0"]


def test_an_attempt_that_was_under_way_can_not_complete_after_a_reset() -> None:
    bench = Bench()

    class During(MemoryObjects):
        def put(self, *args: Any, **options: Any) -> None:
            super().put(*args, **options)
            if bench.progress.items[KEY].epoch == 1:
                set_back(bench.item, bench.progress, bench.objects)

    bench.objects = During()
    report = process(bench.engine(), batch(1, arrival=1_763_712_000.0))
    assert (counted(report), bench.item.completed, bench.ids) == ({"records_in": 1, "left": 1}, "", [])


def test_a_process_that_was_warm_during_a_reset_delivers_a_batch_that_it_had_settled() -> None:
    bench = Bench()
    engine = bench.engine()
    again = batch(1, 2, arrival=1_763_712_000.0)
    process(engine, again)
    bench.objects.objects.clear()
    set_back(bench.item, bench.progress, bench.objects)
    assert (counted(process(engine, again)), bench.ids) == ({"records_in": 2, "passed": 2}, ["100:0", "110:0"])
