"""Loads into the stand-in for Redshift, with the real driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aetherstream.local.redshift import LocalRedshift
from aetherstream.warehouse.ddl import Differences
from tests.loader.sql_bench import SECONDS, Bench, event, summary
from tests.redshift_fixture import Objects

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(warehouse: LocalRedshift, objects: Objects, schema: str) -> Iterator[Bench]:
    made = Bench(warehouse, objects, schema, warehouse.login)
    yield made
    made.close()


def test_a_table_is_made_with_its_ledger_and_lacks_nothing_then(bench: Bench) -> None:
    warehouse = bench.warehouse()
    found = warehouse.compare(SECONDS)
    assert [change.text for change in found.changes] == [
        f"create table {bench.schema}.aetherstream_loads",
        f"create table {bench.schema}.aetherstream_turns",
        f"create table {bench.schema}.flights",
        f"note in {bench.schema}.aetherstream_turns that flights is kept by append",
    ]
    assert warehouse.apply(found, SECONDS) == [change.text for change in found.changes]
    assert warehouse.compare(SECONDS) == Differences()


def test_an_object_is_loaded_once_however_often_it_is_announced(bench: Bench) -> None:
    warehouse = bench.ready()
    staged = bench.stage([event(1), event(2)], name="a")
    assert summary(warehouse.load(bench.load(staged), SECONDS)) == (["a"], [], 2)
    assert summary(warehouse.load(bench.load(staged), SECONDS)) == ([], ["a"], 0)
    assert bench.ids() == ["s:1:0", "s:2:0"]
