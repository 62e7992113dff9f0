"""`aetherstream breaker` and the drain function that it calls, in memory."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from aetherstream.commands.breaker import breaker
from aetherstream.delivery.breaker_item import BreakerItem, opened
from aetherstream.drain_app import DrainApp
from aetherstream.errors import Retryable, UsageError
from tests.drain.world import KEY, RULES, World, refuse
from tests.test_drain_app import Context, app


class Stack:
    """Plays `Deployed`, and Lambda with the drain function."""

    name = "memory"

    def __init__(self, world: World, function: DrainApp) -> None:
        self.outputs = {"DrainFunctionName": "drain"}
        self.error: dict[str, Any] | None = None
        self._world = world
        self._function = function

    def output(self, key: str) -> str:
        return self.outputs[key]

    def client(self, service: str, **_: Any) -> Any:
        assert service == "lambda"
        return self

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "drain"
        if self.error is not None:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(self.error).encode())}
        answer = self._function.handle(json.loads(Payload), Context(self._world))
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture(autouse=True)
def _metrics_have_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "AetherStream")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def stack(world: World, tmp_path: Path) -> Stack:
    return Stack(world, app(world, tmp_path))


def call(stack: Stack, name: str, *arguments: str) -> Result:
    command = breaker.commands[name]
    inner: Any = command.callback.__wrapped__  # type: ignore[union-attr]

    def run(**options: Any) -> None:
        ours = {
            key: value for key, value in options.items() if key not in {"stack", "endpoint_url", "region", "profile"}
        }
        inner(deployed=lambda: stack, **ours)

    return CliRunner().invoke(click.Command(name, callback=run, params=command.params), arguments)


def lines(stack: Stack, name: str, *arguments: str) -> list[str]:
    result = call(stack, name, *arguments)
    assert result.exit_code == 0, result.exception
    return [line for line in result.output.splitlines() if not line.startswith("{") or "--json" in arguments]


def test_show_tells_what_never_opened(stack: Stack) -> None:
    assert lines(stack, "show") == ["search: closed", "  nothing is spilled"]


def test_show_tells_state_cause_next_probe_and_spill(stack: Stack, world: World) -> None:
    first = opened(BreakerItem(KEY), world.now - 60, "503", "stream", RULES)
    world.breakers.items[KEY] = opened(first, world.now - 30, "probe: 503", "drain", RULES)
    key = world.spilled("a", "b")
    world.now += 600
    size = len(world.objects.objects["data", key].body)
    shown = lines(stack, "show")
    assert shown[0].startswith("search: OPEN since 2025-11-21T08:59:00Z (")
    assert shown[0].endswith(" ago), by drain: probe: 503")
    assert shown[1:] == [
        "  next probe: 2025-11-21T09:00:30Z, 1 probe failed",
        f"  spilled: 1 object with 2 documents, {size} bytes, the oldest 10 min old in s3://data/flights/spill/search/",
    ]


def test_show_as_json_is_what_the_function_answers(stack: Stack, world: World) -> None:
    world.spilled("a")
    [line] = lines(stack, "show", "--json")
    found = json.loads(line)
    assert (found["sink"], found["state"], found["documents"]) == ("search", "closed", 1)


def test_open_says_what_it_does_and_does_nothing_without_yes(stack: Stack, world: World) -> None:
    said = lines(stack, "open", "search")
    assert said[-3:] == [
        "Within half a minute every process of the stream function stops asking the sink, and its events are spilled.",
        "The other sinks go on. Nothing is drained and nothing is probed until `aetherstream breaker close` closes it.",
        "Nothing was changed. Add --yes to do it.",
    ]
    assert world.breakers.items == {}


def test_as_json_the_state_is_told_also_where_nothing_is_done(stack: Stack, world: World) -> None:
    [said, *_] = lines(stack, "open", "search", "--json")
    assert (json.loads(said)["state"], world.item.held) == ("closed", False)


def test_open_with_yes_holds_it_open(stack: Stack, world: World) -> None:
    said = lines(stack, "open", "search", "--yes", "--why", "upgrade")
    assert said[-2].startswith("search: OPEN, held by hand since ")
    assert said[-2].endswith(": upgrade")
    assert (world.item.state, world.item.held, world.item.why) == ("open", True, "upgrade")


def test_close_says_what_it_does_and_closes_with_yes(stack: Stack, world: World) -> None:
    world.open()
    assert "What is spilled stays where it is, and the drain goes on bringing it, oldest first." in lines(
        stack, "close", "search"
    )
    assert world.item.state == "open"
    lines(stack, "close", "search", "--yes")
    assert (world.item.state, world.item.why) == ("closed", "closed by hand")


def test_drain_says_what_it_did(stack: Stack, world: World) -> None:
    world.open(ago=1)
    world.spilled("a", "b")
    world.sink.answer = refuse("b")
    assert lines(stack, "drain")[:2] == [
        "search: 0 documents delivered, 0 objects done",
        "  stopped: open, and no probe is due yet",
    ]
    said = lines(stack, "drain", "search", "--now")
    assert said[0] == "search: 1 document delivered, 1 document refused and in the quarantine, 1 object done"
    assert said[1].startswith("  search: closed since ")


def test_drain_names_what_it_could_not_read(stack: Stack, world: World) -> None:
    world.objects.put("data", "flights/spill/search/notes.txt", b"x" * 100, {}, if_match=None)
    assert "    UNUSABLE  s3://data/flights/spill/search/notes.txt: not a name that the engine gives" in lines(
        stack, "drain"
    )


def test_a_spill_that_nobody_drains_is_said(stack: Stack, world: World) -> None:
    world.objects.put("data", "flights/spill/former/x.gz", b"x" * 100, {}, if_match=None)
    assert call(stack, "show").output.splitlines()[-1] == (
        "ORPHANED  s3://data/flights/spill/former/: 1 object of a sink that spills no more; put the sink back into the "
        "pipeline file to drain them, or move them away"
    )


def test_a_sink_that_there_is_not_is_named_with_those_that_there_are(stack: Stack) -> None:
    error = call(stack, "close", "serch").exception
    assert isinstance(error, UsageError)
    assert str(error).endswith("has no sink serch that spills (`on_outage: spill`); those that do: search")


def test_a_stack_without_a_drain_function_says_how_to_get_one(stack: Stack) -> None:
    stack.outputs = {}
    error = call(stack, "show").exception
    assert isinstance(error, UsageError)
    assert "the stack memory has no drain function" in str(error)


def test_a_function_that_ends_says_how(stack: Stack) -> None:
    stack.error = {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out"}
    error = call(stack, "drain").exception
    assert isinstance(error, Retryable)
    assert str(error) == "the drain function drain ended: Sandbox.Timedout: Task timed out"
