from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherstream.warehouse.check import Table
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.fields import Unfit, writer
from aetherstream.warehouse.types import column_type
from tests.warehouse.contracts import column, flights, of, results
from tests.warehouse.values import TYPES, columns

FLIGHT: dict[str, Any] = {"flight_id": "UA1", "updated_at": "2013-01-01T05:00:00Z"}


def refused(contract: Contract, *values: dict[str, Any]) -> dict[int, str]:
    return {index: error.message for index, error in Table(contract).check(values).items()}


def rows(contract: Contract, *values: dict[str, Any]) -> list[Any]:
    written = Table(contract).rows(values, [f"s:{index}:0" for index in range(len(values))])
    return [msgspec.json.decode(line) for line in written.splitlines()]


def test_what_fits_becomes_a_row_of_exactly_the_columns() -> None:
    flight = FLIGHT | {"origin": "JFK", "delays": {"departure": 2, "arrival": 7}, "extra": {"b": [1]}, "other": 1}
    assert refused(flights(), flight) == {}
    assert rows(flights(), flight) == [
        {
            "_event_id": "s:0:0",
            "flight_id": "UA1",
            "updated_at": "2013-01-01 05:00:00.000000+00",
            "origin": "JFK",
            "dep_delay": 2.0,
            "extra": {"b": [1]},
        }
    ]


def test_what_is_missing_is_null_where_it_may_be() -> None:
    expected = {"origin": None, "dep_delay": None, "extra": None}
    assert refused(flights(), FLIGHT) == {}
    assert rows(flights(), FLIGHT)[0] | expected == rows(flights(), FLIGHT)[0]


@pytest.mark.parametrize("flight", [{"updated_at": FLIGHT["updated_at"]}, FLIGHT | {"flight_id": None}])
def test_null_and_missing_are_refused_in_a_column_that_is_not_null(flight: dict[str, Any]) -> None:
    assert refused(flights(), FLIGHT, flight) == {
        1: "column flight_id (varchar(40)) is null or missing, and may not be: null"
    }


@pytest.mark.parametrize("delays", [None, "late", [1], {}, {"departure": None}])
def test_a_path_that_leads_nowhere_is_null(delays: Any) -> None:
    flight = FLIGHT | {"delays": delays}
    assert (refused(flights(), flight), rows(flights(), flight)[0]["dep_delay"]) == ({}, None)


def test_a_rejection_names_column_type_cause_and_value_and_its_reason_has_no_value() -> None:
    (error,) = Table(flights()).check([FLIGHT | {"origin": "Zürich"}]).values()
    assert (error.reason, error.message) == (
        "column origin has a character of more than one byte, which char can't hold",
        "column origin (char(3)) has a character of more than one byte, which char can't hold: the text 'Zürich'",
    )


def test_the_first_wrong_column_is_the_reason() -> None:
    assert list(refused(flights(), {"origin": "JFKX"}).values()) == [
        "column flight_id (varchar(40)) is null or missing, and may not be: null"
    ]


def test_unknown_fields_are_ignored_by_default() -> None:
    assert refused(flights(), FLIGHT | {"x": 1}) == {}


def test_unknown_fields_are_refused_where_the_contract_says_so() -> None:
    events = [FLIGHT, FLIGHT | {"x": 1, "a": 2}, FLIGHT | {"_event_id": "e", "_identity": "i"}]
    assert refused(flights(unknown="reject"), *events) == {1: "no column reads a, x: flights refuses unknown fields"}


def test_unknown_fields_are_collected_where_the_contract_says_so() -> None:
    contract = flights(unknown="extra")
    events = [FLIGHT | {"x": 1, "extra": 2, "_event_id": "e", "_identity": "i"}, FLIGHT]
    assert refused(contract, *events) == {}
    assert [row["extra"] for row in rows(contract, *events)] == [{"x": 1, "extra": 2}, None]


def test_collected_fields_are_checked_as_well() -> None:
    assert refused(flights(unknown="extra"), FLIGHT | {"x": "a\0"}) == {
        0: "column extra (super) has a NUL character inside: an object"
    }


def test_a_row_that_copy_would_not_read_is_refused() -> None:
    table = Table(flights(), largest=1000)
    events = [FLIGHT, FLIGHT | {"extra": ["x" * 1000]}, FLIGHT | {"origin": "JFKX"}]
    assert {index: error.reason for index, error in table.check(events).items()} == {
        1: "row is too large",
        2: "column origin is longer than 3 bytes",
    }


RESULT: dict[str, Any] = {"id": "a", "flights": 3, "delays": {"p50": 1.5}, "version": 8, "removed": False}


def test_a_row_of_a_table_that_holds_no_events_has_no_event_id() -> None:
    written = Table(results()).rows([RESULT | {"other": 1}], [])
    assert written == b'{"id":"a","flights":3,"delays":{"p50":1.5},"version":8,"removed":false}\n'


