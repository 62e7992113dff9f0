"""The drain function: what it answers to its schedule and to the command line, measures and logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aetherstream.delivery.breaker_item import held_open
from aetherstream.drain_app import DrainApp, drain_of
from aetherstream.pipeline import load
from aetherstream.testing.builders import SHARD
from aetherstream.testing.stores import InlineExecutor
from tests.drain.world import KEY, NOW, World, refuse
from tests.pipeline.writing import write

PIPELINE = """\
pipeline: flights
event_time: {field: at}
sinks:
  archive: {s3: {bucket: data}}
  search: {opensearch: {endpoint: "https://search.example", index: flights}}
quarantine: {s3: {bucket: data}}
"""


class Context:
    """Lambda's context: an invocation of five minutes."""

    aws_request_id = "request-1"

    def __init__(self, world: World) -> None:
        self._world = world
        self._until = world.now + 300

    def get_remaining_time_in_millis(self) -> int:
        return int((self._until - self._world.now) * 1000)


@pytest.fixture(autouse=True)
def _a_logger_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # Powertools keeps one handler a service, bound to the standard output that it met first.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.nodeid)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AetherStream")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")


@pytest.fixture
def world() -> World:
    return World()


def app(world: World, folder: Path, text: str = PIPELINE, **options: Any) -> DrainApp:
    return drain_of(
        load(write(folder, text), {}),
        {"search": world.sink},
        store=world.objects,
        reader=world.objects,
        progress=world.progress,
        breakers=world.breakers,
        executor=InlineExecutor(),
        clock=lambda: world.now,
        sleep=world.sleep,
        **options,
    )


