"""Results as rows that are staged for a table in Redshift, and loaded from there."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherstream.delivery.progress import ProgressStore
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.finality import Finality
from aetherstream.loader.load_queue import notifications
from aetherstream.loader.loader import Loader
from aetherstream.objects import lines_of
from aetherstream.results.parts import Outlet, Row, Sent
from aetherstream.results.redshift import RedshiftOutlet
from aetherstream.testing.builders import STREAM
from aetherstream.testing.queues import MemoryQueue
from aetherstream.testing.results import OutletContract, OutletSubject, row, shown, taken_back
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from aetherstream.testing.warehouse import MemoryWarehouse, remover
from aetherstream.warehouse.options import LoadTarget
from aetherstream.warehouse.sql import ObjectRef
from tests.results.hours import BUCKET, PREFIX, sink, target

TARGET = target()


class Objects(MemoryObjects):
    """Objects that are not to be had on request."""

    fails: Exception | None = None

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /) -> None:
        if self.fails is not None:
            raise self.fails
        super().overwrite(bucket, key, body, metadata)


class Subject:
    """What is staged, and the loader that brings it into a table, in memory."""

    def __init__(self, of: LoadTarget = TARGET) -> None:
        self.store = Objects()
        self.outlet: Outlet = RedshiftOutlet(of, self.store)
        self.table = MemoryWarehouse(of.contract, self.store)
        self.target = of

    def load(self, keys: Sequence[str]) -> None:
        """Load objects as they are announced, each by itself."""
        progress: ProgressStore = MemoryProgress()
        queue, ids = MemoryQueue(clock=lambda: 0.0), count()
        loader = Loader(
            [(self.target, self.table)],
            finality=Finality("flights", STREAM, progress),
            store=self.store,
            remove=remover(self.store),
            queue=queue,
            executor=InlineExecutor(),
            clock=lambda: 0.0,
            new_id=lambda: f"load{next(ids)}",
        )
        for key in keys:
            [body] = notifications([ObjectRef(BUCKET, key)], 0.0)
            queue.put(body)
            handled = loader.handle(queue.take(1), lambda: 900.0)
            assert (handled.again, handled.refused) == ([], 0)

    def stored(self) -> Mapping[str, Mapping[str, Any]]:
        self.load(keys(self.store))
        return read(self.table.database.rows)

    def take_down(self) -> None:
        self.store.fails = Retryable("503 SlowDown")

    def bring_up(self) -> None:
        self.store.fails = None


class TestRedshift(OutletContract):
    def subject(self) -> OutletSubject:
        return Subject()


def keys(store: MemoryObjects) -> list[str]:
    return [key for _, key in sorted(store.objects)]


def lines(store: MemoryObjects) -> list[dict[str, Any]]:
    """All staged rows, by key."""
    return [orjson.loads(each) for key, found in store.under(BUCKET, "") for each in lines_of(key, found.body)]


def read(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows of a table as a reader takes them: those that are there, with times as results have them."""
    found = {}
    for each in rows:
        times = {name: each[name].replace(" ", "T").replace(".000000+00", "Z") for name in _TIMES}
        if not each["removed"]:
            found[each["id"]] = {name: value for name, value in {**each, **times}.items() if name != "removed"}
    return found


_TIMES = ("window_start", "window_end")


def test_updates_are_for_redshift_too() -> None:
    assert not RedshiftOutlet(TARGET, MemoryObjects()).final_only


def test_rows_are_staged_with_the_columns_of_the_table() -> None:
    store = MemoryObjects()
    RedshiftOutlet(TARGET, store).send([row("AA"), taken_back(row("UA"), 9)], 60.0)
    common = {
        "aggregate": "hours",
        "window_start": "2013-01-01 10:00:00.000000+00",
        "window_end": "2013-01-01 11:00:00.000000+00",
        "note": None,
        "final": True,
    }
    aa = {"id": 'hours/2013-01-01T10:00:00Z/["AA"]', "carrier": "AA", "flights": 7, "delay": 1.5, "version": 7}
    ua = {"id": 'hours/2013-01-01T10:00:00Z/["UA"]', "carrier": "UA", "flights": None, "delay": None, "version": 9}
    assert lines(store) == [common | aa | {"removed": False}, common | ua | {"removed": True}]


def test_an_object_stands_below_the_prefix_of_the_place_and_says_how_many_rows_it_has() -> None:
    store = MemoryObjects()
    RedshiftOutlet(TARGET, store).send([row("AA"), row("UA")], 60.0)
    [(key, found)] = store.under(BUCKET, f"{PREFIX}/")
    assert (TARGET.shard_of(key), found.metadata) == ("", {"aether-count": "2"})


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2, 1)])
def test_the_same_rows_are_the_same_object_in_any_order(order: Sequence[int]) -> None:
    rows = [row("AA"), row("UA"), row("DL")]
    one, other = MemoryObjects(), MemoryObjects()
    RedshiftOutlet(TARGET, one).send(rows, 60.0)
    RedshiftOutlet(TARGET, other).send([rows[index] for index in order], 60.0)
    assert one.objects == other.objects


