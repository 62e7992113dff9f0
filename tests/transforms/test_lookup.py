from __future__ import annotations

from typing import Any

import pytest

from aetherstream.records import Event
from aetherstream.transforms.tables import ReferenceTables, Table, TableSource

from .support import compiled, mistakes, run


def lookup(**options: object) -> list[dict[str, object]]:
    return [{"lookup": {"table": "airlines", "field": "carrier", **options}}]


def test_lookup_takes_columns() -> None:
    assert run(lookup(take=["name"]), {"carrier": "UA"}).values == [{"carrier": "UA", "name": "United"}]


def test_lookup_takes_columns_under_other_names() -> None:
    assert run(lookup(take={"name": "airline.name"}), {"carrier": "UA"}).values == [
        {"carrier": "UA", "airline": {"name": "United"}}
    ]


def test_lookup_takes_the_whole_row() -> None:
    assert run(lookup(into="airline"), {"carrier": "UA"}).values == [
        {"carrier": "UA", "airline": {"carrier": "UA", "name": "United"}}
    ]


EVENTS: list[Event] = [{"carrier": "XX"}, {"carrier": None}, {}, {"carrier": "AA"}]


def test_a_missing_key_gives_null_by_default() -> None:
    assert [event["name"] for event in run(lookup(take=["name"]), *map(dict, EVENTS)).values] == [
        None,
        None,
        None,
        "American",
    ]


def test_a_missing_key_can_be_a_rejection() -> None:
    result = run(lookup(take=["name"], missing="reject"), *map(dict, EVENTS))
    assert result.values == [{"carrier": "AA", "name": "American"}]
    assert result.rejected == [(n, "transforms[0].lookup", "no row of airlines for carrier") for n in range(3)]
    assert result.messages[0] == "the table airlines has no row for carrier: it is the text 'XX'"


def test_a_missing_key_can_drop_the_event() -> None:
    result = run(lookup(into="airline", missing="drop"), *map(dict, EVENTS))
    assert (result.events.records, result.rejected, result.dropped) == ([3], [], 3)


@pytest.mark.parametrize("key", [7, "7"])
def test_keys_are_compared_as_text(key: object) -> None:
    table = Table.parse(b'[{"id": 7, "v": 1}]', "id", file="t.json")
    transform = compiled([{"lookup": {"table": "t", "field": "id", "take": ["v"]}}], {"t": table})
    assert run(transform, {"id": key}).values == [{"id": key, "v": 1}]


@pytest.mark.parametrize("key", [[1], {"a": 1}, True, 1.5])
def test_a_key_of_any_type_is_just_missing(key: object) -> None:
    assert run(lookup(take=["name"]), {"carrier": key}).values == [{"carrier": key, "name": None}]


def test_steps_never_change_the_rows_of_the_table() -> None:
    table = Table.parse(b'[{"id": "x", "n": {"v": [1]}}]', "id", file="t.json")
    steps: list[dict[str, Any]] = [
        {"lookup": {"table": "t", "field": "id", "into": "row"}},
        {"set": {"row.n.w": "2"}},
        {"drop": ["row.n.v"]},
        {"python": "tests.transforms.steps:change_nested"},
    ]
    result = run(compiled(steps, {"t": table}), {"id": "x"}, {"id": "x"})
    assert result.values == [{"id": "x", "row": {"id": "x", "n": {"w": 2}, "changed": 1}}] * 2
    assert table.rows == {"x": {"id": "x", "n": {"v": [1]}}}


def test_a_function_gets_a_row_of_its_own() -> None:
    transform = compiled([*lookup(into="row"), {"python": "tests.transforms.steps:change_nested"}])
    result = run(transform, {"carrier": "UA"}, {"carrier": "UA"})
    row = {"carrier": "UA", "name": "United", "changed": 1}
    assert result.values == [{"carrier": "UA", "row": row}] * 2
    assert run(lookup(into="row"), {"carrier": "UA"}).values[0]["row"] == {"carrier": "UA", "name": "United"}


def test_a_refreshed_table_is_seen_by_the_next_batch() -> None:
    content = {"t.csv": b"carrier,name\nUA,Old\n"}
    now = [0.0]
    tables = ReferenceTables(
        {"airlines": TableSource("t.csv", "carrier", reload=1)}, content.__getitem__, lambda: now[0]
    )
    transform = compiled(lookup(take=["name"]), tables)
    before = run(transform, {"carrier": "UA"}).values
    content["t.csv"], now[0] = b"carrier,name\nUA,New\n", 1.0
    assert tables.refresh() == []
    assert (before, run(transform, {"carrier": "UA"}).values) == (
        [{"carrier": "UA", "name": "Old"}],
        [{"carrier": "UA", "name": "New"}],
    )


def test_what_a_lookup_cannot_find_is_a_mistake() -> None:
    assert mistakes(
        {"lookup": {"table": "airline", "field": "c", "take": ["name"]}},
        {"lookup": {"table": "airlines", "field": "c", "take": ["nam"]}},
        {"lookup": {"table": "airlines", "field": "c"}},
    ) == [
        "transforms[0].lookup.table: there is no table 'airline' (did you mean 'airlines'?)",
        "transforms[1].lookup.take: the table airlines has no column 'nam' (did you mean 'name'?)",
        "transforms[2].lookup: say one of take (some columns) and into (the whole row)",
    ]
