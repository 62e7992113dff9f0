from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
from decimal import Decimal
from typing import Any

import pytest
from redshift_connector.core import Connection
from redshift_connector.error import InterfaceError, ProgrammingError

from aetherstream.decode.compression import zstd_module
from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.redshift.wire import query
from tests.local.redshift.test_statements import Plain, failure, run
from tests.redshift_fixture import ROLE, Connect, Objects

pytestmark = pytest.mark.integration

LOADED = f"iam_role '{ROLE}' manifest format as json 'auto' gzip timeformat 'auto' maxerror 0 compupdate off"


@pytest.fixture(autouse=True)
def flights(connection: Connection) -> None:
    """A table of the test's own."""
    run(connection, "create table flights (id bigint not null, origin char(3), delay decimal(6,2), extra super)")
    connection.commit()


def copy(connection: Connection, place: str, options: str = LOADED, table: str = "flights") -> Any:
    return run(connection, f"copy {table} from '{place}' {options}")


def test_rows_of_a_manifest_are_loaded_in_the_clients_transaction(connection: Connection, objects: Objects) -> None:
    places = [
        objects.rows({"id": 1, "origin": "JFK", "delay": 1.239, "extra": {"a": [1, "ü"]}}, {"id": 2, "none": 1}),
        objects.rows({"id": 3, "origin": None, "delay": "-7", "extra": "x\ty\\z"}),
        objects.rows(),
    ]
    assert copy(connection, objects.manifest(places)) == 3
    assert run(connection, "select * from flights order by id") == [
        [1, "JFK", Decimal("1.23"), '{"a": [1, "ü"]}'],
        [2, None, None, None],
        [3, None, Decimal("-7.00"), '"x\\ty\\\\z"'],
    ]
    connection.rollback()
    assert run(connection, "select count(*) from flights") == [[0]]


def test_a_copy_is_carried_out_again_from_the_drivers_cache(connection: Connection, objects: Objects) -> None:
    place = objects.manifest([objects.rows({"id": 1})])
    assert [copy(connection, place), copy(connection, place)] == [1, 1]
    assert run(connection, "select count(*) from flights") == [[2]]


def test_a_temporary_stage_is_filled(connection: Connection, objects: Objects) -> None:
    run(connection, "create temp table stage (like flights)")
    copy(connection, objects.manifest([objects.rows({"id": 1})]), table="stage")
    assert run(connection, "select id from stage") == [[1]]


def test_the_last_copy_is_told_by_its_session(connect: Connect, connection: Connection, objects: Objects) -> None:
    asked = "select pg_last_copy_id(), pg_last_copy_count()"
    assert run(connection, asked) == [[-1, 0]]
    copy(connection, objects.manifest([objects.rows({"id": 1}, {"id": 2})]))
    ((first, count),) = run(connection, asked)
    failure(connection, f"copy flights from '{objects.manifest([objects.rows({'id': 'x'})])}' {LOADED}")
    ((second, none),) = run(connection, asked)
    assert (first < second, count, none, run(connect(), asked)) == (True, 2, 0, [[-1, 0]])


def test_a_row_that_does_not_load_fails_the_copy_and_is_told_after_the_rollback(
    connection: Connection, objects: Objects
) -> None:
    good, bad = objects.rows({"id": 1}), objects.rows({"id": 2}, {"id": 3, "origin": "JFKX"})
    copying = f"copy flights from '{objects.manifest([good, bad])}' {LOADED}"
    run(connection, "insert into flights (id) values (0)")
    assert failure(connection, copying) == (
        "XX000",
        "Load into table 'flights' failed.  Check 'sys_load_error_detail' system table for details.",
    )
    assert run(connection, "select count(*) from flights") == [[0]]
    told = run(
        connection,
        "select trim(file_name), line_number, trim(column_name), trim(column_type), trim(column_length), error_code, "
        "trim(error_message) from sys_load_error_detail where query_id = pg_last_copy_id()",
    )
    assert told == [[bad, 2, "origin", "char", "3", 1204, "String length exceeds DDL length"]]
    older = "select trim(filename), line_number, trim(raw_field_value), err_code from stl_load_errors where query = "
    assert run(connection, older + "pg_last_copy_id()") == [[bad, 2, "JFKX", 1204]]
    history = "select status, loaded_rows from sys_load_history where query_id = pg_last_copy_id()"
    assert run(connection, history) == [["failed", 0]]


