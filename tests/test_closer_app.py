"""The closer function: what it answers to its schedule and to a person, measures and logs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from aetherstream.closer_app import CloserApp, closer_of, start_closer
from aetherstream.compose_aggregates import declarations_of
from aetherstream.emission.shards import StreamShards
from aetherstream.emission.telemetry import EmissionTelemetry
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.pipeline import Pipeline
from aetherstream.settings import from_environment
from aetherstream.testing.builders import SHARD, STREAM
from aetherstream.testing.stores import InlineExecutor
from tests.delivery.aggregate_support import partials
from tests.docs.markdown import ROOT
from tests.emission.stream_world import StreamWorld
from tests.pipeline.writing import loaded, write
from tests.test_emitter_app import PIPELINE, WITHOUT, Context, said, values
from tests.test_emitter_app import made as emitting

DONE = {
    "state": "done",
    "watermark": "1970-01-01T02:00:00Z",
    "held_by": [SHARD],
    "windows": 1,
    "sessions": 0,
    "overdue": 0,
    "given_up": 0,
    "message": "",
}


@pytest.fixture(autouse=True)
def _a_logger_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.nodeid)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AetherStream")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return loaded(tmp_path, PIPELINE)


def made(pipeline: Pipeline) -> tuple[StreamWorld, CloserApp]:
    """A window that is passed, and one that is open."""
    world = StreamWorld(*declarations_of(pipeline), shards=1)
    app = closer_of(
        pipeline,
        world.declarations,
        STREAM,
        stores=world.stores,
        outlets=world.outlets,
        objects=world.objects,
        reader=world.objects,
        shards=StreamShards(world.kinesis, STREAM),  # type: ignore[arg-type]
        progress=world.progress,
        executor=InlineExecutor(),
        telemetry=EmissionTelemetry("flights", now=lambda: 10_000.0),
        now=lambda: world.now,
    )
    world.commit(0, partials([("AA", 3600, 1), ("AA", 7200, 1)]), 7200.0)
    world.arrive(0)
    return world, app


def test_the_schedule_closes_what_is_due(pipeline: Pipeline) -> None:
    world, app = made(pipeline)
    assert app.handle({"version": "0", "source": "aws.scheduler"}, Context()) == DONE
    assert [found["final"] for found in world.outlet.documents.values()] == [True]


@pytest.mark.parametrize("upto", ["1970-01-01T03:00:00Z", "1970-01-01T03:00:00", "1970-01-01T05:00:00+02:00"])
def test_a_person_closes_up_to_a_time(pipeline: Pipeline, upto: str) -> None:
    _, app = made(pipeline)
    assert app.handle({"upto": upto}, Context()) == {**DONE, "windows": 2}


class Slow(Context):
    """An invocation in which a minute has passed as soon as it has begun."""

    def __init__(self) -> None:
        self.asked = 0

    def get_remaining_time_in_millis(self) -> int:
        self.asked += 1
        return 300_000 if self.asked == 1 else 240_000


def test_a_run_of_the_schedule_ends_before_the_next_one(pipeline: Pipeline) -> None:
    _, app = made(pipeline)
    assert app.handle({}, Slow()) == {**DONE, "windows": 0, "overdue": 1}


def test_a_person_gets_the_whole_invocation(pipeline: Pipeline) -> None:
    _, app = made(pipeline)
    assert app.handle({"upto": "1970-01-01T03:00:00Z"}, Slow())["windows"] == 2


def test_a_person_is_told_what_is_no_time(pipeline: Pipeline) -> None:
    _, app = made(pipeline)
    assert app.handle({"upto": "tomorrow"}, Context()) == {
        "state": "failed",
        "message": "upto: 'tomorrow' is no time such as 2013-01-31T00:00:00Z",
    }


def test_a_run_of_the_schedule_that_is_hindered_is_an_error_of_the_function(pipeline: Pipeline) -> None:
    world, app = made(pipeline)
    world.outlet.down = Retryable("the sink is down")
    with pytest.raises(Retryable, match="the sink is down"):
        app.handle({}, Context())


def test_a_person_is_told_what_hindered(pipeline: Pipeline) -> None:
    world, app = made(pipeline)
    world.outlet.down = Retryable("the sink is down")
    assert app.handle({"upto": "1970-01-01T02:00:00Z"}, Context()) == {
        **DONE,
        "state": "failed",
        "windows": 0,
        "overdue": 1,
        "message": "the sink is down",
    }


def test_one_line_and_one_set_of_metrics_a_run(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    world, app = made(pipeline)
    app.handle({}, Context())
    [line], [metrics] = said(capsys)
    named = ("level", "message", "watermark", "held_by", "windows", "groups", "outlets")
    assert {name: line[name] for name in named} == {
        "level": "INFO",
        "message": "closing done",
        "watermark": "1970-01-01T02:00:00Z",
        "held_by": [SHARD],
        "windows": 1,
        "groups": 1,
        "outlets": {world.outlet.name: {"sent": 1}},
    }
    assert values(metrics) == {
        "pipeline": "flights",
        "WindowsClosed": 1.0,
        "SessionsClosed": 0.0,
        "WindowsOverdue": 0.0,
        "WindowsGivenUp": 0.0,
        "ShardsHolding": 1.0,
        "ClosingFailed": 0.0,
        "WatermarkLag": 2800.0,
        "RowsRefused": 0.0,
        f"Rows.{world.outlet.name}.Sent": 1.0,
        f"Rows.{world.outlet.name}.Refused": 0.0,
        f"Rows.{world.outlet.name}.Failed": 0.0,
    }


def test_as_long_as_nothing_may_be_closed_there_is_no_lag(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    world, app = made(pipeline)
    world.keep(0, event_time=None)
    assert app.handle({}, Context()) == {**DONE, "watermark": None, "windows": 0}
    assert "WatermarkLag" not in json.dumps(said(capsys)[1])


@pytest.mark.parametrize(
    ("text", "more"), [(WITHOUT, {}), (PIPELINE, {"AETHERSTREAM_DRY_RUN": "true"})], ids=["no aggregates", "dry run"]
)
def test_without_aggregates_and_in_a_dry_run_nothing_is_closed(tmp_path: Path, text: str, more: dict[str, str]) -> None:
    environment = {"AETHERSTREAM_PIPELINE": str(write(tmp_path, text)), **more}
    answer: dict[str, Any] = start_closer(from_environment(environment)).handle({}, Context())
    assert (answer["state"], answer["windows"], answer["dry_run"]) == ("done", 0, bool(more))


def test_it_says_which_variable_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="AETHERSTREAM_STREAM"):
        start_closer(from_environment({"AETHERSTREAM_PIPELINE": str(write(tmp_path, PIPELINE))}))


def test_every_metric_of_both_functions_is_on_the_page_that_says_what_to_do(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    _, app = made(pipeline)
    app.handle({}, Context())
    world, emitter = emitting(pipeline)
    emitter.handle({"Records": world.states.news()}, Context())
    found = {
        re.sub(r"^Rows\..*\.", "Rows.<outlet>.", metric["Name"]): metric["Unit"]
        for line in said(capsys)[1]
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    page = (ROOT / "docs/operations/aggregates.md").read_text()
    assert found == dict(re.findall(r"^\| `([\w.<>]+)` \| (Count|Seconds) \|", page, re.MULTILINE))