def said(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Log lines, and metrics."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line]


def values(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value[0] if isinstance(value, list) else value for name, value in line.items() if name != "_aws"}


def test_the_schedule_drains_every_sink_that_spills(world: World, tmp_path: Path) -> None:
    world.half_open()
    world.spilled("a", "b")
    world.sink.answer = refuse("b")
    answer = app(world, tmp_path).handle({}, Context(world))
    assert (answer["state"], answer["orphans"]) == ("done", {})
    [sink] = answer["sinks"]
    assert {name: sink[name] for name in ("sink", "state", "drained", "rejected", "objects", "oldest")} == {
        "sink": "search",
        "state": "closed",
        "drained": 1,
        "rejected": 1,
        "objects": 0,
        "oldest": None,
    }
    assert (world.stored(), world.refused()) == (["a"], ["b"])


def test_one_set_of_metrics_a_sink_and_one_line_a_run(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.open(ago=1)
    world.spilled("a")
    world.now += 20
    app(world, tmp_path).handle({}, Context(world))
    lines, [metrics] = said(capsys)
    assert {name: value for name, value in values(metrics).items() if name != "service"} == {
        "pipeline": "flights",
        "sink": "search",
        "BreakerOpen": 1.0,
        "SpillDrained": 0.0,
        "SpillRefused": 0.0,
        "ConfigurationRejected": 0.0,
        "SpillObjects": 1.0,
        "SpillUnusable": 0.0,
        "DrainFailed": 0.0,
        "SpillBytes": float(len(next(iter(world.objects.objects.values())).body)),
        "SpillOldestAge": 20.0,
    }
    [line] = lines
    assert (line["level"], line["message"], line["pipeline"]) == ("INFO", "drain done", "flights")
    assert line["sinks"]["search"]["state"] == "open"
    assert line["sinks"]["search"]["stopped"] == "open, and no probe is due yet"


def test_with_nothing_spilled_the_age_is_measured_too(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app(world, tmp_path).handle({}, Context(world))
    [metrics] = said(capsys)[1]
    assert (metrics["SpillOldestAge"], metrics["BreakerOpen"]) == ([0.0], [0.0])


def test_without_the_table_the_state_is_not_measured_and_the_run_counts_as_failed(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.breakers.down = True
    app(world, tmp_path).handle({}, Context(world))
    [line], [metrics] = said(capsys)
    assert (metrics["DrainFailed"], "BreakerOpen" in metrics, line["level"]) == ([1.0], False, "WARNING")


def test_what_the_engine_did_not_write_is_measured_and_named_in_the_log(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.objects.put("data", "flights/spill/search/notes.txt", b"x" * 100, {}, if_match=None)
    app(world, tmp_path).handle({}, Context(world))
    [line], [metrics] = said(capsys)
    assert (metrics["SpillUnusable"], line["level"]) == ([1.0], "WARNING")
    assert line["sinks"]["search"]["unusable"] == [
        "s3://data/flights/spill/search/notes.txt: not a name that the engine gives"
    ]


def test_the_spill_of_a_sink_that_was_removed_is_said(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = world.spilled("a")
    orphan = key.replace("spill/search", "spill/former")
    world.objects.objects["data", orphan] = world.objects.objects["data", key]
    world.half_open()
    answer = app(world, tmp_path).handle({}, Context(world))
    assert answer["orphans"] == {"s3://data/flights/spill/former/": 1}
    line = said(capsys)[0][-1]
    assert (line["level"], line["orphans"]) == ("WARNING", answer["orphans"])


def test_orphans_are_looked_for_once_an_hour(world: World, tmp_path: Path) -> None:
    function = app(world, tmp_path)
    function.handle({}, Context(world))
    world.objects.put("data", f"flights/spill/former/{SHARD}.gz", b"x" * 100, {}, if_match=None)
    assert function.handle({}, Context(world))["orphans"] == {}
    world.now += 3600
    assert function.handle({}, Context(world))["orphans"] == {"s3://data/flights/spill/former/": 1}


def test_show_counts_the_documents_and_changes_nothing(world: World, tmp_path: Path) -> None:
    world.open()
    world.spilled("a", "b")
    world.spilled("c", first=200)
    before = (dict(world.objects.objects), world.item)
    [sink] = app(world, tmp_path).handle({"do": "show"}, Context(world))["sinks"]
    assert (sink["documents"], sink["objects"], sink["counted"], sink["spill"]) == (
        3,
        2,
        2,
        "s3://data/flights/spill/search/",
    )
    assert before == (world.objects.objects, world.item)


def test_open_holds_the_breaker_open_and_close_closes_it(world: World, tmp_path: Path) -> None:
    function = app(world, tmp_path)
    [sink] = function.handle({"do": "open", "sink": "search", "by": "alice", "why": "upgrade"}, Context(world))["sinks"]
    assert (sink["state"], sink["held"], sink["by"], sink["why"]) == ("open", True, "alice", "upgrade")
    assert world.item == held_open(type(world.item)(KEY), NOW, "upgrade", "alice")
    [sink] = function.handle({"do": "close", "sink": "search", "by": "alice"}, Context(world))["sinks"]
    assert (sink["state"], sink["held"], sink["why"]) == ("closed", False, "closed by hand")


def test_a_person_may_have_the_probe_now(world: World, tmp_path: Path) -> None:
    world.open(ago=1)
    world.spilled("a")
    app(world, tmp_path).handle({"do": "drain", "sink": "search", "now": True}, Context(world))
    assert world.stored() == ["a"]


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"do": "stop"}, "the drain function does not know what 'stop' is"),
        (
            {"do": "open", "sink": "archive"},
            "the pipeline flights has no sink archive that spills (`on_outage: spill`); those that do: search",
        ),
    ],
)
def test_what_hinders_a_request_is_answered(event: dict[str, Any], says: str, world: World, tmp_path: Path) -> None:
    assert app(world, tmp_path).handle(event, Context(world)) == {"state": "failed", "message": says}


def test_a_dry_run_changes_nothing(world: World, tmp_path: Path) -> None:
    world.half_open()
    world.spilled("a")
    function = app(world, tmp_path, dry_run=True)
    assert function.handle({}, Context(world))["sinks"] == []
    assert function.handle({"do": "close", "sink": "search"}, Context(world)) == {
        "state": "failed",
        "message": "the stack runs dry: it changes nothing",
    }
    assert world.waiting() == ["a"]


def test_a_sink_that_blocks_has_nothing_to_drain(world: World, tmp_path: Path) -> None:
    text = PIPELINE.replace("index: flights", "index: flights, on_outage: block")
    assert app(world, tmp_path, text).handle({}, Context(world)) == {"state": "done", "sinks": [], "orphans": {}}


def test_sinks_share_the_time_of_a_run(world: World, tmp_path: Path) -> None:
    text = PIPELINE.replace(
        "quarantine:", '  second: {opensearch: {endpoint: "https://x.example", index: x}}\nquarantine:'
    )
    world.half_open()
    world.rate = 1
    world.spilled(*[f"{number:03d}" for number in range(200)])
    pipeline = load(write(tmp_path, text.replace("index: flights", "index: flights, drain: {rate: 1}")), {})
    other = type(world.sink)("second")
    function = drain_of(
        pipeline,
        {"search": world.sink, "second": other},
        store=world.objects,
        reader=world.objects,
        progress=world.progress,
        breakers=world.breakers,
        executor=InlineExecutor(),
        clock=lambda: world.now,
        sleep=world.sleep,
    )
    context = Context(world)
    answer = function.handle({}, context)
    assert answer["sinks"][0]["stopped"] == "its time was over: the next run goes on"
    assert context.get_remaining_time_in_millis() > 150_000
