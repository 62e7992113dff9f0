"""The emitter function: what it answers to the table's stream, measures and logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aetherstream.compose_aggregates import declarations_of
from aetherstream.emission.telemetry import EmissionTelemetry
from aetherstream.emitter_app import EmitterApp, emitter_of, start_emitter
from aetherstream.errors import ConfigurationError, Rejected, Retryable
from aetherstream.pipeline import Pipeline
from aetherstream.settings import from_environment
from aetherstream.testing.stores import InlineExecutor
from tests.delivery.aggregate_support import partials
from tests.emission.world import World
from tests.pipeline.writing import loaded, write

PIPELINE = """\
pipeline: flights
event_time: {field: at}
sinks:
  archive: {s3: {bucket: data}}
aggregates:
  hourly:
    group_by: [carrier]
    window: {tumbling: 1h}
    outputs: {events: count, sum: {kind: sum, of: v}}
    to: {archive: {prefix: results/hourly}}
quarantine: {s3: {bucket: data}}
"""
WITHOUT = """\
pipeline: flights
sinks:
  archive: {s3: {bucket: data}}
quarantine: {s3: {bucket: data}}
"""


class Context:
    """Lambda's context: an invocation of five minutes."""

    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


@pytest.fixture(autouse=True)
def _a_logger_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.nodeid)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AetherStream")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return loaded(tmp_path, PIPELINE)


def made(pipeline: Pipeline) -> tuple[World, EmitterApp]:
    world = World(*declarations_of(pipeline))
    app = emitter_of(
        pipeline,
        world.declarations,
        stores=world.stores,
        outlets=world.outlets,
        executor=InlineExecutor(),
        telemetry=EmissionTelemetry("flights", now=lambda: world.now + 2.5),
        now=lambda: world.now,
    )
    world.fold(4, partials([("AA", 3600, 1), ("UA", 3600, 2)]))
    return world, app


def said(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Log lines, and metrics."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line]


def values(line: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in line.items() if name not in ("_aws", "service")}
    return {name: value[0] if isinstance(value, list) else value for name, value in kept.items()}


def test_a_batch_that_is_emitted_is_done(pipeline: Pipeline) -> None:
    world, app = made(pipeline)
    assert app.handle({"Records": world.states.news()}, Context()) == {"batchItemFailures": []}
    assert len(world.outlet.documents) == 2


def test_a_batch_that_fails_comes_again_as_a_whole(pipeline: Pipeline) -> None:
    world, app = made(pipeline)
    world.outlet.down = Retryable("the sink is down")
    assert app.handle({"Records": world.states.news()}, Context()) == {"batchItemFailures": [{"itemIdentifier": "1"}]}


def test_what_a_person_has_to_mend_is_an_error_of_the_function(pipeline: Pipeline) -> None:
    world, app = made(pipeline)
    world.outlet.down = ConfigurationError("no such index")
    with pytest.raises(ConfigurationError, match="no such index"):
        app.handle({"Records": world.states.news()}, Context())


def test_one_line_and_one_set_of_metrics_a_batch(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    world, app = made(pipeline)
    world.outlet.refuse = lambda row: Rejected("mapping", "no number") if row.group["carrier"] == "UA" else None
    app.handle({"Records": world.states.news()}, Context())
    [refused, line], [metrics] = said(capsys)
    assert {name: refused[name] for name in ("level", "outlet", "id", "reason", "cause")} == {
        "level": "ERROR",
        "outlet": world.outlet.name,
        "id": 'hourly/1970-01-01T01:00:00Z/["UA"]',
        "reason": "mapping",
        "cause": "no number",
    }
    assert {name: line[name] for name in ("level", "message", "changes", "groups", "lag_seconds", "outlets")} == {
        "level": "INFO",
        "message": "changes emitted",
        "changes": 2,
        "groups": 2,
        "lag_seconds": 2.5,
        "outlets": {world.outlet.name: {"sent": 1, "refused": 1}},
    }
    assert values(metrics) == {
        "pipeline": "flights",
        "EmissionChanges": 2.0,
        "EmissionGroups": 2.0,
        "EmissionFailed": 0.0,
        "EmissionUndeclared": 0.0,
        "EmissionGone": 0.0,
        "EmissionUnreadable": 0.0,
        "EmissionLag": 2.5,
        "RowsRefused": 1.0,
        f"Rows.{world.outlet.name}.Sent": 1.0,
        f"Rows.{world.outlet.name}.Refused": 1.0,
        f"Rows.{world.outlet.name}.Failed": 0.0,
    }


def test_a_failing_batch_says_why(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    world, app = made(pipeline)
    world.outlet.down = Retryable("the sink is down")
    app.handle({"Records": world.states.news()}, Context())
    [line], [metrics] = said(capsys)
    assert (line["level"], line["message"], line["cause"]) == (
        "ERROR",
        "changes left for retry",
        "Retryable: the sink is down",
    )
    assert (values(metrics)["EmissionFailed"], values(metrics)[f"Rows.{world.outlet.name}.Failed"]) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "more"), [(WITHOUT, {}), (PIPELINE, {"AETHERSTREAM_DRY_RUN": "true"})], ids=["no aggregates", "dry run"]
)
def test_without_aggregates_and_in_a_dry_run_nothing_is_emitted(
    tmp_path: Path, text: str, more: dict[str, str]
) -> None:
    environment = {"AETHERSTREAM_PIPELINE": str(write(tmp_path, text)), **more}
    app = start_emitter(from_environment(environment))
    assert app.handle({"Records": [{"dynamodb": {"SequenceNumber": "1"}}]}, Context()) == {"batchItemFailures": []}


def test_it_says_which_variable_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with pytest.raises(ConfigurationError, match="AETHERSTREAM_STATE_TABLE"):
        start_emitter(from_environment({"AETHERSTREAM_PIPELINE": str(write(tmp_path, PIPELINE))}))
