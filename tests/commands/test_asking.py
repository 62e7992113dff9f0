"""What the commands do about answers of the recovery function that are no answers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from aetherstream.commands.answers import Teller
from aetherstream.commands.recovery import KILLS, Recovery, patiently

# AWS: what a caller gets for a process that ended, and for a function whose time is over.
KILLED = {"errorType": "Runtime.ExitError", "errorMessage": "Error: Runtime exited with error: signal: killed"}
OVER = {"errorMessage": "2026-11-21T13:00:00Z 6a1 Task timed out after 900.00 seconds"}
BUG = {"errorType": "KeyError", "errorMessage": "'x'", "stackTrace": ["..."]}


@dataclass
class Function:
    """A deployed recovery function that gives these answers, the last one for ever."""

    answers: list[Mapping[str, Any]]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def output(self, key: str) -> str:
        return key

    def client(self, service: str, **more: Any) -> Function:
        return self

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        self.asked.append(json.loads(Payload))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        failed = {} if "state" in answer else {"FunctionError": "Unhandled"}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **failed}


def ask(function: Any, **request: Any) -> Mapping[str, Any]:
    return Recovery(function).ask({"do": "dlq redrive", "dry_run": False, **request})


def test_a_function_that_was_killed_is_asked_again_under_the_same_id(capsys: pytest.CaptureFixture[str]) -> None:
    function = Function([KILLED, KILLED, {"state": "redriven"}])
    assert ask(function) == {"state": "redriven"}
    first, *more = function.asked
    assert more == [first, first]
    assert capsys.readouterr().err.count("was killed: Runtime.ExitError") == 2


def test_each_request_has_an_id_of_its_own() -> None:
    function = Function([{"state": "redriven"}])
    recovery = Recovery(function)  # type: ignore[arg-type]
    for _ in range(2):
        recovery.ask({"do": "dlq redrive", "dry_run": False})
    assert len({request["id"] for request in function.asked}) == 2


@pytest.mark.parametrize("answer", [OVER, BUG])
def test_a_function_that_was_not_killed_is_not_asked_again(answer: dict[str, Any]) -> None:
    function = Function([answer])
    assert (ask(function)["state"], len(function.asked)) == ("failed", 1)


def test_a_dry_run_is_not_asked_again() -> None:
    function = Function([KILLED])
    answer = ask(function, dry_run=True)
    assert (answer["state"], len(function.asked)) == ("failed", 1)
    assert answer["message"].endswith("signal: killed; one of the records may have done it: --yes finds out")


def test_a_function_that_is_killed_for_ever_is_asked_a_bounded_number_of_times() -> None:
    function = Function([KILLED])
    assert (ask(function)["state"], len(function.asked)) == ("failed", KILLS + 1)


def answers(*states: str) -> Iterator[dict[str, Any]]:
    return iter([{"state": state, "message": "ann has it"} for state in states])


def test_without_waiting_it_says_who_holds_the_lease() -> None:
    asked = answers("held", "redriven")
    assert patiently(lambda: next(asked), 0)["state"] == "held"


def test_waiting_it_asks_until_the_lease_is_free(capsys: pytest.CaptureFixture[str]) -> None:
    asked = answers("held", "redriven")
    assert patiently(lambda: next(asked), 0.05)["state"] == "redriven"
    assert capsys.readouterr().err == "waiting: ann has it\n"


def test_what_has_nothing_to_do_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Teller(dry_run=False, as_json=False).end()
    assert capsys.readouterr().out == "nothing is waiting\n"
