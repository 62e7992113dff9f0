from typing import Any

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.warehouse.contract import Column, Contract, Distribution, mistakes, split_table
from tests.warehouse.contracts import column, flights, results, upserting


def wrong(make: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make()
    return str(caught.value).removeprefix("the table contract is wrong: ")


def test_every_table_has_the_event_id_first() -> None:
    assert flights().names == ("_event_id", "flight_id", "updated_at", "origin", "dep_delay", "extra")


def test_a_table_that_holds_no_events_has_its_own_columns_alone() -> None:
    assert results().names == ("id", "flights", "delays", "version", "removed")


def test_a_table_that_holds_no_events_can_not_append_nor_sort_by_them() -> None:
    columns = results().columns
    assert wrong(lambda: Contract("t", columns, events=False, sort=("_event_id",))) == (
        "mode: only `upsert` tells rows apart that have no event id; sort: there is no column '_event_id'"
    )


def test_a_table_without_a_schema_is_public() -> None:
    assert (split_table("analytics.flights"), split_table("flights")) == (
        ("analytics", "flights"),
        ("public", "flights"),
    )


def test_known_fields_are_those_that_columns_read_and_our_own() -> None:
    known = {"flight_id", "updated_at", "origin", "delays", "extra", "_event_id", "_identity"}
    assert flights().fields == known
    assert flights(unknown="extra").fields == known - {"extra"}


def test_a_sound_contract_has_no_mistakes() -> None:
    contract = upserting(unknown="extra", distribution=Distribution("key", "origin"), sort=("updated_at", "_event_id"))
    assert list(mistakes(contract)) == []


def test_every_mistake_is_named_at_once() -> None:
    columns = (column("Origin", "char(3)"), column("_event_id", "super"))
    assert wrong(lambda: Contract("1st", columns, schema="a b")) == (
        "table: '1st' is no name: up to 127 of a-z, 0-9 and _, the first no digit; "
        "schema: 'a b' is no name: up to 127 of a-z, 0-9 and _, the first no digit; "
        "columns.Origin: 'Origin': Redshift folds names to lower case; write 'origin'; "
        "columns._event_id: _event_id is AetherStream's own; give the column another name"
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"columns": ()}, "columns: needs at least one column"),
        ({"columns": (column("a", "date"), column("a", "date"))}, "columns: a name stands twice"),
        ({"columns": tuple(column(f"c{n}", "date") for n in range(1600))}, "columns: Redshift takes 1600 columns"),
        ({"columns": (column("ctid", "date"),)}, "columns.ctid: ctid is a system column"),
        ({"columns": (column("a", "date", path="b..c"),)}, "columns.a.from: 'b..c' has an empty part"),
        ({"columns": (column("a", "super", path="_identity"),)}, "columns.a.from: _identity is not known yet"),
        ({"unknown": "rest"}, "unknown: 'rest' is neither ignore, reject nor the name of a column"),
        ({"unknown": "origin"}, "unknown: only a super column can collect fields; origin is char(3)"),
        ({"key": ("origin",)}, "key: belongs to `mode: upsert`"),
        ({"version": "origin"}, "version: belongs to `mode: upsert`"),
        ({"mode": "upsert"}, "key: `mode: upsert` needs the columns"),
        ({"mode": "upsert", "key": ("origin",), "version": "updated_at"}, "key: origin may be null"),
        ({"mode": "upsert", "key": ("x",), "version": "updated_at"}, "key: there is no column 'x'"),
        ({"mode": "upsert", "key": ("extra",), "version": "updated_at"}, "key: extra is super"),
        ({"mode": "upsert", "key": ("flight_id",), "version": "flight_id"}, "version: flight_id is part of the key"),
        ({"distribution": Distribution("key")}, "distribution: `style: key` needs `column`"),
        ({"distribution": Distribution("all", "origin")}, "distribution.column: belongs to `style: key`"),
        ({"distribution": Distribution("key", "extra")}, "distribution.column: extra is super"),
        ({"sort": ("x",)}, "sort: there is no column 'x'"),
        ({"sort": ("origin", "origin")}, "sort: a name stands twice"),
        ({"sort": ("extra",)}, "sort: extra is super"),
    ],
)
def test_a_mistake_is_refused_with_its_place(more: dict[str, Any], words: str) -> None:
    assert words in wrong(lambda: flights(**more))


def test_a_collecting_column_has_no_field_and_may_be_null() -> None:
    columns = (Column("rest", column("rest", "super").type, nullable=False, path="x"),)
    assert wrong(lambda: Contract("t", columns, unknown="rest")) == (
        "columns.rest.from: collects what no other column reads; it has no field of its own; "
        "columns.rest.null: is null where an event has no unknown fields"
    )


@pytest.mark.parametrize(
    "name",
    ['f"; drop table x; --', "f'", "a.b", "a b", "ä", "", "a" * 128, "f\n", "f\0", 'x" (a int); --', "\u0131d"],
)
def test_no_name_but_plain_ones_gets_into_a_contract(name: str) -> None:
    assert "is no name" in wrong(lambda: flights(table=name))
    assert "is no name" in wrong(lambda: flights(schema=name))
    assert "is no name" in wrong(lambda: flights(columns=(column(name, "date"),)))
