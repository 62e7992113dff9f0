"""`aetherstream redshift` and the loader function that it asks, in memory."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from aetherstream.commands.redshift import redshift
from aetherstream.errors import Retryable, UsageError
from aetherstream.loader import by_hand
from aetherstream.loader.by_hand import ByHand
from aetherstream.testing.stores import MemoryObjects
from aetherstream.warehouse.ddl import Change, Differences, Refusal
from tests.loader.tables import Queue, Table, failed, loaded, location, stage, target

ADD = Change("add column origin char(3)", 'ALTER TABLE "public"."flights" ADD COLUMN "origin" CHAR(3)')
REFUSAL = Refusal("origin", "is integer in the table, not char(3)", "write the table's type into the contract")
NO_WAREHOUSE = (
    "the stack memory has no loader function: it has no warehouse. It gets one with the parameter RedshiftEndpoint or "
    "RedshiftCreate"
)
HEAD = "warehouse: public.flights, at wh.example:5439/dev"


class Stack:
    """Plays `Deployed`, and Lambda with the loader function."""

    name = "memory"

    def __init__(self) -> None:
        self.outputs = {"LoaderFunctionName": "loader"}
        self.error: dict[str, Any] | None = None
        self.table, self.queue, self.objects = Table(), Queue(), MemoryObjects()
        self.seconds = 900.0
        self.chunk = by_hand.CHUNK

    def output(self, key: str) -> str:
        return self.outputs[key]

    def client(self, service: str, **_: Any) -> Any:
        assert service == "lambda"
        return self

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "loader"
        if self.error is not None:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(self.error).encode())}
        sinks = [(target(), self.table)]
        function = ByHand("flights", sinks, reader=self.objects, queue=self.queue, chunk=self.chunk)
        request = json.loads(Payload)
        assert request["by"]
        return {"Payload": io.BytesIO(json.dumps(function.answer(request, lambda: self.seconds)).encode())}


@pytest.fixture
def stack() -> Stack:
    return Stack()


def call(stack: Stack, name: str, *arguments: str) -> Result:
    command = redshift.commands[name]
    inner: Any = command.callback.__wrapped__  # type: ignore[union-attr]

    def run(**options: Any) -> None:
        ours = {
            key: value for key, value in options.items() if key not in {"stack", "endpoint_url", "region", "profile"}
        }
        inner(deployed=lambda: stack, **ours)

    return CliRunner().invoke(click.Command(name, callback=run, params=command.params), arguments)


def lines(stack: Stack, name: str, *arguments: str, code: int = 0) -> list[str]:
    result = call(stack, name, *arguments)
    assert result.exit_code == code, result.exception
    return result.output.splitlines()


def set_aside(stack: Stack, *names: str) -> None:
    stack.table.ledger |= {location(name): failed(location(name)) for name in names}


def test_show_of_a_table_that_nothing_was_loaded_into(stack: Stack) -> None:
    assert lines(stack, "show") == [
        "queue: empty",
        HEAD,
        "  append, from s3://data/staging/warehouse/, through a connection",
        "  loaded: 0 objects with 0 rows",
        "  the table is as its contract wants it",
    ]


def test_show_tells_what_waits_what_was_loaded_and_what_was_set_aside(stack: Stack) -> None:
    stack.queue.announced = ["data/a", "data/b"]
    stack.table.ledger = {"data/c": loaded("data/c", rows=1200)}
    set_aside(stack, "d")
    stack.table.lacks = Differences([ADD])
    assert lines(stack, "show") == [
        "queue: 2 waiting",
        HEAD,
        "  append, from s3://data/staging/warehouse/, through a connection",
        "  loaded: 1 object with 1,200 rows, the latest at 2025-11-21T10:00:00Z",
        "  SET ASIDE  1 object: `aetherstream redshift failures` says why",
        "  lacks: add column origin char(3)",
    ]


def test_show_without_an_answer_of_the_warehouse_tells_the_rest_and_fails(stack: Stack) -> None:
    stack.table.error = Retryable("wh.example:5439: connection refused")
    assert lines(stack, "show", code=1) == [
        "queue: empty",
        HEAD,
        "  append, from s3://data/staging/warehouse/, through a connection",
        "  TROUBLE  wh.example:5439: connection refused",
    ]


def test_show_tells_the_ledger_where_the_table_can_not_be_looked_at(stack: Stack) -> None:
    stack.table.held_up = Retryable("statement timeout")
    assert lines(stack, "show", code=1)[3:] == ["  loaded: 0 objects with 0 rows", "  TROUBLE  statement timeout"]


def test_show_as_json_is_what_the_function_answers(stack: Stack) -> None:
    queue, sink = (json.loads(line) for line in lines(stack, "show", "--json"))
    assert queue == {"queue": {"waiting": 0, "taken": 0, "delayed": 0, "dead": 0}}
    assert (sink["sink"], sink["loaded"], sink["changes"]) == ("warehouse", 0, [])


def test_dead_letters_are_said_loudly(stack: Stack) -> None:
    class Full(Queue):
        def counts(self) -> dict[str, int]:
            return {"waiting": 0, "taken": 7, "delayed": 1, "dead": 2}

    stack.queue = Full()
    assert lines(stack, "show")[:2] == [
        "queue: 7 taken or held back, 1 delayed",
        "DEAD LETTERS  2 messages that the loader could make nothing of, or gave up",
    ]


def test_plan_tells_what_the_table_lacks(stack: Stack) -> None:
    stack.table.lacks = Differences([ADD], notes=["spare is in the table alone and is left as it is"])
    assert lines(stack, "plan") == [
        HEAD,
        "  lacks: add column origin char(3)",
        "  note: spare is in the table alone and is left as it is",
        "  Nothing was changed. `aetherstream redshift apply` does it.",
    ]


def test_plan_prints_the_statements_when_asked(stack: Stack) -> None:
    stack.table.lacks = Differences([ADD])
    assert lines(stack, "plan", "--sql")[1:3] == ["  lacks: add column origin char(3)", f"    {ADD.statement};"]


def test_a_plan_with_changes_fails_only_when_asked_to(stack: Stack) -> None:
    stack.table.lacks = Differences([ADD])
    assert (call(stack, "plan").exit_code, call(stack, "plan", "--exit-code").exit_code) == (0, 1)


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_refusal_is_told_with_its_way_out_and_fails(command: str, stack: Stack) -> None:
    stack.table.lacks = Differences([ADD], [REFUSAL])
    assert lines(stack, command, code=1) == [
        HEAD,
        "  lacks: add column origin char(3)",
        "  REFUSED  origin: is integer in the table, not char(3)",
        "    write the table's type into the contract",
        "  Nothing is done to the table, and nothing loads into it, until that is settled.",
    ]


def test_apply_tells_what_it_did(stack: Stack) -> None:
    stack.table.lacks = Differences([ADD])
    assert lines(stack, "apply", "--sql") == [
        HEAD,
        "  done: add column origin char(3)",
        f"    {ADD.statement};",
    ]
    assert lines(stack, "apply") == [HEAD, "  the table is as its contract wants it"]


def test_variables_are_for_a_file(stack: Stack) -> None:
    result = call(stack, "plan", "--env", "A=1")
    assert (type(result.exception), str(result.exception)) == (
        UsageError,
        "--env fills a pipeline file: name it with --pipeline",
    )


def test_failures_stand_with_redshifts_words(stack: Stack) -> None:
    set_aside(stack, "a")
    assert lines(stack, "failures") == [
        HEAD,
        f"  2025-11-21T10:00:00Z  s3://{location('a')}",
        "    line 3, column origin (char): too long",
        "  1 object set aside. When the cause is mended: `aetherstream redshift retry`",
    ]


def test_no_failures_are_said_too(stack: Stack) -> None:
    assert lines(stack, "failures") == [HEAD, "  nothing is set aside"]


def test_failures_as_json(stack: Stack) -> None:
    set_aside(stack, "a")
    [told] = map(json.loads, lines(stack, "failures", "--json"))
    assert [failure["object"] for failure in told["failures"]] == [location("a")]


def test_retry_announces_the_objects_that_are_named(stack: Stack) -> None:
    set_aside(stack, "a", "b")
    assert lines(stack, "retry", f"s3://{location('a')}") == ["warehouse: 1 object announced to the loader"]
    assert (list(stack.table.ledger), stack.queue.announced) == ([location("b")], [location("a")])


def test_retry_announces_all(stack: Stack) -> None:
    set_aside(stack, "a", "b")
    assert lines(stack, "retry", "--all") == ["warehouse: 2 objects announced to the loader"]
    assert stack.queue.announced == [location("a"), location("b")]


@pytest.mark.parametrize("arguments", [(), ("--all", "s3://data/a")])
def test_retry_wants_to_know_what(arguments: tuple[str, ...], stack: Stack) -> None:
    result = call(stack, "retry", *arguments)
    assert (type(result.exception), str(result.exception)) == (
        UsageError,
        "name the objects as `aetherstream redshift failures` does, or say --all",
    )


def test_backfill_announces_what_is_missing(stack: Stack) -> None:
    stage(stack.objects, "a", "b", "c")
    stack.table.ledger = {location("a"): loaded(location("a"))}
    set_aside(stack, "b")
    assert lines(stack, "backfill", "--dry-run") == [
        HEAD,
        "  3 staged objects = 1 loaded + 1 set aside + 1 not in the ledger",
        f"    s3://{location('c')}",
        "  Nothing was announced. Without --dry-run it is done.",
    ]
    assert stack.queue.announced == []
    assert lines(stack, "backfill") == [
        HEAD,
        "  3 staged objects = 1 loaded + 1 set aside + 1 not in the ledger",
        "  announced: 1 object",
    ]
    assert stack.queue.announced == [location("c")]


def test_a_long_backfill_is_asked_for_until_it_is_through(stack: Stack) -> None:
    stack.chunk = 2
    stack.seconds = 10.0
    stage(stack.objects, *"abcde")
    told = lines(stack, "backfill")
    assert [line for line in told if "so far" not in line] == [
        HEAD,
        "  5 staged objects = 5 not in the ledger",
        "  announced: 5 objects",
    ]
    assert stack.queue.announced == [location(name) for name in "abcde"]


def test_what_hinders_a_request_is_said(stack: Stack) -> None:
    result = call(stack, "show", "--sink", "archive")
    assert (type(result.exception), str(result.exception)) == (
        UsageError,
        "the pipeline flights has no Redshift sink archive that is on; those that are: warehouse",
    )


def test_a_function_that_ended_is_a_world_at_fault(stack: Stack) -> None:
    stack.error = {"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited"}
    result = call(stack, "show")
    assert (type(result.exception), str(result.exception)) == (
        Retryable,
        "the loader function loader ended: Runtime.ExitError: Runtime exited",
    )


def test_a_stack_without_a_warehouse_is_told_how_it_gets_one(stack: Stack) -> None:
    del stack.outputs["LoaderFunctionName"]
    result = call(stack, "show")
    assert (type(result.exception), str(result.exception)) == (
        UsageError,
        NO_WAREHOUSE,
    )


# -- With a file ------------------------------------------------------------------------------------------------------

PIPELINE = """\
pipeline: p
sinks:
  archive: {s3: {bucket: data}}
  warehouse:
    redshift:
      endpoint: ${AETHERSTREAM_REDSHIFT_ENDPOINT:-}
      optional: true
      secret: ${AETHERSTREAM_REDSHIFT_SECRET:-}
      bucket: data
      table: analytics.flights
      columns: {origin: char(3), distance: {type: integer, null: false}}
      sort: [distance]
