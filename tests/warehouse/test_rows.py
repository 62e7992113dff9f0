from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherstream.encoded import encode
from aetherstream.warehouse.check import Table
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.rows import Rows
from tests.warehouse.contracts import column, flights, of
from tests.warehouse.values import TYPES, columns

FLIGHT: dict[str, Any] = {"flight_id": "UA1", "updated_at": "2013-01-01T05:00:00Z", "_event_id": "s:1:0"}
STAGED = {
    "_event_id": "s:1:0",
    "flight_id": "UA1",
    "updated_at": "2013-01-01 05:00:00.000000+00",
    "origin": None,
    "dep_delay": None,
    "extra": None,
}


def staged(contract: Contract, *events: dict[str, Any]) -> list[Any]:
    return [msgspec.json.decode(line) for line in Rows(contract).of(events).splitlines()]


def the_long_way(contract: Contract, *events: dict[str, Any]) -> list[Any]:
    written = Table(contract).rows(events, [event["_event_id"] for event in events])
    return [msgspec.json.decode(line) for line in written.splitlines()]


def test_a_row_has_exactly_the_columns() -> None:
    flight = FLIGHT | {"origin": "JFK", "delays": {"departure": 2.5, "x": 1}, "extra": {"b": [1, 10**30]}, "other": 1}
    assert staged(flights(), flight, FLIGHT) == [
        STAGED | {"origin": "JFK", "dep_delay": 2.5, "extra": {"b": [1, 10**30]}},
        STAGED,
    ]


def test_a_row_is_one_line_with_its_columns_in_order() -> None:
    assert Rows(flights()).of([FLIGHT | {"origin": "a\nb"}]) == (
        b'{"_event_id":"s:1:0","flight_id":"UA1","updated_at":"2013-01-01 05:00:00.000000+00",'
        b'"origin":"a\\nb","dep_delay":null,"extra":null}\n'
    )


def test_no_events_are_no_rows() -> None:
    assert Rows(flights()).of([]) == b""


@pytest.mark.parametrize(
    "unusual",
    [
        {"origin": 5},
        {"delays": None},
        {"delays": "none"},
        {"delays": {"departure": "2.5"}},
        {"delays": {"departure": 10**30}},
        {"updated_at": "2013-01-01T06:00:00+01:00"},
    ],
)
def test_unusual_values_are_staged_as_the_long_way_does(unusual: dict[str, Any]) -> None:
    events = [FLIGHT, FLIGHT | unusual]
    assert staged(flights(), *events) == the_long_way(flights(), *events)


@pytest.mark.parametrize(
    "contract",
    [
        flights(unknown="extra"),
        Contract("t", (column("a", "super"), column("b", "integer", path="a.b"))),
        Contract("t", (column("a", "integer", path="x"), column("b", "varchar", path="x"))),
        Contract("t", (column("b", "integer", path="a.b"), column("c", "integer", path="a.c.d"))),
        Contract("t", (column("a", "integer", path="x"), column("x", "integer", path="f0"), column("f0", "super"))),
        Contract("t", (column("b", "integer", path="a.b"), column("x", "varchar", path="flight_id"))),
        Contract("t", (column("b", "integer", path='"\\\n'), column("x", "varchar", path="flight_id"))),
        Contract("t", (column("id", "integer"), column("f0", "integer"), column("f1", "integer", path="id.f0"))),
    ],
    ids=["collects", "inside another", "read twice", "nested", "swapped", "renamed", "with marks", "our own names"],
)
def test_every_shape_of_contract_is_staged_as_the_long_way_does(contract: Contract) -> None:
    events = [
        FLIGHT | {"a": {"b": 1, "c": {"d": 2}}, "x": 5, "f0": 7},
        FLIGHT | {"a": {"b": 3}, "x": None, '"\\\n': 4},
        FLIGHT,
    ]
    assert staged(contract, *events) == the_long_way(contract, *events)


def test_what_only_a_python_step_makes_is_staged_as_it_stands_in_its_line() -> None:
    extra: dict[Any, Any] = {"at": datetime(2013, 1, 1, tzinfo=UTC), "all": {1}, 2: 10**30}
    event = FLIGHT | {"extra": extra}
    line = b'{"at":"2013-01-01T00:00:00Z","all":[1],"2":%d}' % 10**30
    assert encode(extra) == line
    assert line in Rows(flights()).of([event])


def test_a_flight_is_not_changed_by_what_its_row_holds() -> None:
    event = FLIGHT | {"delays": {"departure": 2}}
    before = deepcopy(event)
    Rows(flights()).of([event])
    assert event == before


def comparable(kind: str, row: dict[str, Any]) -> Any:
    return Decimal(row["c"]) if kind.startswith("decimal") and row["c"] is not None else row["c"]


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_rows_are_those_of_the_long_way(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(TYPES))
    contract = of(kind)
    events = [{"c": value, "_event_id": "s:1:0"} for value in data.draw(columns(kind))]
    wrong = Table(contract).check(events)
    fit = [event for index, event in enumerate(events) if index not in wrong]
    quickly, slowly = staged(contract, *fit), the_long_way(contract, *fit)
    assert [comparable(kind, row) for row in quickly] == [comparable(kind, row) for row in slowly]
