"""Rows of results, in any objects, in any order, loaded any number of times: the newest of each id."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherstream.warehouse.check import Table
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.sql import Style
from tests.loader.sql_bench import SECONDS, Bench, Row
from tests.warehouse.contracts import results

pytestmark = pytest.mark.integration
slow = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
STYLES: list[Style] = ["merge", "delete_insert"]
_tables = count()


def row(name: str, version: int, *, removed: bool = False) -> Row:
    """A row, as equal as its id and version; a session's that is no more has no outputs."""
    outputs: Row = {} if removed else {"flights": version * 10, "delays": {"p50": version / 2}}
    return {"id": name, "version": version, "removed": removed, **outputs}


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[list[Row]]]:
    """Loads of objects: every version of some ids, in any order, some of them twice, the last a removal maybe."""
    histories = {name: draw(st.integers(1, 4)) for name in draw(st.sets(st.sampled_from("abc"), min_size=1))}
    gone = {name for name in histories if draw(st.booleans())}
    rows = [
        row(name, version, removed=name in gone and version == newest)
        for name, newest in histories.items()
        for version in range(1, newest + 1)
    ]
    order = draw(st.permutations(rows + draw(st.lists(st.sampled_from(rows), max_size=4))))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(order) - 1)), max_size=4)))
    objects = [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True) if order[start:end]]
    half = draw(st.integers(0, len(objects)))
    return [part for part in (objects[:half], objects[half:]) if part]


def newest(loads: list[list[list[Row]]]) -> list[list[Any]]:
    found: dict[str, Row] = {}
    for each in (each for objects in loads for rows in objects for each in rows):
        if each["id"] not in found or found[each["id"]]["version"] < each["version"]:
            found[each["id"]] = each
    return [
        [name, found[name]["version"], found[name]["removed"], found[name].get("flights")] for name in sorted(found)
    ]


def table(bench: Bench, contract: Contract) -> list[list[Any]]:
    name = f'"{bench.schema}"."{contract.table}"'
    return bench.run(f"SELECT id, version, removed, flights FROM {name} ORDER BY 1")  # noqa: S608


def stage(bench: Bench, contract: Contract, rows: Sequence[Row]) -> Any:
    return bench.put(Table(contract).rows(rows, []), len(rows))


@pytest.mark.parametrize("style", STYLES)
@slow
@given(loads=deliveries())
def test_the_newest_row_of_each_id_stays(bench: Bench, style: Style, loads: list[list[list[Row]]]) -> None:
    contract = results(schema=bench.schema, table=f"t{next(_tables)}")
    warehouse = bench.ready(contract, style=style)
    for objects in loads:
        staged = [stage(bench, contract, rows) for rows in objects]
        # As it is when the answer to the first is lost.
        for _ in range(2):
            warehouse.load(bench.load(*staged), SECONDS)
    warehouse.close()
    assert table(bench, contract) == newest(loads)


@pytest.mark.parametrize("style", STYLES)
def test_loads_at_once_leave_the_newest_row(bench: Bench, style: Style) -> None:
    contract = results(schema=bench.schema)
    bench.ready(contract, style=style)
    rows = [row("a", 2), row("a", 3, removed=True), row("a", 1)]
    loads = [bench.load(stage(bench, contract, [each])) for each in rows]
    warehouses = [bench.warehouse(bench.target(contract, style=style)) for _ in loads]
    threads = [
        Thread(target=warehouse.load, args=(load, SECONDS)) for warehouse, load in zip(warehouses, loads, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert table(bench, contract) == [["a", 3, True, None]]