@pytest.mark.parametrize(
    ("contract", "event", "ids"),
    [(flights(), FLIGHT | {"extra": "x" * 300}, ["i" * 200]), (results(), RESULT | {"delays": "x" * 300}, [])],
    ids=["events", "others"],
)
def test_the_largest_row_is_judged_with_the_event_id_that_it_will_have(
    contract: Contract, event: dict[str, Any], ids: list[str]
) -> None:
    size = len(Table(contract).rows([event], ids).rstrip())
    sizes = range(size - 40, size + 40)
    passing = [largest for largest in sizes if not Table(contract, largest).check([event])]
    assert passing == list(range(size, size + 40))


def test_checking_changes_no_event() -> None:
    event = FLIGHT | {"extra": {"a": [1]}}
    before = msgspec.json.encode(event)
    Table(flights(unknown="extra")).check([event])
    assert msgspec.json.encode(event) == before


def test_no_events_are_no_rows() -> None:
    assert (Table(flights()).check([]), Table(flights()).rows([], [])) == ({}, b"")


def one_by_one(kind: str, found: list[Any]) -> tuple[dict[int, str], list[Any]]:
    """Why values are refused, and the forms of the others; by the definition."""
    write = writer(column_type(kind))
    why, forms = {}, []
    for index, value in enumerate(found):
        try:
            forms.append(None if value is None else write(value))
        except Unfit as error:
            why[index] = f"column c {error}"
    return why, forms


def same(kind: str, form: Any) -> Any:
    return Decimal(form) if kind.startswith("decimal") and form is not None else form


def assert_as_one_by_one(kind: str, found: list[Any]) -> None:
    events = [{"c": value} for value in found]
    table = Table(of(kind))
    expected, forms = one_by_one(kind, found)
    wrong = table.check(events)
    assert {index: error.reason for index, error in wrong.items()} == expected
    fit = [event for index, event in enumerate(events) if index not in wrong]
    written = [msgspec.json.decode(line)["c"] for line in table.rows(fit, [""] * len(fit)).splitlines()]
    assert [same(kind, form) for form in written] == [same(kind, form) for form in forms]
    if kind.startswith("decimal"):
        assert [form for form in written if form is not None and "e" in form.lower()] == []


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_whole_column_is_judged_and_written_as_its_values_are_one_by_one(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(TYPES))
    assert_as_one_by_one(kind, data.draw(columns(kind)))


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("varchar(8)", ["a", r"\N"]),
        ("varchar(8)", ["a", r"b\N"]),
        ("varchar(8)", ["\ud83d", "\ude00"]),
        ("varchar(8)", ["üüüü", "üüüüü"]),
        ("varchar(8)", ["a", "\0"]),
        ("char(3)", ["abc", "ü"]),
        ("decimal(12,6)", [0.00001, 1.5]),
        ("decimal(15,4)", [0.0001, 12345678901.1234]),
        ("decimal(5,2)", [0.5, -0.0, 3]),
        ("decimal(5,2)", [0.5, float("nan")]),
        ("double precision", [1.0, float("nan"), 2.0]),
        ("double precision", [float("nan")]),
        ("double precision", [1.0, 5e-324]),
        ("double precision", [1, 2.5]),
        ("integer", [1, 2.0]),
        ("integer", [1, True]),
        ("boolean", [True, 1]),
        ("super", [[1], [float("nan")], [None]]),
        ("super", [["a"], ["\\u0000"], ["\0"]]),
        ("super", [["a"], ["x" * 65_536]]),
        ("timestamptz", ["2013-01-31T07:00:00.25Z", "2013-01-31T07:00:00,25Z"]),
        ("timestamptz", ["2013-01-31T07:00:00Z", None, "2013-01-31 08:00:00Z"]),
        ("timestamptz", ["2013-01-31T07:00:00.25Z", "2013-01-31T07:00:00Z"]),
        ("timestamptz", ["2013-01-31T07:00+01:00", "2013-01-31T07:00-01:00"]),
        ("timestamptz", ["2013-01-31T07:00:00Z", "0001-01-01T00:00:00+01:00"]),
        ("timestamp", ["2013-01-31T07:00:00.123456789Z"]),
        ("timestamp", ["1700010112345"]),
    ],
)
def test_what_is_alike_at_first_sight_is_judged_as_one_by_one(kind: str, found: list[Any]) -> None:
    assert_as_one_by_one(kind, found)


def test_a_column_is_judged_alike_whatever_stands_beside_it() -> None:
    contract = Contract("t", (column("a", "integer"), column("b", "varchar(3)", null=False)))
    events: list[dict[str, Any]] = [{"a": 1, "b": "x"}, {"a": "x", "b": "x"}, {"a": 1.0, "b": 5}, {"a": 1, "b": None}]
    alone = {index: Table(contract).check([event]) for index, event in enumerate(events)}
    assert {index: error[0].message for index, error in alone.items() if error} == refused(contract, *events)
