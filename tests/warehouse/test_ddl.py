import pytest

from aetherstream.warehouse.contract import Distribution
from aetherstream.warehouse.ddl import (
    Change,
    Differences,
    LiveColumn,
    Refusal,
    create_schema,
    create_table,
    differences,
    statements,
)
from aetherstream.warehouse.types import column_type
from tests.warehouse.contracts import column, flights, results

LIVE = [
    LiveColumn("_event_id", "character varying(200)", nullable=False),
    LiveColumn("flight_id", "character varying(40)", nullable=False),
    LiveColumn("updated_at", "timestamp with time zone", nullable=False),
    LiveColumn("origin", "character(3)", nullable=True),
    LiveColumn("dep_delay", "double precision", nullable=True),
    LiveColumn("extra", "super", nullable=True),
]


def live(name: str, kind: str, *, nullable: bool = True) -> list[LiveColumn]:
    """The live table with one column as it is given."""
    return [LiveColumn(name, kind, nullable) if found.name == name else found for found in LIVE]


def test_a_table_is_made_as_its_contract_wants_it() -> None:
    contract = flights(distribution=Distribution("key", "origin"), sort=("updated_at", "flight_id"))
    assert create_schema(contract) == 'CREATE SCHEMA IF NOT EXISTS "analytics"'
    assert create_table(contract) == (
        'CREATE TABLE "analytics"."flights" ("_event_id" VARCHAR(200) NOT NULL, "flight_id" VARCHAR(40) NOT NULL,'
        ' "updated_at" TIMESTAMPTZ NOT NULL, "origin" CHAR(3), "dep_delay" DOUBLE PRECISION, "extra" SUPER)'
        ' DISTSTYLE KEY DISTKEY ("origin") COMPOUND SORTKEY ("updated_at", "flight_id")'
    )


def test_a_table_that_holds_no_events_is_made_and_found_without_their_ids() -> None:
    contract = results()
    assert create_table(contract) == (
        'CREATE TABLE "analytics"."results" ("id" VARCHAR(512) NOT NULL, "flights" BIGINT, "delays" SUPER,'
        ' "version" BIGINT NOT NULL, "removed" BOOLEAN NOT NULL) DISTSTYLE AUTO'
    )
    live = [LiveColumn(column.name, str(column.type), column.nullable) for column in contract.columns]
    assert differences(contract, live) == Differences()


def test_a_table_is_spread_by_redshift_where_nothing_is_said() -> None:
    assert create_table(flights()).endswith(") DISTSTYLE AUTO")


def test_a_missing_table_is_made() -> None:
    assert differences(flights(), None) == Differences(
        [Change("create table analytics.flights", create_table(flights()))]
    )


def test_a_table_as_its_contract_wants_it_lacks_nothing() -> None:
    assert differences(flights(), LIVE) == Differences()


def test_the_order_of_the_columns_does_not_matter() -> None:
    assert differences(flights(), LIVE[::-1]) == Differences()


def test_a_column_that_may_be_null_is_added() -> None:
    found = differences(flights(), [column for column in LIVE if column.name != "origin"])
    assert found == Differences(
        [Change("add column origin char(3)", 'ALTER TABLE "analytics"."flights" ADD COLUMN "origin" CHAR(3)')]
    )
    assert list(statements(found)) == ['ALTER TABLE "analytics"."flights" ADD COLUMN "origin" CHAR(3)']


def test_a_wider_varchar_is_widened_outside_of_a_transaction() -> None:
    assert differences(flights(), live("flight_id", "character varying(20)", nullable=False)) == Differences(
        [
            Change(
                "widen column flight_id from varchar(20) to varchar(40)",
                'ALTER TABLE "analytics"."flights" ALTER COLUMN "flight_id" TYPE VARCHAR(40)',
                alone=True,
            )
        ]
    )


