"""The loader function: what it answers to its queue, the command line and a deployment, measures and logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.data_api import DataApiWarehouse
from aetherstream.loader.sql_warehouse import SqlWarehouse
from aetherstream.loader_app import LoaderApp, Loading, loader_of, start_loader, warehouse_of
from aetherstream.pipeline import load
from aetherstream.settings import from_environment
from aetherstream.testing.builders import SHARD, STREAM
from aetherstream.testing.stores import InlineExecutor
from aetherstream.testing.warehouse import remover
from aetherstream.warehouse.ddl import Differences, Refusal
from aetherstream.warehouse.options import WarehouseOptions
from tests.loader.world import World, failing_at, row, target
from tests.pipeline.writing import write

PIPELINE = """\
pipeline: flights
event_time: {field: at}
sinks:
  warehouse:
    redshift:
      endpoint: wh.example:5439/dev
      secret: arn:aws:secretsmanager:eu-central-1:123456789012:secret:wh
      bucket: data
      table: flights
      columns: {origin: char(3)}
quarantine: {s3: {bucket: data}}
"""
DEPLOYMENT = {
    "RequestType": "Create",
    "ResponseURL": "https://s3/answer",
    "StackId": "stack",
    "RequestId": "request",
    "LogicalResourceId": "WarehouseTables",
}


class Context:
    """Lambda's context: an invocation of a quarter of an hour."""

    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@pytest.fixture(autouse=True)
def _a_logger_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.nodeid)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AetherStream")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def responses() -> list[tuple[str, Mapping[str, Any]]]:
    return []


class App:
    """The function, composed by its first event: its logger takes the standard output that it meets then."""

    def __init__(self, world: World, folder: Path, responses: list[tuple[str, Mapping[str, Any]]]) -> None:
        self.make = partial(made, world, folder, responses)
        self._app: LoaderApp | None = None

    def handle(self, event: dict[str, Any], context: Context) -> dict[str, Any]:
        self._app = self._app or self.make()
        return self._app.handle(event, context)


@pytest.fixture
def app(world: World, tmp_path: Path, responses: list[tuple[str, Mapping[str, Any]]]) -> App:
    return App(world, tmp_path, responses)


def made(
    world: World, folder: Path, responses: list[tuple[str, Mapping[str, Any]]], *, dry_run: bool = False
) -> LoaderApp:
    return loader_of(
        load(write(folder, PIPELINE), {}),
        world.tables,
        stream=STREAM,
        store=world.objects,
        reader=world.objects,
        remove=remover(world.objects),
        progress=world.progress,
        queue=world.queue,
        executor=InlineExecutor(),
        clock=lambda: world.now,
        new_id=lambda: "load1",
        respond=lambda url, result: responses.append((url, result)),
        dry_run=dry_run,
    )


def event(world: World) -> dict[str, Any]:
    """What Lambda hands over of the queue."""
    records = [
        {
            "messageId": each.id,
            "receiptHandle": each.receipt,
            "body": each.body,
            "attributes": {"ApproximateReceiveCount": str(each.received)},
        }
        for each in world.queue.take()
    ]
    return {"Records": records}


