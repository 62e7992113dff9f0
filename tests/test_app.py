"""The composition root: what stops a function at its start, and what an invocation says and returns."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from aetherstream.app import App, engine_of, start
from aetherstream.compose import tables_of
from aetherstream.delivery.ledger import Unledgered
from aetherstream.delivery.put import ObjectStore
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.pipeline import load
from aetherstream.settings import from_environment
from aetherstream.startup import CLIENT
from aetherstream.telemetry import Telemetry
from aetherstream.testing.builders import written
from aetherstream.testing.events import Payload, kinesis_event, ndjson
from aetherstream.testing.stores import InlineExecutor, MemoryObjects
from tests.pipeline.writing import write

PIPELINE = """\
pipeline: flights
delivery: ${AETHERSTREAM_DELIVERY:-exactly_once}
transforms:
  - filter: not drop
sinks:
  archive: {s3: {bucket: "${AETHERSTREAM_BUCKET}", prefix: archive}}
quarantine: {s3: {bucket: "${AETHERSTREAM_BUCKET}", prefix: quarantine}}
"""
LOOKUP = """\
pipeline: flights
tables: {airlines: {file: "${TABLE}", key: carrier, reload: 1h}}
transforms:
  - lookup: {table: airlines, field: carrier, take: [name]}
sinks:
  archive: {s3: {bucket: data, prefix: archive}}