def test_a_new_column_that_may_not_be_null_is_refused() -> None:
    found = differences(flights(), [column for column in LIVE if column.name != "flight_id"])
    assert found == Differences(
        refusals=[
            Refusal(
                "flight_id",
                "is missing, and may not be null, which the rows that are there would be",
                "let it be null (`null: true`), or make a new table and copy the old one's rows into it",
            )
        ]
    )


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("origin", "character(2)", "is char(2) in the table, not char(3)"),
        ("origin", "character varying(3)", "is varchar(3) in the table, not char(3)"),
        ("dep_delay", "real", "is real in the table, not double precision"),
        ("dep_delay", "geometry", "is geometry in the table, not double precision"),
        ("extra", "character varying(65535)", "is varchar(65535) in the table, not super"),
    ],
)
def test_another_type_is_refused_with_the_way_out(name: str, kind: str, reason: str) -> None:
    found = differences(flights(), live(name, kind))
    assert ([(refusal.column, refusal.reason) for refusal in found.refusals], found.changes, found.notes) == (
        [(name, reason)],
        [],
        [],
    )
    assert "add a column of another name" in str(found.refusals[0])


@pytest.mark.parametrize(
    ("there", "wanted", "holds"),
    [
        ("bigint", "integer", True),
        ("smallint", "integer", False),
        ("character varying(64)", "varchar(40)", True),
        ("numeric(12,4)", "decimal(10,2)", True),
        ("numeric(12,4)", "decimal(10,4)", True),
        ("numeric(12,4)", "decimal(11,2)", False),
        ("numeric(12,2)", "decimal(10,4)", False),
        ("numeric(19,0)", "decimal(19,0)", True),
        ("numeric(20,0)", "decimal(19,0)", True),
        ("numeric(19,0)", "decimal(18,0)", True),
        ("numeric(19,1)", "decimal(18,0)", False),
        ("double precision", "real", False),
    ],
)
def test_a_type_that_holds_every_value_of_the_contracts_is_as_good(there: str, wanted: str, holds: bool) -> None:
    contract = flights(columns=(column("c", wanted),))
    found = differences(contract, [LIVE[0], LiveColumn("c", there, nullable=True)])
    same = column_type(there) == column_type(wanted)
    note = [] if same or not holds else [f"c is {column_type(there)} in the table, which holds {column_type(wanted)}"]
    assert (not found.refusals, found.changes, found.notes) == (holds, [], note)


def test_a_column_that_may_not_be_null_in_the_table_alone_is_refused() -> None:
    found = differences(flights(), live("origin", "character(3)", nullable=False))
    assert found.refusals == [
        Refusal(
            "origin",
            "may be null here, and may not be in the table",
            "say so in the contract (`null: false`), or make a new table",
        )
    ]


def test_a_column_that_may_be_null_in_the_table_alone_is_noted() -> None:
    found = differences(flights(), live("flight_id", "character varying(40)", nullable=True))
    assert found == Differences(notes=["flight_id may be null in the table; what is staged never is"])


def test_a_column_of_the_table_alone_is_left_or_refused() -> None:
    spare = [LiveColumn("note", "character varying(9)", nullable=True), LiveColumn("id", "bigint", False, True)]
    assert differences(flights(), [*LIVE, *spare]) == Differences(
        notes=["note is in the table alone and is left as it is", "id is in the table alone and is left as it is"]
    )
    found = differences(flights(), [*LIVE, LiveColumn("must", "integer", nullable=False)])
    assert found.refusals == [
        Refusal(
            "must",
            "is in the table alone and may not be null: no row without it loads",
            "put it into the contract, or drop it",
        )
    ]


def test_changes_come_before_nobody_and_refusals_do_not_hide_them() -> None:
    found = differences(flights(), [column for column in LIVE if column.name not in ("origin", "flight_id")])
    assert ([change.text for change in found.changes], [refusal.column for refusal in found.refusals]) == (
        ["add column origin char(3)"],
        ["flight_id"],
    )