def said(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Log lines, and metrics."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line]


def values(line: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in line.items() if name not in ("_aws", "service")}
    return {name: value[0] if isinstance(value, list) else value for name, value in told.items()}


# -- The queue --------------------------------------------------------------------------------------------------------


def test_what_is_loaded_is_done_and_what_waits_comes_again(world: World, app: App) -> None:
    world.announce(world.stage(world.key(1), row(1)))
    waiting = world.stage(world.key(2), row(2))
    world.note(waiting)
    name = world.announce(waiting)
    assert app.handle(event(world), Context()) == {"batchItemFailures": [{"itemIdentifier": name}]}
    assert world.ids_in_table == [f"{SHARD}:1:0"]


def test_an_invocation_is_told_in_one_line(world: World, app: App, capsys: pytest.CaptureFixture[str]) -> None:
    world.announce(world.stage(world.key(1), row(1)))
    app.handle(event(world), Context())
    [line], _ = said(capsys)
    assert (line["level"], line["message"], line["messages"], line["again"]) == ("INFO", "load done", 1, 0)
    assert line["sinks"] == {"warehouse": {"announced": 1, "loaded": 1, "rows": 1, "loads": ["load1-1"], "oldest": 5.0}}


def test_a_load_is_measured(world: World, app: App, capsys: pytest.CaptureFixture[str]) -> None:
    world.announce(world.stage(world.key(1), row(1)))
    app.handle(event(world), Context())
    _, [metrics] = said(capsys)
    assert values(metrics) == {
        "pipeline": "flights",
        "sink": "warehouse",
        "LoadObjects": 1.0,
        "LoadRows": 1.0,
        "LoadWaiting": 0.0,
        "LoadSetAside": 0.0,
        "LoadFailed": 0.0,
        "LoadMisconfigured": 0.0,
        "LoadRewritten": 0.0,
        "LoadSeconds": 0.0,
        "LoadOldestAge": 5.0,
    }


def test_a_load_that_fails_is_told_and_measured(world: World, app: App, capsys: pytest.CaptureFixture[str]) -> None:
    world.announce(world.stage(world.key(1), row(1)))
    world.warehouse.at = failing_at("commit", Retryable("connection lost"))
    app.handle(event(world), Context())
    [line], [metrics] = said(capsys)
    assert (line["level"], line["sinks"]["warehouse"]["trouble"]) == ("WARNING", "connection lost")
    assert (values(metrics)["LoadFailed"], values(metrics)["LoadWaiting"]) == (1.0, 1.0)


def test_what_only_a_person_can_mend_is_an_error(world: World, app: App, capsys: pytest.CaptureFixture[str]) -> None:
    world.announce(world.stage(world.key(1), row(1)))
    world.warehouse.differences = Differences(refusals=[Refusal("origin", "is integer", "rename it")])
    app.handle(event(world), Context())
    [line], [metrics] = said(capsys)
    assert (line["level"], values(metrics)["LoadMisconfigured"]) == ("ERROR", 1.0)


def test_what_is_set_aside_is_told_with_the_reason(world: World, app: App, capsys: pytest.CaptureFixture[str]) -> None:
    poison = world.stage(world.key(1), row(1))
    world.announce(poison, world.stage(world.key(2), row(2)))
    world.warehouse.refuses = lambda location: "String length exceeds" if location.endswith(poison) else None
    app.handle(event(world), Context())
    [line], [metrics] = said(capsys)
    assert line["level"] == "WARNING"
    assert line["sinks"]["warehouse"]["set_aside"] == {f"data/{poison}": "unknown line: String length exceeds"}
    assert values(metrics)["LoadSetAside"] == 1.0


def test_an_object_that_was_loaded_with_other_bytes_is_an_error(
    world: World, app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    key = world.stage(world.key(1), row(1))
    world.announce(key)
    app.handle(event(world), Context())
    world.stage(key, row(1), row(2), epoch=2)
    world.announce(key)
    said(capsys)
    app.handle(event(world), Context())
    [line], [metrics] = said(capsys)
    assert (line["level"], line["sinks"]["warehouse"]["rewritten"]) == ("ERROR", [f"data/{key}"])
    assert values(metrics)["LoadRewritten"] == 1.0


def test_a_message_of_nobody_s_is_told(world: World, app: App, capsys: pytest.CaptureFixture[str]) -> None:
    world.queue.put("hello")
    assert app.handle(event(world), Context()) == {"batchItemFailures": []}
    [line], metrics = said(capsys)
    assert (line["level"], line["refused"], metrics) == ("WARNING", 1, [])


def test_a_dry_run_loads_nothing_and_keeps_the_messages(
    world: World, tmp_path: Path, responses: list[tuple[str, Mapping[str, Any]]]
) -> None:
    name = world.announce(world.stage(world.key(1), row(1)))
    app = made(world, tmp_path, responses, dry_run=True)
    assert app.handle(event(world), Context()) == {"batchItemFailures": [{"itemIdentifier": name}]}
    assert (world.ids_in_table, world.states) == ([], {})


# -- Requests ---------------------------------------------------------------------------------------------------------


def test_a_request_of_the_command_line_is_answered(world: World, app: App) -> None:
    world.warehouse.database.exists = False
    answer = app.handle({"do": "apply", "by": "me"}, Context())
    assert answer["state"] == "done"
    assert answer["sinks"][0]["done"] == ["create table public.flights"]


def test_a_request_that_means_nothing_fails(app: App) -> None:
    answer = app.handle({"do": "dance"}, Context())
    assert answer == {"state": "failed", "message": "the loader function does not know what 'dance' is"}


def test_what_was_set_aside_is_loaded_after_a_retry(world: World, app: App) -> None:
    poison = world.stage(world.key(1), row(1))
    world.announce(poison)
    world.warehouse.refuses = lambda location: "bad"
    app.handle(event(world), Context())
    world.warehouse.refuses = lambda location: None
    assert app.handle({"do": "retry", "all": True}, Context())["sinks"][0]["announced"] == 1
    app.handle(event(world), Context())
    assert (world.ids_in_table, world.states) == ([f"{SHARD}:1:0"], {poison: "loaded"})


def test_what_was_never_announced_is_loaded_after_a_backfill(world: World, app: App) -> None:
    world.stage(world.key(1), row(1))
    assert app.handle({"do": "backfill"}, Context())["sinks"][0]["announced"] == 1
    app.handle(event(world), Context())
    assert world.ids_in_table == [f"{SHARD}:1:0"]


# -- Deployments ------------------------------------------------------------------------------------------------------


def test_a_deployment_makes_the_tables(world: World, app: App, responses: list[tuple[str, Mapping[str, Any]]]) -> None:
    world.warehouse.database.exists = False
    app.handle(DEPLOYMENT, Context())
    [(url, result)] = responses
    assert (url, result["Status"], result["Reason"]) == (
        "https://s3/answer",
        "SUCCESS",
        "public.flights: create table public.flights",
    )
    assert world.warehouse.database.exists


def test_a_refusal_fails_a_deployment(world: World, app: App, responses: list[tuple[str, Mapping[str, Any]]]) -> None:
    world.warehouse.differences = Differences(refusals=[Refusal("origin", "is integer", "rename it")])
    app.handle({**DEPLOYMENT, "RequestType": "Update"}, Context())
    [(_, result)] = responses
    assert (result["Status"], result["Reason"]) == ("FAILED", "public.flights.origin is integer: rename it")


def test_a_stack_that_is_deleted_keeps_its_tables(
    world: World, app: App, responses: list[tuple[str, Mapping[str, Any]]]
) -> None:
    world.warehouse.at = failing_at("read", AssertionError("nothing is asked"))
    app.handle({**DEPLOYMENT, "RequestType": "Delete"}, Context())
    assert [result["Status"] for _, result in responses] == ["SUCCESS"]


def test_a_bug_is_answered_too(world: World, app: App, responses: list[tuple[str, Mapping[str, Any]]]) -> None:
    world.warehouse.at = failing_at("read", KeyError("oops"))
    app.handle(DEPLOYMENT, Context())
    assert [(result["Status"], result["Reason"]) for _, result in responses] == [("FAILED", "KeyError('oops')")]


class Starts:
    """What composes the function: fails so many times."""

    def __init__(self, make: Callable[[], LoaderApp], failures: int) -> None:
        self.make = make
        self.failures = failures

    def __call__(self) -> LoaderApp:
        self.failures -= 1
        if self.failures >= 0:
            raise ConfigurationError("no such bucket")
        return self.make()


@pytest.mark.parametrize(
    ("request_type", "status"), [("Create", "FAILED"), ("Update", "FAILED"), ("Delete", "SUCCESS")]
)
def test_a_function_that_can_t_start_answers_a_deployment(
    app: App, responses: list[tuple[str, Mapping[str, Any]]], request_type: str, status: str
) -> None:
    loading = Loading(Starts(app.make, 2), lambda url, result: responses.append((url, result)))
    loading.handle({**DEPLOYMENT, "RequestType": request_type}, Context())
    assert [result["Status"] for _, result in responses] == [status]


def test_a_deployment_is_told_why_the_function_can_t_start(
    app: App, responses: list[tuple[str, Mapping[str, Any]]]
) -> None:
    Loading(Starts(app.make, 2), lambda url, result: responses.append((url, result))).handle(DEPLOYMENT, Context())
    assert responses[0][1]["Reason"] == "no such bucket"


def test_a_function_that_can_t_start_fails_whatever_else_it_is_asked(app: App) -> None:
    with pytest.raises(ConfigurationError, match="no such bucket"):
        Loading(Starts(app.make, 2)).handle({"Records": []}, Context())


def test_a_function_that_could_not_start_tries_again_with_the_next_event(app: App) -> None:
    loading = Loading(Starts(app.make, 2))
    with pytest.raises(ConfigurationError):
        loading.handle({"Records": []}, Context())
    assert loading.handle({"Records": []}, Context()) == {"batchItemFailures": []}


def test_a_function_that_started_is_composed_once(app: App) -> None:
    starts = Starts(app.make, 0)
    loading = Loading(starts)
    for _ in range(3):
        loading.handle({"Records": []}, Context())
    assert starts.failures == -1


# -- Starting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing", ["AETHERSTREAM_STREAM", "AETHERSTREAM_LOAD_QUEUE", "AETHERSTREAM_LOAD_DEAD_LETTERS"]
)
def test_what_is_missing_of_the_environment_is_named(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    environ = {
        "AETHERSTREAM_PIPELINE": str(write(tmp_path, PIPELINE)),
        "AETHERSTREAM_PROGRESS_TABLE": "progress",
        "AETHERSTREAM_STREAM": STREAM,
        "AETHERSTREAM_LOAD_QUEUE": "https://sqs/queue",
        "AETHERSTREAM_LOAD_DEAD_LETTERS": "https://sqs/dead",
    }
    del environ[missing]
    with pytest.raises(ConfigurationError, match=f"the environment variable {missing} is not set"):
        start_loader(from_environment(environ))


def test_a_table_is_not_asked_before_something_is_loaded() -> None:
    place = WarehouseOptions("wh.example", "dev", auth="password", username="me", password="none")  # noqa: S106
    found = warehouse_of(target(warehouse=place), boto3.Session(region_name="eu-central-1"))
    assert isinstance(found, SqlWarehouse)


def test_a_table_is_reached_through_the_data_api_where_the_sink_says_so() -> None:
    place = WarehouseOptions("wh.example", "dev", auth="iam", workgroup="group")
    by_api = replace(target(warehouse=place), through="data_api")
    found = warehouse_of(by_api, boto3.Session(region_name="eu-central-1"), "flights", "progress")
    assert isinstance(found, DataApiWarehouse)