def test_what_was_loaded_is_told(connection: Connection, objects: Objects) -> None:
    places = [objects.rows({"id": 1}, {"id": 2}), objects.rows({"id": 3})]
    manifest = objects.manifest(places)
    copy(connection, manifest)
    connection.commit()
    history = "select status, table_name, data_source, loaded_rows from sys_load_history where query_id = "
    assert run(connection, history + "pg_last_copy_id()") == [["completed", "flights", manifest, 3]]
    commits = "select trim(filename), lines_scanned from stl_load_commits where query = pg_last_copy_id()"
    assert sorted(run(connection, commits)) == sorted([[places[0], 2], [places[1], 1]])


def test_a_failed_copy_fails_the_transaction(connection: Connection, objects: Objects) -> None:
    place = objects.manifest([objects.rows({"id": None})])
    with pytest.raises(ProgrammingError, match="Load into table 'flights' failed"):
        copy(connection, place)
    with pytest.raises(ProgrammingError, match="current transaction is aborted"):
        copy(connection, place)


@pytest.mark.parametrize("options", [LOADED, LOADED.replace("manifest ", "")])
def test_what_is_not_there_fails(connection: Connection, objects: Objects, options: str) -> None:
    code, said = failure(connection, f"copy flights from 's3://{objects.bucket}/nowhere' {options}")
    assert (code, "does not exist" in said) == ("XX000", True)


def test_a_table_that_is_not_there_fails(connection: Connection, objects: Objects) -> None:
    said = failure(connection, f"copy none from 's3://{objects.bucket}/x' {LOADED}")
    assert said == ("XX000", "Cannot COPY into nonexistent table none")


def test_columns_jsonpaths_and_zstd(connection: Connection, objects: Objects) -> None:
    lines = b'{"who": {"id": 1}, "list": [5, 6.5]}\n'
    place = objects.put("paths/data.zst", zstd_module().compress(lines))
    paths = objects.put("paths.json", json.dumps({"jsonpaths": ["$.list[1]", "$['who']['id']"]}).encode())
    options = f"iam_role default json '{paths}' zstd"
    assert run(connection, f"copy flights (delay, id) from '{place}' {options}") == 1
    assert run(connection, "select id, delay from flights") == [[1, Decimal("6.50")]]


def test_keys_of_any_case_and_a_prefix(connection: Connection, objects: Objects) -> None:
    objects.put("prefix/a", b'{"ID": 1}\n')
    objects.put("prefix/b", b'{"Id": 2}\n')
    options = "iam_role default format json 'auto ignorecase'"
    assert copy(connection, f"s3://{objects.bucket}/prefix/", options) == 2
    assert run(connection, "select id from flights order by id") == [[1], [2]]


def test_noload_checks_and_loads_nothing(connection: Connection, objects: Objects) -> None:
    place = objects.manifest([objects.rows({"id": 1})])
    assert copy(connection, place, f"{LOADED} noload") == 0
    assert run(connection, "select count(*) from flights") == [[0]]
    wrong = objects.manifest([objects.rows({"id": "x"})])
    assert failure(connection, f"copy flights from '{wrong}' {LOADED} noload")[0] == "XX000"


def test_an_object_that_is_not_compressed_fails(connection: Connection, objects: Objects) -> None:
    place = objects.manifest([objects.put("plain.json", b'{"id": 1}\n')])
    assert failure(connection, f"copy flights from '{place}' {LOADED}")[1].startswith("Invalid GZIP file: s3://")


