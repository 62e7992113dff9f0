"""Results as objects: the contract, keys that follow from the rows, and the query that the module gives."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from aetherstream.aggregates.windows import Window
from aetherstream.delivery.put import Conflict
from aetherstream.errors import Retryable
from aetherstream.objects import lines_of
from aetherstream.results import s3 as module
from aetherstream.results.parts import Outlet, Row, Sent
from aetherstream.results.s3 import S3Outlet
from aetherstream.testing.results import NEW_YEAR, OutletContract, OutletSubject, row, shown, taken_back
from aetherstream.testing.stores import MemoryObjects

NAME = "aggregates.hours.to.archive"


class Objects(MemoryObjects):
    """Objects that are not to be had on request."""

    fails: Exception | None = None

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        if self.fails is not None:
            raise self.fails
        super().put(bucket, key, body, metadata, if_match=if_match)


def outlet(store: MemoryObjects, **options: Any) -> S3Outlet:
    return S3Outlet(NAME, store, "bucket", "flights/hours", **options)


def read(objects: Iterable[tuple[str, bytes]]) -> dict[str, dict[str, Any]]:
    """What the query finds: of each id the newest row, unless it was removed."""
    found: dict[str, dict[str, Any]] = {}
    for key, body in objects:
        for each in map(orjson.loads, lines_of(key, body)):
            if each["version"] > found.get(each["id"], each)["version"] or each["id"] not in found:
                found[each["id"]] = each
    live = {key: each for key, each in found.items() if not each["removed"]}
    return {key: {name: value for name, value in each.items() if name != "removed"} for key, each in live.items()}


def bodies(store: MemoryObjects) -> list[tuple[str, bytes]]:
    return [(key, stored.body) for key, stored in store.under("bucket", "")]


class Subject:
    def __init__(self) -> None:
        self.store = Objects()
        self.outlet: Outlet = outlet(self.store)

    def stored(self) -> Mapping[str, Mapping[str, Any]]:
        return read(bodies(self.store))

    def take_down(self) -> None:
        self.store.fails = Retryable("503 SlowDown")

    def bring_up(self) -> None:
        self.store.fails = None


class TestS3(OutletContract):
    def subject(self) -> OutletSubject:
        return Subject()


def keys(store: MemoryObjects) -> list[str]:
    return [key for _, key in sorted(store.objects)]


def test_only_final_rows_are_for_s3() -> None:
    assert outlet(MemoryObjects()).final_only


def test_rows_of_a_day_are_one_object_that_is_named_by_the_earliest_window() -> None:
    store = MemoryObjects()
    outlet(store).send([row("UA", hour=11), row("AA", hour=10), row("AA", hour=24)], 60.0)
    assert [key.rpartition("-")[0] for key in keys(store)] == [
        "flights/hours/day=2013-01-01/20130101T100000Z",
        "flights/hours/day=2013-01-02/20130102T000000Z",
    ]


def test_an_object_says_how_many_rows_it_has() -> None:
    store = MemoryObjects()
    outlet(store).send([row("UA"), row("AA")], 60.0)
    assert [stored.metadata for stored in store.objects.values()] == [{"aether-count": "2"}]


def test_a_session_that_begins_within_a_second_is_named_by_its_start() -> None:
    store = MemoryObjects()
    outlet(store).send([Row("a/w/g", "a", Window(NEW_YEAR + 0.25, NEW_YEAR + 60), 9, True)], 60.0)
    assert keys(store)[0].startswith("flights/hours/day=2013-01-01/20130101T000000.250000Z-")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2, 1)])
def test_the_same_rows_are_the_same_object_in_any_order(order: Sequence[int]) -> None:
    rows = [row("AA"), row("UA"), row("DL")]
    one, other = MemoryObjects(), MemoryObjects()
    outlet(one).send(rows, 60.0)
    outlet(other).send([rows[index] for index in order], 60.0)
    assert bodies(one) == bodies(other)


def test_a_change_after_closing_is_a_further_object() -> None:
    store = MemoryObjects()
    outlet(store).send([row("AA", 7), row("UA", 7)], 60.0)
    outlet(store).send([row("AA", 9)], 60.0)
    assert (len(keys(store)), read(bodies(store))) == (2, shown(row("AA", 9), row("UA", 7)))


def test_other_fields_of_the_same_rows_are_another_object() -> None:
    store = MemoryObjects()
    for fields in (None, ["flights"]):
        outlet(store, fields=fields).send([row("AA")], 60.0)
    assert len(keys(store)) == 2


def test_only_the_outputs_that_are_asked_for_are_stored() -> None:
    store = MemoryObjects()
    outlet(store, fields=["flights"]).send([row("AA")], 60.0)
    ((_, body),) = bodies(store)
    assert orjson.loads(gzip.decompress(body)).keys() & {"flights", "delay", "note"} == {"flights"}


def test_every_row_says_whether_it_is_removed() -> None:
    store = MemoryObjects()
    outlet(store).send([row("AA"), taken_back(row("UA"), 9)], 60.0)
    ((key, body),) = bodies(store)
    found = [orjson.loads(each) for each in lines_of(key, body)]
    assert [(each["carrier"], each["flights"], each["removed"]) for each in found] == [
        ("AA", 7, False),
        ("UA", None, True),
    ]


def test_zstd_is_the_sinks_to_choose() -> None:
    store = MemoryObjects()
    outlet(store, compression="zstd", level=3).send([row("AA")], 60.0)
    assert keys(store)[0].endswith(".ndjson.zst")
    assert read(bodies(store)) == shown(row("AA"))


def test_an_object_that_stands_is_left_as_it_is() -> None:
    store = MemoryObjects(clock=lambda: 1.0)
    outlet(store).send([row("AA")], 60.0)
    store.clock = lambda: 2.0
    assert outlet(store).send([row("AA")], 60.0) == Sent()
    assert [stored.modified for stored in store.objects.values()] == [1.0]


def test_an_object_that_somebody_else_is_writing_is_retryable() -> None:
    store = Objects()
    store.fails = Conflict()
    with pytest.raises(Retryable, match=r"aggregates\.hours\.to\.archive: s3://bucket/flights/hours/day=.*somebody"):
        outlet(store).send([row("AA")], 60.0)


def test_the_query_of_the_module_finds_the_newest_rows(tmp_path: Path) -> None:
    store = MemoryObjects()
    outlet(store).send([row("AA", 7), row("UA", 7), row("DL", 7, hour=30)], 60.0)
    outlet(store).send([row("AA", 9), taken_back(row("UA"), 9)], 60.0)
    outlet(store).send([row("AA", 7), row("UA", 7)], 60.0)
    for key, body in bodies(store):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(body)
    _, select, query = (module.__doc__ or "").partition("SELECT * ")
    connection = duckdb.connect()
    connection.read_json(f"{tmp_path}/flights/hours/*/*.ndjson.gz", hive_partitioning=True).create_view("results")
    found = connection.sql(select + query).project("id, flights, day::text").order("id").fetchall()
    assert found == [
        ('hours/2013-01-01T10:00:00Z/["AA"]', 9, "2013-01-01"),
        ('hours/2013-01-02T06:00:00Z/["DL"]', 7, "2013-01-02"),
    ]
