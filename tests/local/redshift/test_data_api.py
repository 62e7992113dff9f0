# ruff: noqa: S608 - names of the tests' own
"""The stand-in of the Data API, asked by boto3's own client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from redshift_connector.core import Connection

from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.redshift.data_api import LocalDataApi
from tests.data_api_fixture import ENTERED, client_of
from tests.redshift_fixture import ROLE, Objects

pytestmark = pytest.mark.integration


class Api:
    """The client, with what every call says, and waiting."""

    def __init__(self, server: LocalDataApi) -> None:
        self.server = server
        self.client = client_of(server)

    def execute(self, sql: str, **more: Any) -> dict[str, Any]:
        """Run one statement and wait for its end."""
        return self.end(self.client.execute_statement(Sql=sql, **{**ENTERED, **more})["Id"])

    def batch(self, *sqls: str, **more: Any) -> dict[str, Any]:
        """Run a transaction and wait for its end."""
        return self.end(self.client.batch_execute_statement(Sqls=list(sqls), **{**ENTERED, **more})["Id"])

    def end(self, identifier: str) -> dict[str, Any]:
        """How a request came to its end."""
        while True:
            told: dict[str, Any] = self.client.describe_statement(Id=identifier, WaitTimeSeconds=30)
            if told["Status"] in ("FINISHED", "FAILED", "ABORTED"):
                return told

    def rows(self, identifier: str) -> list[list[Any]]:
        """The values of all pages."""
        found: list[list[Any]] = []
        more: dict[str, str] = {}
        while True:
            answer = self.client.get_statement_result(Id=identifier, **more)
            found += [[next(iter(field.values())) for field in record] for record in answer["Records"]]
            if not answer.get("NextToken"):
                return found
            more = {"NextToken": answer["NextToken"]}


@pytest.fixture(scope="module")
def server(warehouse: LocalRedshift) -> Iterator[LocalDataApi]:
    with LocalDataApi(warehouse, page=3) as running:
        yield running


@pytest.fixture
def api(server: LocalDataApi) -> Api:
    return Api(server)


def code_of(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def refused(call: Callable[[], object]) -> tuple[str, str]:
    """The error that a call ends with: its code, and what it says."""
    with pytest.raises(ClientError) as found:
        call()
    return code_of(found.value), found.value.response["Error"]["Message"]


def test_values_come_in_the_field_of_their_type(api: Api) -> None:
    told = api.execute(
        "SELECT 1::smallint, 2::integer, 3::bigint, 1.5::double precision, 1.25::numeric(5, 2), true, 'text'::varchar,"
        " NULL::integer, '2013-01-02'::date, '2013-01-02 03:04:05'::timestamp, '2013-01-02 03:04:05+00'::timestamptz,"
        " JSON_PARSE('{\"a\":1}')"
    )
    answer = api.client.get_statement_result(Id=told["Id"])
    assert answer["Records"] == [
        [
            {"longValue": 1},
            {"longValue": 2},
            {"longValue": 3},
            {"doubleValue": 1.5},
            {"stringValue": "1.25"},
            {"booleanValue": True},
            {"stringValue": "text"},
            {"isNull": True},
            {"stringValue": "2013-01-02"},
            {"stringValue": "2013-01-02 03:04:05"},
            {"stringValue": "2013-01-02 03:04:05+00"},
            {"stringValue": '{"a": 1}'},
        ]
    ]
    assert [column["typeName"] for column in answer["ColumnMetadata"]] == [
        *("int2", "int4", "int8", "float8", "numeric", "bool", "varchar", "int4", "date", "timestamp", "timestamptz"),
        "super",
    ]


def test_results_come_page_by_page(api: Api, schema: str) -> None:
    api.execute(f"CREATE TABLE {schema}.t (n integer)")
    api.execute(f"INSERT INTO {schema}.t VALUES (1), (2), (3), (4), (5), (6), (7)")
    told = api.execute(f"SELECT n FROM {schema}.t ORDER BY n")
    assert (told["ResultRows"], api.rows(told["Id"])) == (7, [[1], [2], [3], [4], [5], [6], [7]])


def test_a_batch_is_one_transaction(api: Api, schema: str) -> None:
    api.execute(f"CREATE TABLE {schema}.t (n integer NOT NULL)")
    told = api.batch(
        f"INSERT INTO {schema}.t VALUES (1)", f"INSERT INTO {schema}.t VALUES (NULL)", f"SELECT n FROM {schema}.t"
    )
    assert [sub["Status"] for sub in told["SubStatements"]] == ["FINISHED", "FAILED", "ABORTED"]
    assert told["Status"] == "FAILED"
    assert told["Error"].startswith('Query #2 failed with ERROR: null value in column "n"')
    assert api.rows(api.execute(f"SELECT COUNT(*) FROM {schema}.t")["Id"]) == [[0]]


def test_each_statement_of_a_batch_has_its_results(api: Api) -> None:
    told = api.batch("SELECT 1", "SELECT 'two'")
    first, second = told["SubStatements"]
    assert (api.rows(first["Id"]), api.rows(second["Id"])) == ([[1]], [["two"]])
    assert refused(lambda: api.client.get_statement_result(Id=told["Id"])) == (
        "ResourceNotFoundException",
        "Query does not have result. Please check query status with DescribeStatement.",
    )


def test_parameters_are_values_whatever_stands_in_them(api: Api) -> None:
    evil = "'; DROP TABLE x; --\\' \" :other"
    told = api.execute(
        "SELECT :a, :b::integer + 1", Parameters=[{"name": "a", "value": evil}, {"name": "b", "value": "4"}]
    )
    assert api.rows(told["Id"]) == [[evil, 5]]


def test_a_parameter_that_no_statement_names_is_refused(api: Api) -> None:
    code, message = refused(lambda: api.execute("SELECT 1", Parameters=[{"name": "a", "value": "1"}]))
    assert (code, "Unused: ['a']" in message) == ("ValidationException", True)


def test_the_same_token_is_the_same_request(api: Api, schema: str) -> None:
    api.execute(f"CREATE TABLE {schema}.t (n integer)")
    given = {**ENTERED, "Sqls": [f"INSERT INTO {schema}.t VALUES (1)"], "ClientToken": f"token-{schema}"}
    first, second = (api.client.batch_execute_statement(**given)["Id"] for _ in range(2))
    api.end(first)
    assert (first, api.rows(api.execute(f"SELECT COUNT(*) FROM {schema}.t")["Id"])) == (second, [[1]])


def test_a_token_stands_for_one_request_alone(api: Api, schema: str) -> None:
    api.execute("SELECT 1", ClientToken=f"token-{schema}")
    code, _ = refused(lambda: api.execute("SELECT 2", ClientToken=f"token-{schema}"))
    assert code == "ValidationException"


def test_a_statement_that_waits_goes_on_while_nobody_asks(api: Api, connection: Connection, schema: str) -> None:
    api.execute(f"CREATE TABLE {schema}.t (n integer)")
    with connection.cursor() as holding:
        holding.execute(f"LOCK {schema}.t")
        identifier = api.client.execute_statement(Sql=f"INSERT INTO {schema}.t VALUES (1)", **ENTERED)["Id"]
        assert api.client.describe_statement(Id=identifier, WaitTimeSeconds=1)["Status"] in ("PICKED", "STARTED")
        connection.commit()
    assert api.end(identifier)["Status"] == "FINISHED"


def test_a_cancelled_request_leaves_nothing(api: Api, connection: Connection, schema: str) -> None:
    api.execute(f"CREATE TABLE {schema}.t (n integer)")
    api.execute(f"CREATE TABLE {schema}.held (n integer)")
    with connection.cursor() as holding:
        holding.execute(f"LOCK {schema}.held")
        identifier = api.client.batch_execute_statement(
            Sqls=[f"INSERT INTO {schema}.t VALUES (1)", f"INSERT INTO {schema}.held VALUES (1)"], **ENTERED
        )["Id"]
        assert api.client.cancel_statement(Id=identifier)["Status"] is True
        assert api.end(identifier)["Status"] == "ABORTED"
        connection.rollback()
    assert api.rows(api.execute(f"SELECT COUNT(*) FROM {schema}.t")["Id"]) == [[0]]


def test_what_is_done_can_not_be_cancelled(api: Api) -> None:
    told = api.execute("SELECT 1")
    assert refused(lambda: api.client.cancel_statement(Id=told["Id"])) == (
        "ValidationException",
        f"Could not cancel a query that is already in FINISHED state with ID: {told['Id']}",
    )


def test_a_session_that_is_ended_fails_its_request(api: Api, connection: Connection, schema: str) -> None:
    api.execute(f"CREATE TABLE {schema}.t (n integer)")
    with connection.cursor() as holding:
        holding.execute(f"LOCK {schema}.t")
        identifier = api.client.execute_statement(Sql=f"INSERT INTO {schema}.t VALUES (1)", **ENTERED)["Id"]
        pid = 0
        while not pid:
            pid = api.client.describe_statement(Id=identifier)["RedshiftPid"]
        holding.execute(f"SELECT pg_terminate_backend({pid})")
        connection.rollback()
    assert api.end(identifier)["Status"] == "FAILED"


def test_a_copy_tells_its_id_by_which_its_errors_are_found(api: Api, schema: str, objects: Objects) -> None:
    api.execute(f"CREATE TABLE {schema}.t (n integer)")
    place = objects.manifest([objects.rows({"n": 1}, {"n": "x"})])
    copy = f"COPY {schema}.t FROM '{place}' IAM_ROLE '{ROLE}' MANIFEST JSON 'auto' GZIP"
    told = api.batch("SELECT 1", copy)
    assert told["Error"] == (
        "Query #2 failed with ERROR: Load into table 't' failed.  Check 'sys_load_error_detail' system table for"
        " details."
    )
    query = told["SubStatements"][1]["RedshiftQueryId"]
    found = api.execute(
        "SELECT line_number, TRIM(column_name) FROM sys_load_error_detail WHERE query_id = :q",
        Parameters=[{"name": "q", "value": str(query)}],
    )
    assert api.rows(found["Id"]) == [[2, "n"]]


def test_a_database_that_is_not_there_fails_the_request(api: Api) -> None:
    told = api.execute("SELECT 1", Database="other")
    assert (told["Status"], 'database "other" does not exist' in told["Error"]) == ("FAILED", True)


@pytest.mark.parametrize(
    "given",
    [
        {"ClusterIdentifier": "cluster"},
        {"WorkgroupName": "group", "ClusterIdentifier": "cluster"},
        {"Database": "", "WorkgroupName": "group"},
        {"Database": "dev"},
        {"Database": "dev", "ClusterIdentifier": "cluster", "SecretArn": "arn", "DbUser": "user"},
        {"Database": "dev", "WorkgroupName": "group", "DbUser": "user"},
    ],
    ids=lambda given: "+".join(given),
)
def test_ways_in_that_the_api_has_not_are_refused(api: Api, given: dict[str, str]) -> None:
    code, _ = refused(lambda: api.client.execute_statement(Sql="SELECT 1", **given))
    assert code == "ValidationException"


@pytest.mark.parametrize(
    "more",
    [{"WithEvent": True}, {"SessionKeepAliveSeconds": 5}, {"ResultFormat": "CSV"}],
    ids=lambda more: next(iter(more)),
)
def test_what_it_does_not_know_is_refused(api: Api, more: dict[str, Any]) -> None:
    code, message = refused(lambda: api.execute("SELECT 1", **more))
    assert (code, "not supported" in message) == ("ValidationException", True)


def test_other_operations_are_refused(api: Api) -> None:
    code, _ = refused(lambda: api.client.list_tables(**ENTERED))
    assert code == "UnknownOperationException"


def test_statements_have_their_size(api: Api) -> None:
    assert api.execute(f"SELECT '{'x' * 60_000}'")["Status"] == "FINISHED"
    code, _ = refused(lambda: api.execute(f"SELECT '{'x' * 100_000}'"))
    assert code == "ValidationException"


def test_a_batch_has_forty_statements_at_most(api: Api) -> None:
    assert api.batch(*["SELECT 1"] * 40)["Status"] == "FINISHED"
    code, _ = refused(lambda: api.batch(*["SELECT 1"] * 41))
    assert code == "ValidationException"


def test_so_many_statements_run_at_once_and_no_more(
    warehouse: LocalRedshift, connection: Connection, schema: str
) -> None:
    with connection.cursor() as holding, LocalDataApi(warehouse, active=1) as server:
        api = Api(server)
        api.execute(f"CREATE TABLE {schema}.t (n integer)")
        holding.execute(f"LOCK {schema}.t")
        first = api.client.execute_statement(Sql=f"INSERT INTO {schema}.t VALUES (1)", **ENTERED)["Id"]
        code, _ = refused(lambda: api.execute("SELECT 1"))
        connection.rollback()
        assert (code, api.end(first)["Status"]) == ("ActiveStatementsExceededException", "FINISHED")


def test_a_server_that_comes_back_knows_no_statement_of_before(warehouse: LocalRedshift) -> None:
    with LocalDataApi(warehouse) as server:
        api = Api(server)
        told = api.execute("SELECT 1")
        server.stop()
        server.start()
        assert refused(lambda: api.client.describe_statement(Id=told["Id"])) == (
            "ResourceNotFoundException",
            "Query does not exist.",
        )


def test_finished_statements_are_listed_by_their_names(api: Api, schema: str) -> None:
    for number in range(3):
        api.execute("SELECT 1", StatementName=f"{schema}-{number}")
    api.execute("SELECT nothing", StatementName=f"{schema}-3")
    pages = [api.client.list_statements(StatementName=schema, MaxResults=2)]
    pages.append(api.client.list_statements(StatementName=schema, MaxResults=2, NextToken=pages[0]["NextToken"]))
    named = [statement["StatementName"] for page in pages for statement in page["Statements"]]
    assert (named, "NextToken" in pages[1]) == ([f"{schema}-2", f"{schema}-1", f"{schema}-0"], False)


def test_requests_run_beside_each_other(api: Api, schema: str) -> None:
    api.execute(f"CREATE TABLE {schema}.t (n integer)")
    threads = [
        threading.Thread(target=api.execute, args=(f"INSERT INTO {schema}.t VALUES ({number})",)) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert api.rows(api.execute(f"SELECT COUNT(*) FROM {schema}.t")["Id"]) == [[8]]