def test_a_copy_is_cancelled_between_its_objects(
    warehouse: LocalRedshift, connection: Connection, objects: Objects
) -> None:
    many = objects.rows(*({"id": number} for number in range(50_000)))
    place = objects.manifest([many] * 1_000)
    failed: list[tuple[str, str]] = []

    def load() -> None:
        failed.append(failure(connection, f"copy flights from '{place}' {LOADED}"))

    key = connection._backend_key_data
    assert key is not None
    loading = threading.Thread(target=load)
    loading.start()
    while loading.is_alive():
        with socket.create_connection((warehouse.host, warehouse.port), timeout=30) as canceller:
            canceller.sendall(struct.pack("!ii", 16, 80877102) + bytes(key))
            canceller.recv(1)
        loading.join(0.1)
    ((code, said),) = failed
    assert (code, said.partition(" ")[0] in ("Query", "canceling")) == ("57014", True)
    assert run(connection, "select count(*) from flights") == [[0]]


def test_a_session_that_is_killed_in_a_copy_leaves_nothing(
    connect: Connect, connection: Connection, objects: Objects
) -> None:
    many = objects.rows(*({"id": number} for number in range(20_000)))
    place = objects.manifest([many] * 1_000)
    loader = connect()
    pid = run(loader, "select pg_backend_pid()")[0][0]
    failed: list[str] = []

    def load() -> None:
        try:
            copy(loader, place)
        except InterfaceError as error:  # the driver drops the server's last words
            failed.append(str(error).partition(".")[0])

    loading = threading.Thread(target=load)
    loading.start()
    connection.autocommit = True
    while loading.is_alive():
        run(connection, "select pg_terminate_backend(%s)", pid)
        loading.join(0.2)
    assert failed == ["BrokenPipe: server socket closed"]
    assert run(connection, "select count(*) from flights") == [[0]]


def test_a_client_that_goes_away_in_a_copy_ends_it(
    warehouse: LocalRedshift, connection: Connection, objects: Objects, schema: str
) -> None:
    place = objects.manifest([objects.rows(*({"id": number} for number in range(20_000)))] * 1_000)
    client = Plain(warehouse)
    client.wire.send(query(f"copy {schema}.flights from '{place}' {LOADED}"))
    connection.autocommit = True
    while run(connection, "select count(*) from pg_stat_activity where query like 'COPY%'") == [[0]]:
        pass
    client.wire.close()
    run(connection, "set statement_timeout to 60000")  # the whole COPY would take longer
    connection.autocommit = False
    run(connection, "lock flights")
    assert run(connection, "select count(*) from flights") == [[0]]


def test_a_client_that_goes_away_in_a_transaction_leaves_nothing(
    connect: Connect, connection: Connection, objects: Objects
) -> None:
    gone = connect()
    copy(gone, objects.manifest([objects.rows({"id": 1})]))
    gone._usock.close()
    gone._sock.close()
    run(connection, "lock flights")  # waits for the other's end
    assert run(connection, "select count(*) from flights") == [[0]]


def test_sessions_load_at_the_same_time(connect: Connect, connection: Connection, objects: Objects) -> None:
    for number in range(4):
        run(connection, f"create table t{number} (id int)")
    connection.commit()
    places = [objects.manifest([objects.rows(*({"id": number} for _ in range(1_000)))]) for number in range(4)]

    def load(number: int) -> None:
        own = connect()
        copy(own, places[number], table=f"t{number}")
        own.commit()

    loading = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in loading:
        thread.start()
    for thread in loading:
        thread.join(60)
    counted = [run(connection, f"select count(*), min(id) from t{number}") for number in range(4)]  # noqa: S608
    assert counted == [[[1_000, number]] for number in range(4)]


def test_an_empty_compressed_stream_has_no_rows(connection: Connection, objects: Objects) -> None:
    place = objects.manifest([objects.put("empty.gz", gzip.compress(b""))])
    assert copy(connection, place) == 0
