from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from redshift_connector.core import Connection
from redshift_connector.error import Error, ProgrammingError

from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.redshift.wire import Message, Wire, error_fields, query, startup
from tests.redshift_fixture import Connect, Objects

pytestmark = pytest.mark.integration


def run(connection: Connection, sql: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return [list(row) for row in cursor.fetchall()] if cursor.description else cursor.rowcount


def failure(connection: Connection, sql: str, *values: Any) -> tuple[str, str]:
    with pytest.raises(ProgrammingError) as caught:
        run(connection, sql, *values)
    connection.rollback()
    return caught.value.args[0]["C"], caught.value.args[0]["M"]


def test_transactions_are_the_clients(connection: Connection) -> None:
    run(connection, "create table t (a int)")
    connection.commit()
    assert run(connection, "insert into t values (%s), (%s)", 1, 2) == 2
    connection.rollback()
    assert run(connection, "select * from t") == []


def test_a_refused_statement_fails_its_transaction(connection: Connection) -> None:
    run(connection, "create table t (a int)")
    with pytest.raises(ProgrammingError, match="VACUUM: not supported by AetherStream's stand-in"):
        run(connection, "vacuum")
    with pytest.raises(ProgrammingError, match="current transaction is aborted"):
        run(connection, "select 1")
    connection.rollback()
    assert failure(connection, "select * from t")[0] == "42P01"


def test_a_refused_statement_with_parameters_is_refused_for_its_reason(connection: Connection) -> None:
    run(connection, "create table t (a int)")
    refused = failure(connection, "insert into t values (%s) on conflict do nothing", 1)
    assert refused == (
        "0A000",
        "ON CONFLICT, which Redshift has not: not supported by AetherStream's stand-in for Redshift",
    )


def test_bytes_are_counted_whoever_writes(connection: Connection) -> None:
    run(connection, "create table t (a varchar(4), b char(2))")
    connection.commit()
    assert run(connection, "insert into t values (%s, %s)", "üü", "ab") == 1
    connection.commit()
    long = ("22001", 'value too long for the type of column "a", which counts bytes')
    assert failure(connection, "insert into t values ('üüx', 'ab')") == long
    assert failure(connection, "update t set a = 'üüx'") == long
    assert failure(connection, "insert into t values ('x', 'ü')")[0] == "22001"
    run(connection, "create temp table s (like t)")
    assert failure(connection, "insert into s values ('üüx', 'ab')") == long


def test_a_varchar_grows_outside_of_a_transaction_only(connection: Connection) -> None:
    run(connection, "create table t (a varchar(4))")
    connection.commit()
    wider = "alter table t alter column a type varchar(6)"
    assert failure(connection, wider) == ("25001", "ALTER TABLE ALTER COLUMN cannot run inside a transaction block")
    connection.autocommit = True
    run(connection, wider)
    assert run(connection, "insert into t values ('üüü')") == 1


def test_truncate_is_refused_in_a_transaction(connection: Connection) -> None:
    run(connection, "create table t (a int)")
    connection.commit()
    assert failure(connection, "truncate t")[1].startswith("TRUNCATE commits the transaction")
    connection.autocommit = True
    run(connection, "truncate t")


def test_keys_are_declared_and_not_enforced_but_not_null_is(connection: Connection) -> None:
    run(connection, "create table t (a int, b int unique, primary key (a))")
    connection.commit()
    assert run(connection, "insert into t values (1, 1), (1, 1)") == 2
    assert failure(connection, "insert into t values (null, 1)")[0] == "23502"


def test_names_are_folded_even_when_quoted(connection: Connection) -> None:
    run(connection, 'create table "Flights" ("Origin" char(3))')
    assert run(connection, 'select "ORIGIN" from flights') == []


def test_super_goes_in_and_comes_out_as_json(connection: Connection) -> None:
    run(connection, "create table t (a super)")
    run(connection, "insert into t select json_parse(%s)", '{"b": [1, 2.50], "a": null}')
    with connection.cursor() as cursor:
        cursor.execute("select a, json_serialize(a) from t")
        rows = cursor.fetchall()
        kinds = [column[1] for column in cursor.description]
    assert (rows, kinds) == ((['{"a": null, "b": [1, 2.50]}', '{"a": null, "b": [1, 2.50]}'],), [4000, 1043])


def test_the_catalogue_tells_a_table_as_it_was_made(connection: Connection, schema: str) -> None:
    run(
        connection,
        "create table t (id bigint not null encode az64, origin char(3) default 'JFK', at timestamptz, "
        "n decimal(12,2), note varchar(70), extra super) diststyle key distkey (origin) sortkey (at, id)",
    )
    run(connection, "create temp table s (like t)")
    told = (
        "select column_name, data_type, is_nullable, column_default, encoding, distkey, sortkey "
        "from svv_redshift_columns where schema_name = %s and table_name = 't' order by ordinal_position"
    )
    columns: list[list[Any]] = [
        ["id", "bigint", "NO", None, "az64", False, 2],
        ["origin", "character(3)", "YES", "'JFK'::bpchar", "none", True, 0],
        ["at", "timestamp with time zone", "YES", None, "none", False, 1],
        ["n", "numeric(12,2)", "YES", None, "none", False, 0],
        ["note", "character varying(70)", "YES", None, "none", False, 0],
        ["extra", "super", "YES", None, "none", False, 0],
    ]
    assert run(connection, told, schema) == columns
    short = 'select "column", type, encoding, distkey, sortkey, "notnull" from pg_table_def where tablename = \'s\''
    assert run(connection, short) == [
        [name, kind, code, dist, sort, none == "NO"] for name, kind, none, _, code, dist, sort in columns
    ]
    measures = (
        "select column_name, data_type, character_maximum_length, numeric_precision, numeric_scale from svv_columns "
        "where table_schema = %s and column_name in ('n', 'note') order by 1"
    )
    assert run(connection, measures, schema) == [
        ["n", "numeric", None, 12, 2],
        ["note", "character varying", 70, None, None],
    ]


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        ("", ["AUTO(ALL)", "AUTO(SORTKEY)", 0]),
        ("diststyle even sortkey (a)", ["EVEN", "a", 1]),
        ("diststyle all", ["ALL", "AUTO(SORTKEY)", 0]),
        ("distkey (a) compound sortkey (b, a)", ["KEY(a)", "b", 2]),
    ],
)
def test_the_layout_of_a_table_that_is_not_empty_is_told(
    connection: Connection, schema: str, layout: str, told: list[object]
) -> None:
    run(connection, f"create table t (a int, b int) {layout}")
    asked = "select diststyle, sortkey1, sortkey_num from svv_table_info where schema = %s and \"table\" = 't'"
    assert run(connection, asked, schema) == []
    run(connection, "insert into t values (1, 2)")
    assert run(connection, asked, schema) == [told]


