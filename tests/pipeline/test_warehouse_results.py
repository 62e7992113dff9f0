"""The table of an aggregate's results as it follows from what is declared."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aetherstream.aggregates.windows import Window
from aetherstream.pipeline.model_aggregates import DeclaredAggregate
from aetherstream.pipeline.model_results import KINDS
from aetherstream.pipeline.warehouse_results import declared_results
from aetherstream.results.parts import Part, Row
from aetherstream.results.rows import document
from aetherstream.warehouse.contract import Contract, Declared, mistakes
from aetherstream.warehouse.types import ColumnType


def aggregate(**more: Any) -> DeclaredAggregate:
    text = {
        "group_by": ["carrier", {"field": "origin", "as": "From"}],
        "window": {"tumbling": "1h"},
        "outputs": {"flights": "count", "meanDelay": {"kind": "mean", "of": "dep_delay"}},
        "to": {"warehouse": {"table": "analytics.hours", **more.pop("to", {})}},
    }
    return msgspec.convert(text | more, DeclaredAggregate)


def table(**more: Any) -> Declared:
    declared = aggregate(**more)
    return declared_results(declared, declared.to["warehouse"])


def columns(declared: Declared) -> dict[str, str]:
    """Name of each column → what it takes."""
    return {
        column.name: f"{column.type}{'' if column.nullable else ' not null'}"
        + (f" from {column.path}" if column.path else "")
        for column in declared.columns
    }


def test_a_table_has_what_every_result_has_its_group_and_its_outputs() -> None:
    assert columns(table()) == {
        "id": "varchar(512) not null",
        "aggregate": "varchar(64) not null",
        "window_start": "timestamptz not null",
        "window_end": "timestamptz not null",
        "carrier": "varchar(1024)",
        "from": "varchar(1024) from From",
        "flights": "bigint",
        "meandelay": "double precision from meanDelay",
        "version": "bigint not null",
        "final": "boolean not null",
        "removed": "boolean not null",
    }


def test_a_table_keeps_the_newest_row_of_each_id_and_holds_no_events() -> None:
    made = table().agreed()
    assert made == Contract(
        table="hours",
        schema="analytics",
        columns=made.columns,
        mode="upsert",
        key=("id",),
        version="version",
        events=False,
        sort=("window_start",),
    )


def test_each_kind_of_output_has_a_type() -> None:
    outputs = {f"o_{kind}": {"kind": kind, "of": "x"} for kind in KINDS}
    made = columns(table(outputs=outputs))
    assert {kind: made[f"o_{kind}"] for kind in KINDS} == {
        "count": "bigint",
        "sum": "double precision",
        "min": "double precision",
        "max": "double precision",
        "mean": "double precision",
        "variance": "double precision",
        "stddev": "double precision",
        "first": "super",
        "last": "super",
        "distinct": "bigint",
        "quantiles": "super",
        "top_k": "super",
        "rate": "double precision",
        "custom": "super",
    }


def test_the_file_has_the_last_word_on_types_and_not_on_what_may_be_null() -> None:
    made = columns(table(to={"columns": {"carrier": "char(2)", "meanDelay": "real", "From": "varchar(9)"}}))
    assert (made["carrier"], made["meandelay"], made["from"]) == (
        "char(2)",
        "real from meanDelay",
        "varchar(9) from From",
    )


def test_only_the_outputs_that_are_asked_for_have_columns() -> None:
    assert columns(table()).keys() - columns(table(to={"fields": ["meanDelay"]})).keys() == {"flights"}


def test_a_ranking_has_ranks() -> None:
    assert columns(table(emit="close", rank={"by": "flights", "most": 5}))["rank"] == "integer"


def test_a_type_that_is_none_is_told_to_whoever_asks_and_otherwise_raised() -> None:
    declared = aggregate(to={"columns": {"flights": "many"}})
    asked: list[tuple[str, str]] = []

    def read(name: str, text: str) -> ColumnType:
        asked.append((name, text))
        return ColumnType("bigint")

    declared_results(declared, declared.to["warehouse"], read)
    assert asked == [("flights", "many")]
    with pytest.raises(ValueError, match="'many' is no column type"):
        declared_results(declared, declared.to["warehouse"])


def test_a_name_that_redshift_keeps_for_itself_is_a_mistake() -> None:
    assert [place for place, _ in mistakes(table(outputs={"xmin": "count"}))] == [("columns", "xmin")]


@pytest.mark.parametrize(
    ("more", "row"),
    [
        ({}, {}),
        ({}, {"removed": True}),
        ({"emit": "close", "rank": {"by": "flights", "most": 5}}, {"rank": 1}),
        ({"state": "lambda"}, {"part": Part("shardId-0", "1", False, "f:s")}),
    ],
    ids=["a row", "a removed row", "a ranked row", "a shard's part"],
)
def test_every_field_of_a_row_has_a_column(more: dict[str, Any], row: dict[str, Any]) -> None:
    group, values = {"carrier": "AA", "From": "JFK"}, {"flights": 1, "meanDelay": 2.0}
    made = document(Row("i", "hours", Window(0.0, 3600.0), 2, True, group, values, **row))
    assert made.keys() | {"removed"} == {column.source for column in table(**more).columns}
