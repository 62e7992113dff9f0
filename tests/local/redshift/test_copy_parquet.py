from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redshift_connector.core import Connection

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.load import BadRow
from aetherstream.local.redshift.parquet import ParquetRows
from aetherstream.local.redshift.rules import Column
from tests.local.redshift.test_statements import failure, run
from tests.redshift_fixture import ROLE, Objects, parquet

pytestmark = pytest.mark.integration

LOADED = f"iam_role '{ROLE}' manifest format as parquet"
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=6)


@pytest.fixture(autouse=True)
def flights(connection: Connection) -> None:
    """A table of the test's own."""
    run(connection, "create table flights (id bigint not null, origin char(3), delay decimal(6,2), at timestamp)")
    connection.commit()


def row(number: int, origin: str = "JFK") -> str:
    return (
        f"select {number}::bigint as id, '{origin}' as origin, {number}.5::decimal(6,2) as delay, "
        f"timestamp '2024-02-29 10:00:0{number}' as at"
    )


def test_rows_of_a_manifest_are_loaded_in_the_clients_transaction(connection: Connection, objects: Objects) -> None:
    places = [
        objects.parquet(f"{row(1)} union all {row(2)}"),
        objects.parquet(row(3)),
        objects.parquet(f"{row(4)} limit 0"),
    ]
    place = objects.manifest(places, sizes=True)
    assert run(connection, f"copy flights from '{place}' {LOADED} statupdate off") == 3
    assert run(connection, "select pg_last_copy_count()") == [[3]]
    assert run(connection, "select * from flights order by id") == [
        [number, "JFK", Decimal(f"{number}.50"), datetime(2024, 2, 29, 10, 0, number)]  # noqa: DTZ001 (TIMESTAMP has none)
        for number in (1, 2, 3)
    ]
    connection.rollback()
    assert run(connection, "select count(*) from flights") == [[0]]


def test_a_column_list_says_which_columns_the_files_have(connection: Connection, objects: Objects) -> None:
    place = objects.manifest([objects.parquet("select 'JFK' as x, 7::bigint as y")], sizes=True)
    run(connection, f"copy flights (origin, id) from '{place}' {LOADED}")
    assert run(connection, "select id, origin, delay from flights") == [[7, "JFK", None]]


def test_nested_columns_are_loaded_into_super(connection: Connection, objects: Objects) -> None:
    run(connection, "create table events (id int, body super)")
    place = objects.manifest([objects.parquet("select 1::int as id, {'a': [1, 2]} as body")], sizes=True)
    assert failure(connection, f"copy events from '{place}' {LOADED}") == (
        "XX000",
        "SUPER column in COPY query requires SERIALIZETOJSON option",
    )
    run(connection, "create table events (id int, body super)")
    run(connection, f"copy events from '{place}' {LOADED} serializetojson")
    assert run(connection, "select * from events") == [[1, '{"a": [1, 2]}']]


def test_one_bad_value_fails_the_load_and_is_told_after_the_rollback(connection: Connection, objects: Objects) -> None:
    bad = objects.parquet(f"{row(2)} union all {row(3, 'JFKX')}")
    place = objects.manifest([objects.parquet(row(1)), bad], sizes=True)
    assert failure(connection, f"copy flights from '{place}' {LOADED}") == ("XX000", "Spectrum Scan Error")
    assert run(connection, "select count(*) from flights") == [[0]]
    told = "select trim(file_name), line_number, trim(column_name), error_code, trim(error_message) from "
    assert run(connection, told + "sys_load_error_detail where query_id = pg_last_copy_id()") == [
        [
            bad,
            2,
            "origin",
            15007,
            "The length of the data column origin is longer than the length defined in the table. Table: 3, Data: 4",
        ]
    ]


def test_a_manifest_without_lengths_fails(connection: Connection, objects: Objects) -> None:
    place = objects.manifest([objects.parquet(row(1))])
    said = failure(connection, f"copy flights from '{place}' {LOADED}")
    assert said == ("XX000", "File entry does not have 'meta' key.")


def test_what_was_loaded_is_told_with_its_format(connection: Connection, objects: Objects) -> None:
    run(connection, f"copy flights from '{objects.manifest([objects.parquet(row(1))], sizes=True)}' {LOADED}")
    connection.commit()
    history = "select status, trim(file_format), loaded_rows from sys_load_history where query_id = pg_last_copy_id()"
    assert run(connection, history) == [["completed", "parquet", 1]]


TYPES = [
    ("smallint", "smallint", st.integers(-(2**15), 2**15 - 1)),
    ("bigint", "bigint", st.integers(-(2**63), 2**63 - 1)),
    ("decimal(9,3)", "numeric(9,3)", st.decimals(-999_999, 999_999, places=3)),
    ("decimal(38,0)", "numeric(38,0)", st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal)),
    ("double precision", "double precision", st.floats()),
    ("varchar(10)", "character varying(10)", TEXT),
    ("char(4)", "character(4)", TEXT),
    ("boolean", "boolean", st.booleans()),
    ("date", "date", st.dates()),
    ("timestamp", "timestamp without time zone", st.datetimes()),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "postgres", "values"), TYPES, ids=[case[0] for case in TYPES])
def test_what_the_rules_let_through_loads_and_is_what_it_was(
    connection: Connection, objects: Objects, kind: str, postgres: str, values: st.SearchStrategy[object]
) -> None:
    connection.autocommit = True
    run(connection, f"create table t (n int, v {kind})")
    of_table = ParquetRows(Copy('"t"', "s3://b/k", parquet=True), [Column("n", "integer"), Column("v", postgres)])

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(st.none(), values), min_size=20, max_size=40))
    def load(found: list[object]) -> None:
        passed = list(enumerate(found))
        while passed:
            try:
                list(of_table.of("s3://b/x", parquet(_select(kind, passed))))
            except BadRow as bad:
                del passed[bad.line - 1]
            else:
                break
        else:
            return
        run(connection, "delete from t")
        place = objects.manifest([objects.parquet(_select(kind, passed))], sizes=True)
        run(connection, f"copy t from '{place}' {LOADED}")
        expected = [[n, v.ljust(4) if kind == "char(4)" and isinstance(v, str) else v] for n, v in passed]
        assert run(connection, "select n, v from t order by n") == expected

    load()


def _select(kind: str, rows: list[tuple[int, object]]) -> str:
    duck = {"double precision": "double"}.get(kind, "varchar" if "char" in kind else kind)
    return " union all ".join(f"select {n}::int as n, {_literal(v)}::{duck} as v" for n, v in rows)


def _literal(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return "(" + " || ".join(["''", *(f"chr({ord(letter)})" for letter in value)]) + ")"
    return f"'{value.isoformat(' ')}'" if isinstance(value, datetime) else f"'{value}'"