quarantine: {s3: {bucket: data, prefix: quarantine}}
"""
EVENT = kinesis_event([{"n": 1}, {"drop": True}, "{no json", ndjson([{"n": 2}, {"n": 3}])])


class Context:
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@dataclass
class S3:
    """An S3 on the loopback that answers as it is told, 200 otherwise."""

    endpoint: str = ""
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By `METHOD /path`."""
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    fake = S3()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            request = f"{self.command} {self.path}"
            fake.requests.append(request)
            status, body = fake.answers.get(request, (200, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 301:  # as S3 does; botocore asks again, and once
                self.send_header("x-amz-bucket-region", "us-west-2")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET = answer  # noqa: N815 - the base class looks for these names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        fake.endpoint = f"http://127.0.0.1:{server.server_port}"
        for name, value in {
            "AWS_ENDPOINT_URL": fake.endpoint,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        try:
            yield fake
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def _a_logger_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.nodeid)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Tests")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")


def started(folder: Path, text: str = PIPELINE, /, **variables: str) -> App:
    environ = {"AETHERSTREAM_BUCKET": "data", "AETHERSTREAM_PROGRESS_TABLE": "progress", **variables}
    path = write(folder, text)
    return start(from_environment({"AETHERSTREAM_PIPELINE": str(path), **environ}))


def refusal(folder: Path, text: str = PIPELINE, /, **variables: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        started(folder, text, **variables)
    return str(raised.value)


def app(
    folder: Path,
    text: str = PIPELINE,
    /,
    *,
    store: ObjectStore | None = None,
    fetch: Callable[[str], bytes] = lambda _: b"",
    clock: Callable[[], float] = lambda: 0.0,
    environ: Mapping[str, str] | None = None,
) -> App:
    """A function around a store in memory."""
    pipeline = load(write(folder, text), {"AETHERSTREAM_BUCKET": "data", "TABLE": "s3://data/t.csv", **(environ or {})})
    tables = tables_of(pipeline, fetch, clock)
    engine = engine_of(
        pipeline, tables, store=store or MemoryObjects(), ledger=Unledgered(), executor=InlineExecutor(), secrets={}
    )
    return App(engine, tables, Telemetry(pipeline.name))


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" not in line]


# What stops a function at its start


def test_a_function_starts_where_its_bucket_is_there(tmp_path: Path, s3: S3) -> None:
    started(tmp_path)
    assert s3.requests == ["HEAD /data"]


def test_a_pipeline_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        start(from_environment({"AETHERSTREAM_PIPELINE": str(tmp_path / "nowhere.yaml")}))


def test_a_delivery_that_the_template_and_the_file_see_differently_is_refused(tmp_path: Path, s3: S3) -> None:
    text = PIPELINE.replace("${AETHERSTREAM_DELIVERY:-exactly_once}", "at_least_once")
    assert refusal(tmp_path, text, AETHERSTREAM_DELIVERY="exactly_once") == (
        f"{tmp_path / 'p.yaml'} says `delivery: at_least_once`, but the template's parameter Delivery is "
        "'exactly_once': make them agree"
    )
    assert s3.requests == []


def test_exactly_once_without_a_table_names_the_variable(tmp_path: Path, s3: S3) -> None:
    assert refusal(tmp_path, AETHERSTREAM_PROGRESS_TABLE="") == (
        "the environment variable AETHERSTREAM_PROGRESS_TABLE is not set: `delivery: exactly_once` and the circuit "
        "breakers of sinks need the DynamoDB table of progress items (the template makes one)"
    )


AGGREGATED = (
    PIPELINE
    + """\
aggregates:
  hourly: {window: {tumbling: 1h}, outputs: {events: count}}
"""
)


def test_aggregates_without_a_table_of_states_name_the_variable(tmp_path: Path, s3: S3) -> None:
    assert refusal(tmp_path, AGGREGATED) == (
        "the environment variable AETHERSTREAM_STATE_TABLE is not set: the pipeline's `aggregates:` need the DynamoDB "
        "table of their states (the template makes one)"
    )


def test_a_dry_run_folds_nothing(tmp_path: Path, s3: S3) -> None:
    function = started(tmp_path, AGGREGATED, AETHERSTREAM_DRY_RUN="true", AETHERSTREAM_PROGRESS_TABLE="")
    assert function.handle(EVENT, Context()) == {"batchItemFailures": []}


def test_aggregates_whose_state_lambda_keeps_need_no_table(tmp_path: Path, s3: S3) -> None:
    started(tmp_path, AGGREGATED.replace("{tumbling: 1h}", "{tumbling: 1m}, state: lambda"))


def test_at_least_once_needs_no_table(tmp_path: Path, s3: S3) -> None:
    started(tmp_path, AETHERSTREAM_PROGRESS_TABLE="", AETHERSTREAM_DELIVERY="at_least_once")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (404, "does not exist"),
        (403, "may not be used by the function's role (s3:ListBucket)"),
        (301, "is in another Region"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_named_with_the_variable_behind_it(
    tmp_path: Path, s3: S3, status: int, why: str
) -> None:
    s3.answers["HEAD /data"] = (status, b"")
    assert refusal(tmp_path) == (
        f"bucket 'data' {why}: the pipeline file names it, usually as ${{AETHERSTREAM_BUCKET}}, which the template "
        "sets to its own bucket"
    )


def test_an_s3_that_does_not_know_just_now_does_not_stop_the_start(tmp_path: Path, s3: S3) -> None:
    s3.answers["HEAD /data"] = (400, b"")
    started(tmp_path)


def test_an_s3_that_cannot_be_asked_does_not_stop_the_start(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    started(tmp_path)
    assert s3.requests == []


def test_a_step_that_does_not_compile_is_named_with_its_line(tmp_path: Path, s3: S3) -> None:
    message = refusal(tmp_path, PIPELINE.replace("not drop", "drop >"))
    assert f"{tmp_path / 'p.yaml'}:4:" in message
    assert "transforms[0].filter" in message


def test_a_reference_table_in_s3_is_read(tmp_path: Path, s3: S3) -> None:
    s3.answers["GET /data/t.csv"] = (200, b"carrier,name\nUA,United\n")
    started(tmp_path, LOOKUP, TABLE="s3://data/t.csv")
    assert s3.requests == ["GET /data/t.csv", "HEAD /data"]


def test_a_reference_table_that_is_not_in_s3_is_named(tmp_path: Path, s3: S3) -> None:
    s3.answers["GET /data/t.csv"] = (404, b"<Error><Code>NoSuchKey</Code><Message>not there</Message></Error>")
    message = refusal(tmp_path, LOOKUP, TABLE="s3://data/t.csv")
    assert message.startswith("the reference table s3://data/t.csv can't be read: ")
    assert "NoSuchKey" in message


def test_a_reference_table_that_is_not_in_the_package_is_named(tmp_path: Path, s3: S3) -> None:
    message = refusal(tmp_path, LOOKUP, TABLE="airlines.csv")
    assert message.startswith(f"the reference table {tmp_path / 'airlines.csv'} can't be read: ")


# An invocation


def test_a_dry_run_logs_what_would_be_written_and_asks_nobody(
    tmp_path: Path, s3: S3, capsys: pytest.CaptureFixture[str]
) -> None:
    function = started(tmp_path, AETHERSTREAM_DRY_RUN="true", AETHERSTREAM_PROGRESS_TABLE="")
    assert function.handle(EVENT, Context()) == {"batchItemFailures": []}
    lines = logged(capsys)
    assert [(line["message"], line.get("aether-count")) for line in lines] == [
        ("dry run: not written", "3"),
        ("dry run: not written", "1"),
        ("batch done", None),
    ]
    assert [line["object"].rpartition("/")[0] for line in lines[:2]] == [
        "s3://data/archive/day=2026-11-21",
        "s3://data/quarantine/day=2026-11-21",
    ]
    assert all(line["bytes"] > 0 for line in lines[:2])
    assert s3.requests == []


def test_a_dry_run_says_of_each_batch_only_what_is_its_own(
    tmp_path: Path, s3: S3, capsys: pytest.CaptureFixture[str]
) -> None:
    function = started(tmp_path, AETHERSTREAM_DRY_RUN="true")
    function.handle(kinesis_event([{"n": 1}]), Context())
    logged(capsys)
    function.handle(kinesis_event([{"n": 1}]), Context())
    assert [line["message"] for line in logged(capsys)] == ["dry run: not written", "batch done"]


def test_a_batch_is_delivered_and_answered_with_no_failures(tmp_path: Path) -> None:
    store = MemoryObjects()
    assert app(tmp_path, store=store).handle(EVENT, Context()) == {"batchItemFailures": []}
    (held,) = written(store, "data", "archive").values()
    assert [event["n"] for event in held] == [1, 2, 3]


class Down(MemoryObjects):
    def put(self, *_: Any, **__: Any) -> None:
        raise Retryable("S3 is down")

    overwrite = put


def test_a_batch_that_cannot_be_delivered_is_asked_for_again_from_its_first_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = EVENT["Records"][0]["kinesis"]["sequenceNumber"]
    answer = app(tmp_path, store=Down()).handle(EVENT, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": first}]}
    (line,) = logged(capsys)
    assert (line["level"], line["cause"]) == ("ERROR", "Retryable: S3 is down")


def test_a_batch_without_records_is_answered(tmp_path: Path) -> None:
    assert app(tmp_path).handle({"Records": []}, Context()) == {"batchItemFailures": []}


def test_an_event_of_another_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="invoked with an SQS event"):
        app(tmp_path).handle({"Records": [{"eventSource": "aws:sqs"}]}, Context())


def test_nothing_is_logged_per_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    function = app(tmp_path)
    payloads: list[Payload] = [{"n": 1}, {"drop": True}, "{no json"] * 200
    function.handle(kinesis_event(payloads), Context())
    out = capsys.readouterr()
    assert (len(out.out.splitlines()), out.err) == (2, "")


def test_a_log_line_names_its_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(tmp_path).handle(EVENT, Context())
    assert [line["request_id"] for line in logged(capsys)] == ["request-1"]


# Reference tables and the version


@dataclass
class Table:
    """A reference table that changes, and the time."""

    rows: bytes = b"carrier,name\nUA,United\n"
    now: float = 0.0

    def fetch(self, uri: str) -> bytes:
        if not self.rows:
            raise ConfigurationError(f"{uri} is gone")
        return self.rows

    def clock(self) -> float:
        return self.now


def versions(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line["version"] for line in logged(capsys) if "version" in line]


def test_a_table_that_cannot_be_reloaded_is_a_warning_and_the_batch_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, store = Table(), MemoryObjects()
    function = app(tmp_path, LOOKUP, store=store, fetch=table.fetch, clock=table.clock)
    table.rows, table.now = b"", 3600.0
    assert function.handle(kinesis_event([{"carrier": "UA"}]), Context()) == {"batchItemFailures": []}
    warning, done = logged(capsys)
    assert (warning["level"], warning["request_id"], done["level"]) == ("WARNING", "request-1", "INFO")
    assert warning["message"].startswith("table airlines could not be reloaded and stays at ")
    assert warning["message"].endswith("s3://data/t.csv is gone")
    (held,) = written(store, "data", "archive").values()
    assert [event["name"] for event in held] == ["United"]


def test_the_version_changes_with_a_reference_table_and_comes_back_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table()
    function = app(tmp_path, LOOKUP, fetch=table.fetch, clock=table.clock)
    event = kinesis_event([{"carrier": "UA"}])
    for rows, now in ((table.rows, 0.0), (b"carrier,name\nUA,Untied\n", 3600.0), (table.rows, 7200.0)):
        table.rows, table.now = rows, now
        function.handle(event, Context())
    first, changed, again = versions(capsys)
    assert (first != changed, first == again, len(first)) == (True, True, 12)


def test_the_version_is_that_of_the_file_as_the_environment_completes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PIPELINE.replace("not drop", "n != ${LEAST:-0}")
    for environ in ({}, {"LEAST": "0"}, {"LEAST": "1"}, {"OTHER": "1"}):
        app(tmp_path, text, environ=environ).handle(EVENT, Context())
    default, written_out, changed, other = versions(capsys)
    assert (default == written_out, default != changed, default == other) == (True, True, True)


def test_a_request_is_tried_three_times_in_all_as_the_time_kept_for_a_put_assumes() -> None:
    settings: Any = boto3.client("s3", region_name="us-east-1", config=CLIENT).meta.config
    assert settings.retries["total_max_attempts"] == 3