def test_merge_upserts_and_refuses_two_matches(connection: Connection) -> None:
    run(connection, "create table t (id int, a int)")
    run(connection, "insert into t values (1, 1), (2, 2)")
    run(connection, "create temp table s (like t)")
    run(connection, "insert into s values (2, 20), (3, 30)")
    merge = (
        "merge into t using s on t.id = s.id when matched then update set a = s.a "
        "when not matched then insert (id, a) values (s.id, s.a)"
    )
    run(connection, merge)
    assert run(connection, "select * from t order by id") == [[1, 1], [2, 20], [3, 30]]
    run(connection, "insert into s values (2, 21)")
    assert failure(connection, merge) == ("XX000", "Found multiple matches to update the same tuple.")


def test_two_that_change_one_row_conflict_as_redshift_says_it(connect: Connect, connection: Connection) -> None:
    run(connection, "create table t (a int)")
    run(connection, "insert into t values (1)")
    connection.commit()
    other = connect()
    assert run(other, "select a from t") == [[1]]
    run(connection, "update t set a = 2")
    connection.commit()
    assert failure(other, "update t set a = 3") == ("XX000", "1023")
    assert run(other, "select a from t") == [[2]]


def test_a_lock_is_waited_for_and_the_snapshot_taken_after_it(connect: Connect, connection: Connection) -> None:
    run(connection, "create table t (a int)")
    connection.commit()
    run(connection, "lock t")
    seen: list[object] = []

    def wait() -> None:
        other = connect()
        run(other, "lock t")
        seen.append(run(other, "select a from t"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    run(connection, "insert into t values (1)")
    assert seen == []
    connection.commit()
    waiting.join(30)
    assert seen == [[[1]]]


def test_a_statement_is_cancelled_from_another_connection(connect: Connect, connection: Connection) -> None:
    pid = run(connection, "select pg_backend_pid()")[0][0]
    failed: list[object] = []

    def sleep() -> None:
        failed.append(failure(connection, "select pg_sleep(60)"))

    sleeping = threading.Thread(target=sleep)
    sleeping.start()
    other = connect()
    other.autocommit = True
    while sleeping.is_alive():
        run(other, "select pg_cancel_backend(%s)", pid)
        sleeping.join(0.05)
    assert failed == [("57014", "canceling statement due to user request")]


def test_a_killed_session_is_told_and_its_transaction_gone(connect: Connect, connection: Connection) -> None:
    run(connection, "create table t (a int)")
    connection.commit()
    run(connection, "insert into t values (1)")
    pid = run(connection, "select pg_backend_pid()")[0][0]
    other = connect()
    run(other, "select pg_terminate_backend(%s)", pid)
    with pytest.raises((Error, OSError)):
        run(connection, "select a from t")
    assert run(other, "select a from t") == []


class Plain:
    """A client of simple queries."""

    def __init__(self, warehouse: LocalRedshift) -> None:
        self.wire = Wire(socket.create_connection((warehouse.host, warehouse.port), timeout=30))
        self.wire.socket.sendall(startup({"user": warehouse.user, "database": warehouse.database, "os_version": "x"}))
        assert self.wire.next().code == b"R"
        self.wire.send(Message(b"p", warehouse.password.encode() + b"\0"))
        self.wire.rest()

    def ask(self, sql: str) -> list[tuple[bytes, bytes | str]]:
        self.wire.send(query(sql))
        came: list[tuple[bytes, bytes | str]] = []
        while (message := self.wire.next()).code != b"Z":
            body = error_fields(message.body).get("M", "") if message.code == b"E" else message.body
            came.append((message.code, body))
        return [*came, (b"Z", message.body)]


@pytest.fixture
def plain(warehouse: LocalRedshift) -> Iterator[Plain]:
    """A client of simple queries, connected."""
    client = Plain(warehouse)
    yield client
    client.wire.close()


def test_simple_queries_are_translated_too(plain: Plain, schema: str) -> None:
    begun = plain.ask(f"begin; set search_path to {schema}")
    assert [answer for answer in begun if answer[0] != b"S"] == [(b"C", b"BEGIN\0"), (b"C", b"SET\0"), (b"Z", b"T")]
    assert plain.ask('create table "T" (a super)') == [(b"C", b"CREATE TABLE\0"), (b"Z", b"T")]
    assert plain.ask("vacuum") == [
        (b"E", "VACUUM: not supported by AetherStream's stand-in for Redshift"),
        (b"Z", b"E"),
    ]
    assert plain.ask("rollback") == [(b"C", b"ROLLBACK\0"), (b"Z", b"I")]
    assert plain.ask("") == [(b"I", b""), (b"Z", b"I")]


def test_a_copy_by_a_simple_query_is_carried_out(plain: Plain, schema: str, objects: Objects) -> None:
    plain.ask(f"create table {schema}.t (a int)")
    place = objects.put("plain/row.json", b'{"a": 1}')
    (notice, _), *rest = plain.ask(f"copy {schema}.t from '{place}' iam_role default json 'auto'")
    assert (notice, rest) == (b"N", [(b"C", b"COPY 1\0"), (b"Z", b"I")])


def test_ddl_with_another_statement_is_refused(plain: Plain) -> None:
    (code, said), status = plain.ask("create table t (a int); truncate t")
    told = str(said).partition(":")[0]
    assert (code, told, status) == (b"E", "COPY or DDL with other statements in one query", (b"Z", b"I"))
