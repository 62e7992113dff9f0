"""Statements through the Data API: what its answers, its errors and its silence are taken for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.data_api_client import DataApi, NotSubmitted, Statement, entered
from aetherstream.loader.failures import Refused
from aetherstream.warehouse.options import WarehouseOptions

ID = "d9b6c0c9-0747-4bf4-b142-e8883122f766"
OPTIONS = WarehouseOptions("wh.example", "dev", auth="iam", workgroup="group")
ENTERED = {"Database": "dev", "WorkgroupName": "group"}


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


class World:
    """boto3's own client with the answers it is to get, each checked against the API's model."""

    def __init__(self) -> None:
        self.client: Any = boto3.client(
            "redshift-data",
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106
        )
        self.answers = Stubber(self.client)
        self.answers.activate()
        self.clock = Clock()
        self.api = DataApi(self.client, OPTIONS, clock=self.clock, sleep=self.clock.sleep)

    def describes(self, status: str, **more: Any) -> None:
        self.answers.add_response("describe_statement", {"Id": ID, "Status": status, **more}, {"Id": ID})

    def refuses(self, operation: str, code: str) -> None:
        self.answers.add_client_error(operation, code, "no")


@pytest.fixture
def world() -> World:
    return World()


def sub(status: str, **more: Any) -> dict[str, Any]:
    return {"Id": f"{ID}:1", "Status": status, **more}


def test_a_batch_is_submitted_with_its_token_and_its_name(world: World) -> None:
    wanted = {**ENTERED, "Sqls": ["a", "b"], "ClientToken": "token", "StatementName": "load-1"}
    world.answers.add_response("batch_execute_statement", {"Id": ID}, wanted)
    assert world.api.submit(["a", "b"], "token", "load-1") == ID


@pytest.mark.parametrize("status", ["SUBMITTED", "PICKED", "STARTED"])
def test_what_is_not_over_runs(world: World, status: str) -> None:
    world.describes(status)
    assert world.api.look(ID) == Statement(ID, "running")


def test_a_finished_batch_tells_the_rows_of_its_statements(world: World) -> None:
    world.describes("FINISHED", SubStatements=[sub("FINISHED", ResultRows=3), sub("FINISHED", ResultRows=-1)])
    assert world.api.look(ID) == Statement(ID, "finished", rows=(3, -1))


def test_a_failed_batch_tells_the_step_that_was_refused(world: World) -> None:
    world.describes(
        "FAILED",
        Error="Query #2 failed with ERROR: no",
        SubStatements=[
            sub("FINISHED", QueryString="LOCK TABLE x"),
            sub("FAILED", QueryString="COPY x", Error="ERROR: no"),
            sub("ABORTED", QueryString="SELECT 'count', 1"),
        ],
    )
    assert world.api.look(ID) == Statement(ID, "failed", "ERROR: no", "COPY", refused=True)


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"Status": "FAILED", "Error": "Connection lost"}, "Connection lost"),
        ({"Status": "ABORTED"}, "the statement was aborted"),
        ({"Status": "FAILED", "SubStatements": [sub("FINISHED"), sub("ABORTED")]}, "the statement was failed"),
    ],
)
def test_a_failure_of_no_statement_leaves_open_how_it_ended(world: World, told: dict[str, Any], error: str) -> None:
    world.describes(**{"status": told.pop("Status"), **told})
    assert world.api.look(ID) == Statement(ID, "failed", error, "", refused=False)


def test_a_statement_that_is_not_known_is_gone(world: World) -> None:
    world.refuses("describe_statement", "ResourceNotFoundException")
    assert world.api.look(ID) == Statement(ID, "gone")


def test_waiting_looks_ever_more_seldom_and_no_longer_than_it_may(world: World) -> None:
    for _ in range(40):
        world.describes("STARTED")
    assert world.api.wait(ID, 20.0).state == "running"
    assert world.clock.now == pytest.approx(20.0)
    assert world.clock.pauses[:3] == pytest.approx([0.05, 0.075, 0.1125])
    assert max(world.clock.pauses) == 2.0


def test_waiting_looks_once_where_no_time_is_left(world: World) -> None:
    world.describes("FINISHED")
    assert world.api.wait(ID, -1.0).state == "finished"


def test_rows_come_from_all_pages(world: World) -> None:
    world.answers.add_response("execute_statement", {"Id": ID})
    world.describes("FINISHED")
    first = {"Records": [[{"longValue": 1}, {"isNull": True}]], "NextToken": "more"}
    world.answers.add_response("get_statement_result", first, {"Id": ID})
    second = {"Records": [[{"stringValue": "a"}, {"booleanValue": False}]]}
    world.answers.add_response("get_statement_result", second, {"Id": ID, "NextToken": "more"})
    assert world.api.ask("SELECT 1", 10.0) == [[1, None], ["a", False]]


def test_a_question_that_takes_too_long_is_cancelled(world: World) -> None:
    world.answers.add_response("execute_statement", {"Id": ID})
    world.describes("STARTED")
    world.answers.add_response("cancel_statement", {"Status": True}, {"Id": ID})
    with pytest.raises(Retryable, match="did not answer in time; the statement was cancelled"):
        world.api.ask("SELECT 1", 0.0)
    world.answers.assert_no_pending_responses()


def test_a_question_whose_way_breaks_is_cancelled(world: World) -> None:
    world.answers.add_response("execute_statement", {"Id": ID})
    world.refuses("describe_statement", "InternalServerException")
    world.refuses("cancel_statement", "InternalServerException")
    with pytest.raises(Retryable, match="InternalServerException"):
        world.api.ask("SELECT 1", 10.0)
    world.answers.assert_no_pending_responses()


def test_what_the_warehouse_refuses_is_told_as_a_connection_would(world: World) -> None:
    world.answers.add_response("batch_execute_statement", {"Id": ID})
    failed = [sub("FAILED", QueryString="SELECT 'guard', 1", Error="ERROR: division by zero")]
    world.describes("FAILED", SubStatements=failed)
    with pytest.raises(Refused) as found:
        world.api.run(["SELECT 'guard', 1"], 10.0)
    assert (found.value.message, found.value.doing) == ("division by zero", "guard")


@pytest.mark.parametrize(
    "code", ["ActiveStatementsExceededException", "ActiveSessionsExceededException", "ThrottlingException"]
)
def test_what_is_refused_for_now_was_not_submitted(world: World, code: str) -> None:
    world.refuses("batch_execute_statement", code)
    with pytest.raises(NotSubmitted, match=code):
        world.api.submit(["a"], "token", "load-1")


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException", "ResourceNotFoundException"])
def test_what_is_refused_for_good_says_what_to_look_at(world: World, code: str) -> None:
    world.refuses("batch_execute_statement", code)
    with pytest.raises(ConfigurationError, match=f"for group.*{code}.*workgroup or cluster"):
        world.api.submit(["a"], "token", "load-1")


@pytest.mark.parametrize("code", ["InternalServerException", "BatchExecuteStatementException", "Whatever"])
def test_of_anything_else_nobody_knows_whether_it_was_submitted(world: World, code: str) -> None:
    world.refuses("batch_execute_statement", code)
    with pytest.raises(Retryable) as found:
        world.api.submit(["a"], "token", "load-1")
    assert not isinstance(found.value, NotSubmitted)


def test_an_endpoint_that_is_out_of_reach_may_come_back() -> None:
    class Down:
        def batch_execute_statement(self, **_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://redshift-data")

    with pytest.raises(Retryable):
        DataApi(Down(), OPTIONS).submit(["a"], "token", "load-1")


def test_cancelling_what_is_over_is_no_error(world: World) -> None:
    world.refuses("cancel_statement", "ValidationException")
    world.api.cancel(ID)
    world.answers.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"auth": "secret", "secret": "arn", "workgroup": "g"}, {"WorkgroupName": "g", "SecretArn": "arn"}),
        ({"auth": "secret", "secret": "arn", "cluster": "c"}, {"ClusterIdentifier": "c", "SecretArn": "arn"}),
        ({"auth": "iam", "workgroup": "g"}, {"WorkgroupName": "g"}),
        ({"auth": "iam", "workgroup": "g", "username": "ignored"}, {"WorkgroupName": "g"}),
        ({"auth": "iam", "cluster": "c"}, {"ClusterIdentifier": "c"}),
        ({"auth": "iam", "cluster": "c", "username": "me"}, {"ClusterIdentifier": "c", "DbUser": "me"}),
    ],
    ids=lambda each: "+".join(each),
)
def test_a_database_is_entered_by_secret_or_as_the_role(options: dict[str, Any], said: dict[str, str]) -> None:
    assert entered(WarehouseOptions("wh.example", "dev", **options)) == {"Database": "dev", **said}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"auth": "iam"}, "either `workgroup`"),
        ({"auth": "iam", "workgroup": "g", "cluster": "c"}, "either `workgroup`"),
        ({"auth": "password", "username": "u", "password": "p", "workgroup": "g"}, "takes no password"),
        ({"auth": "secret", "workgroup": "g"}, "needs `secret`"),
    ],
    ids=lambda each: "+".join(each) if isinstance(each, dict) else "",
)
def test_what_can_not_enter_says_so_before_anything_is_asked(options: dict[str, Any], why: str) -> None:
    make: Callable[[], DataApi] = lambda: DataApi(None, WarehouseOptions("wh.example", "dev", **options))  # noqa: E731
    with pytest.raises(ConfigurationError, match=why):
        make()


def test_errors_of_the_service_itself_are_of_its_model(world: World) -> None:
    """The codes that are told apart are errors that the API has, or that every AWS service has."""
    assert {"ActiveStatementsExceededException", "ActiveSessionsExceededException", "ResourceNotFoundException"} <= {
        shape for shape in world.client.meta.service_model.shape_names if shape.endswith("Exception")
    }
    assert issubclass(world.client.exceptions.ActiveStatementsExceededException, ClientError)
