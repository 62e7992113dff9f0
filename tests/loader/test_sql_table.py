"""Comparing and changing tables of the stand-in for Redshift, and who may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redshift_connector

from aetherstream.errors import ConfigurationError
from aetherstream.loader.ledger import LEDGER
from aetherstream.loader.parts import Totals
from aetherstream.warehouse.contract import Contract, Distribution
from aetherstream.warehouse.ddl import Differences
from tests.loader.sql_bench import SECONDS, Bench, event
from tests.warehouse.contracts import column, flights, upserting
from tests.warehouse.values import TYPES

pytestmark = pytest.mark.integration


@pytest.fixture
def user(bench: Bench) -> Iterator[str]:
    """A user with no rights, whose password is `first`."""
    name = bench.schema.replace("test", "user")
    bench.own(f"CREATE ROLE {name} LOGIN PASSWORD 'first'")
    yield name
    bench.own(f"DROP OWNED BY {name}; DROP ROLE {name}")


def texts(found: Differences) -> list[str]:
    return [change.text for change in found.changes]


def test_a_table_is_made_with_its_ledger_and_lacks_nothing_then(bench: Bench) -> None:
    warehouse = bench.warehouse()
    found = warehouse.compare(SECONDS)
    assert texts(found) == [
        f"create table {bench.schema}.aetherstream_loads",
        f"create table {bench.schema}.aetherstream_tables",
        f"create table {bench.schema}.aetherstream_turns",
        f"create table {bench.schema}.flights",
        f"note in {bench.schema}.aetherstream_tables that flights is kept by append",
    ]
    assert warehouse.apply(found, SECONDS) == texts(found)
    assert warehouse.compare(SECONDS) == Differences()


def test_a_schema_that_is_missing_is_made(bench: Bench) -> None:
    contract = flights(schema=f"{bench.schema}_more")
    warehouse = bench.warehouse(bench.target(contract))
    try:
        found = warehouse.compare(SECONDS)
        assert texts(found)[0] == f"create schema {contract.schema}"
        warehouse.apply(found, SECONDS)
        assert warehouse.compare(SECONDS) == Differences()
    finally:
        bench.run(f"DROP SCHEMA {contract.schema} CASCADE")


def test_a_table_of_every_type_lacks_nothing_when_it_was_made(bench: Bench) -> None:
    columns = tuple(column(f"c{number}", kind, null=number > 0) for number, kind in enumerate(TYPES))
    contract = Contract("every", columns, schema=bench.schema, distribution=Distribution("key", "c0"), sort=("c0",))
    assert bench.ready(contract).compare(SECONDS) == Differences()


def test_columns_are_added_and_widened_while_the_table_has_rows(bench: Bench) -> None:
    small = flights(schema=bench.schema)
    bench.ready(small).load(bench.load(bench.stage([event(1)])), SECONDS)
    columns = [replace(each) for each in small.columns]
    columns[0] = column("flight_id", "varchar(60)", null=False)
    wanted = replace(small, columns=(*columns, column("carrier", "char(2)")))
    warehouse = bench.warehouse(bench.target(wanted))
    found = warehouse.compare(SECONDS)
    assert warehouse.apply(found, SECONDS) == [
        "widen column flight_id from varchar(40) to varchar(60)",
        "add column carrier char(2)",
    ]
    assert (warehouse.compare(SECONDS), bench.ids()) == (Differences(), ["s:1:0"])


def test_a_table_that_differs_too_much_is_left_as_it_is(bench: Bench) -> None:
    bench.ready()
    wanted = flights(schema=bench.schema, columns=(column("flight_id", "bigint", null=False),))
    warehouse = bench.warehouse(bench.target(wanted))
    found = warehouse.compare(SECONDS)
    assert [refusal.column for refusal in found.refusals] == ["flight_id", "updated_at"]
    with pytest.raises(ConfigurationError, match="flight_id: is varchar"):
        warehouse.apply(found, SECONDS)


def test_what_another_makes_meanwhile_is_no_error(bench: Bench) -> None:
    found = bench.warehouse().compare(SECONDS)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: bench.warehouse().apply(found, SECONDS), range(4)))
    made = [text for each in done for text in each if text.startswith("create")]
    assert sorted(made) == sorted(text for text in texts(found) if text.startswith("create"))
    assert bench.warehouse().compare(SECONDS) == Differences()


def test_a_ledger_that_is_not_ours_is_refused(bench: Bench) -> None:
    bench.run(f"CREATE TABLE {bench.schema}.aetherstream_loads (target varchar(10))")
    found = bench.warehouse().compare(SECONDS)
    assert [str(refusal) for refusal in found.refusals] == [
        (
            f"{bench.schema}.aetherstream_loads: lacks at, error, etag, load_id, object, rows, state; it is no"
            " ledger of ours: rename it"
        )
    ]


def test_a_table_of_appends_with_one_row_a_key_becomes_one_of_upserts(bench: Bench) -> None:
    bench.ready().load(bench.load(bench.stage([event(1, "a"), event(2, "b")])), SECONDS)
    contract = upserting(schema=bench.schema)
    warehouse = bench.warehouse(bench.target(contract))
    found = warehouse.compare(SECONDS)
    assert texts(found) == [
        (
            f"note in {bench.schema}.aetherstream_tables that flights is kept by upsert flight_id by updated_at"
            " (it was append)"
        )
    ]
    warehouse.apply(found, SECONDS)
    assert warehouse.compare(SECONDS) == Differences()
    warehouse.load(bench.load(bench.stage([event(3, "a", 2)], contract)), SECONDS)
    assert bench.ids() == ["s:2:0", "s:3:0"]


def test_a_table_with_several_rows_a_key_is_not_taken_for_one_of_upserts(bench: Bench) -> None:
    bench.ready().load(bench.load(bench.stage([event(1, "a", 1), event(2, "a", 2), event(3, "b")])), SECONDS)
    found = bench.warehouse(bench.target(upserting(schema=bench.schema))).compare(SECONDS)
    assert [str(refusal) for refusal in found.refusals] == [
        (
            "flight_id: 1 keys have several rows each in the table (it was kept by append), and an upsert keeps one row"
            " a key; remove all but the newest row of each key, or make a new table"
        )
    ]


def test_a_user_without_rights_is_told_which(bench: Bench, user: str) -> None:
    bench.ready()
    target = bench.target(username=user, password="first")  # noqa: S106
    with pytest.raises(ConfigurationError, match=f"GRANT USAGE ON SCHEMA {bench.schema} TO"):
        bench.warehouse(target).load(bench.load(bench.stage([event(1)])), SECONDS)
    with pytest.raises(ConfigurationError, match=r"permission denied|lacks rights"):
        bench.warehouse(target).known(["x"], SECONDS)


def test_the_rights_that_an_error_names_are_enough_to_load(bench: Bench, user: str) -> None:
    bench.ready()
    warehouse = bench.warehouse(bench.target(username=user, password="first"))  # noqa: S106
    staged = bench.stage([event(1)])
    with pytest.raises(ConfigurationError) as refused:
        warehouse.load(bench.load(staged), SECONDS)
    granted = re.findall("GRANT [^;]*;", str(refused.value))
    for statement in granted:
        bench.run(statement.replace("<the loader's user>", user))
    warehouse.load(bench.load(staged), SECONDS)
    assert (bench.ids(), len(granted)) == (["s:1:0"], 2)


def test_a_user_who_may_not_alter_is_told(bench: Bench, user: str) -> None:
    small = flights(schema=bench.schema)
    bench.ready(small)
    tables = ", ".join(f"{bench.schema}.{name}" for name in ("flights", *LEDGER))
    bench.run(f"GRANT USAGE ON SCHEMA {bench.schema} TO {user}")
    bench.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {user}")
    wanted = replace(small, columns=(*small.columns, column("carrier", "char(2)")))
    warehouse = bench.warehouse(bench.target(wanted, username=user, password="first"))  # noqa: S106
    found = warehouse.compare(SECONDS)
    with pytest.raises(ConfigurationError, match=r"must be owner of table flights.*ownership"):
        warehouse.apply(found, SECONDS)


def test_who_only_looks_does_not_wait_for_a_load(bench: Bench) -> None:
    warehouse = bench.ready()
    with redshift_connector.connect(**bench.server.login) as loading, loading.cursor() as cursor:
        cursor.execute(f'LOCK "{bench.schema}".aetherstream_turns')
        assert texts(warehouse.compare(2.0)) == []
        assert (warehouse.totals(2.0), warehouse.failures(2.0), warehouse.known(["x"], 2.0)) == (Totals(), [], {})
        loading.rollback()