quarantine: {s3: {bucket: data}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text(PIPELINE)
    return path


def test_offline_the_statements_for_an_empty_warehouse_are_printed(file: Path, stack: Stack) -> None:
    printed = lines(stack, "plan", "--offline", "--pipeline", str(file))
    assert [line.partition(" (")[0] for line in printed] == [
        "-- warehouse",
        'CREATE SCHEMA IF NOT EXISTS "analytics";',
        'CREATE TABLE "analytics"."aetherstream_loads"',
        'CREATE TABLE "analytics"."aetherstream_tables"',
        'CREATE TABLE "analytics"."aetherstream_turns"',
        'CREATE TABLE "analytics"."flights"',
        'INSERT INTO "analytics"."aetherstream_tables"',
    ]
    assert printed[5].partition(" (")[2] == (
        '"_event_id" VARCHAR(200) NOT NULL, "origin" CHAR(3), "distance" INTEGER NOT NULL) DISTSTYLE AUTO '
        'COMPOUND SORTKEY ("distance");'
    )


def test_offline_a_ledger_that_tables_share_is_made_once(file: Path, stack: Stack) -> None:
    other = "  other: {redshift: {endpoint: h/d, secret: s, bucket: data, table: analytics.others, columns: {a: date}}}"
    file.write_text(PIPELINE.replace("quarantine:", f"{other}\nquarantine:"))
    printed = lines(stack, "plan", "--offline", "--pipeline", str(file))
    assert [line.partition(" (")[0] for line in printed if line.startswith("CREATE TABLE")] == [
        'CREATE TABLE "analytics"."aetherstream_loads"',
        'CREATE TABLE "analytics"."aetherstream_tables"',
        'CREATE TABLE "analytics"."aetherstream_turns"',
        'CREATE TABLE "analytics"."flights"',
        'CREATE TABLE "analytics"."others"',
    ]


RESULTS = """\
event_time: {field: at}
aggregates:
  hours:
    group_by: [origin]
    window: {tumbling: 1h}
    outputs: {flights: count}
    to:
      warehouse: {table: analytics.hours}
"""


def test_offline_the_tables_of_results_are_printed_too(file: Path, stack: Stack) -> None:
    file.write_text(PIPELINE + RESULTS)
    printed = lines(stack, "plan", "--offline", "--pipeline", str(file), "--sink", "aggregates.hours.to.warehouse")
    assert (printed[0], printed[5]) == (
        "-- aggregates.hours.to.warehouse",
        (
            'CREATE TABLE "analytics"."hours" ("id" VARCHAR(512) NOT NULL, "aggregate" VARCHAR(64) NOT NULL,'
            ' "window_start" TIMESTAMPTZ NOT NULL, "window_end" TIMESTAMPTZ NOT NULL, "origin" VARCHAR(1024),'
            ' "flights" BIGINT, "version" BIGINT NOT NULL, "final" BOOLEAN NOT NULL, "removed" BOOLEAN NOT NULL)'
            ' DISTSTYLE AUTO COMPOUND SORTKEY ("window_start");'
        ),
    )


def test_results_of_a_sink_whose_warehouse_is_off_say_how_it_is_named(file: Path, stack: Stack) -> None:
    file.write_text(PIPELINE + RESULTS)
    result = call(stack, "plan", "--pipeline", str(file), "--sink", "aggregates.hours.to.warehouse")
    assert str(result.exception).startswith("name the warehouse with --env AETHERSTREAM_REDSHIFT_ENDPOINT=")


def test_offline_is_about_a_file(stack: Stack) -> None:
    result = call(stack, "plan", "--offline")
    assert str(result.exception) == "--offline is about a file: name it with --pipeline"


def test_a_file_whose_warehouse_is_off_says_how_it_is_named(file: Path, stack: Stack) -> None:
    result = call(stack, "plan", "--pipeline", str(file))
    assert "warehouse: switched off, because its endpoint is empty" in result.output
    assert str(result.exception) == (
        "name the warehouse with --env AETHERSTREAM_REDSHIFT_ENDPOINT=host:port/database (or as "
        f"{file} calls it), or take what a stack has with --stack NAME"
    )


def test_a_sink_that_the_file_has_not_is_named_with_the_nearest(file: Path, stack: Stack) -> None:
    result = call(stack, "plan", "--offline", "--pipeline", str(file), "--sink", "warehuose")
    assert str(result.exception) == f"{file} has no Redshift sink 'warehuose' (did you mean 'warehouse'?)"