def test_rows_that_are_sent_again_are_put_again_so_that_they_are_announced_again() -> None:
    store = MemoryObjects(clock=lambda: 1.0)
    RedshiftOutlet(TARGET, store).send([row("AA")], 60.0)
    store.clock = lambda: 2.0
    RedshiftOutlet(TARGET, store).send([row("AA")], 60.0)
    assert [found.modified for found in store.objects.values()] == [2.0]


def test_many_rows_are_several_objects() -> None:
    store = MemoryObjects()
    RedshiftOutlet(TARGET, store, most_rows=2).send([row("AA"), row("UA"), row("DL")], 60.0)
    assert sorted(found.metadata["aether-count"] for found in store.objects.values()) == ["1", "2"]


def test_what_a_column_does_not_take_is_refused_with_the_column_and_the_row() -> None:
    store = MemoryObjects()
    wrong = row("AA", delay=float("inf"))
    sent = RedshiftOutlet(TARGET, store).send([wrong, row("UA")], 60.0)
    assert {name: (error.reason, error.message) for name, error in sent.refused.items()} == {
        wrong.id: (
            "column delay is not a finite number",
            f"the result {wrong.id}: column delay (double precision) is not a finite number: the number inf",
        )
    }
    assert [each["carrier"] for each in lines(store)] == ["UA"]


def test_where_all_are_refused_nothing_is_staged() -> None:
    store = MemoryObjects()
    sent = RedshiftOutlet(TARGET, store).send([row("A" * 1025)], 0.0)
    assert (len(sent.refused), store.objects) == (1, {})


def test_a_bucket_that_may_not_be_written_needs_somebody() -> None:
    store = Objects()
    store.fails = ConfigurationError("AccessDenied")
    with pytest.raises(ConfigurationError):
        RedshiftOutlet(TARGET, store).send([row("AA")], 60.0)


def test_only_the_outputs_that_are_asked_for_are_staged() -> None:
    store = MemoryObjects()
    RedshiftOutlet(target(to={"fields": ["flights"]}), store, fields=["flights"]).send([row("AA")], 60.0)
    [found] = lines(store)
    assert found.keys() & {"flights", "delay", "note"} == {"flights"}


def test_a_group_of_any_scalars_is_a_text() -> None:
    store = MemoryObjects()
    rows = [replace(row(str(value)), group={"carrier": value}) for value in (None, True, 7, 1.5, "AA")]
    RedshiftOutlet(TARGET, store).send(rows, 60.0)
    assert {found["carrier"] for found in lines(store)} == {None, "true", "7", "1.5", "AA"}


def test_names_with_capitals_are_columns_in_lower_case() -> None:
    store = MemoryObjects()
    mixed = target(outputs={"meanDelay": {"kind": "mean", "of": "dep_delay"}}, to={"columns": {"meanDelay": "real"}})
    found = replace(row("AA"), values={"meanDelay": 2.5})
    assert RedshiftOutlet(mixed, store).send([found], 60.0) == Sent()
    assert [each["meandelay"] for each in lines(store)] == [2.5]


def test_compression_is_the_sinks_to_choose() -> None:
    store = MemoryObjects()
    RedshiftOutlet(target(sink(compression="zstd")), store, level=3).send([row("AA")], 60.0)
    [key] = keys(store)
    assert (key.endswith(".ndjson.zst"), len(lines(store))) == (True, 1)


def test_no_clock_stands_in_the_bytes() -> None:
    store = MemoryObjects()
    RedshiftOutlet(TARGET, store).send([row("AA")], 60.0)
    [found] = store.objects.values()
    assert found.body[4:8] == bytes(4)
    assert gzip.decompress(found.body).endswith(b"}\n")


history = st.permutations([row("AA", version) for version in (2, 4, 5)] + [taken_back(row("AA"), 7), row("UA", 3)])


@settings(max_examples=60, deadline=None)
@given(sends=history, order=st.randoms(use_true_random=False), again=st.lists(st.integers(0, 4), max_size=3))
def test_the_newest_row_stays_in_whatever_order_rows_are_sent_and_objects_loaded(
    sends: list[Row], order: Any, again: list[int]
) -> None:
    subject = Subject()
    cut = order.randint(1, len(sends))
    for part in (sends[:cut], sends[cut:], [sends[index] for index in again]):
        subject.outlet.send(part, 60.0)
    staged = keys(subject.store) * 2
    order.shuffle(staged)
    subject.load(staged)
    assert read(subject.table.database.rows) == shown(row("UA", 3))
    assert sorted((each["id"], each["version"]) for each in subject.table.database.rows) == [
        (row("AA").id, 7),
        (row("UA").id, 3),
    ]
