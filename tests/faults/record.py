"""What each scenario led to when it was run last: recorded.json beside this file, of which docs/faults.md is made.

A row holds its scenario as it was then, so that one which has been changed since is seen to be out of date.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

from tests.faults.run import Outcome
from tests.faults.scenarios import SCENARIOS, Scenario

RECORD = Path(__file__).parent / "recorded.json"


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario, and what it led to."""

    day: str
    scenario: dict[str, Any]
    injected: int
    records: int
    attempts: int
    lost: int
    doubled: int
    resent: int
    left: int | None
    dead_letters: int
    crashed: int


def row(outcome: Outcome, day: str) -> Row:
    """What is kept of an outcome; `day` is a date in ISO 8601."""
    verdict = outcome.verdict
    return Row(
        day,
        as_run(outcome.scenario),
        outcome.injected,
        verdict.records,
        outcome.attempts,
        verdict.lost,
        verdict.doubled,
        verdict.resent,
        verdict.left,
        outcome.dead_letters,
        outcome.crashed,
    )


def as_run(scenario: Scenario) -> dict[str, Any]:
    """Everything about a scenario that bears on its result, as JSON has it."""
    said = {field.name: getattr(scenario, field.name) for field in fields(scenario) if field.name != "in_suite"}
    during = scenario.during and scenario.during.__qualname__
    return msgspec.json.decode(msgspec.json.encode({**said, "during": during}), type=dict[str, Any])


def load() -> list[Row]:
    """The last run of each scenario, in their order; one that has not been run yet has none."""
    rows = msgspec.json.decode(RECORD.read_bytes(), type=list[Row]) if RECORD.exists() else []
    found = {row.scenario["name"]: row for row in rows}
    return [found[scenario.name] for scenario in SCENARIOS if scenario.name in found]


def save(new: Row) -> None:
    """Put a run in the place of the scenario's last one."""
    rows = [*(row for row in load() if row.scenario["name"] != new.scenario["name"]), new]
    RECORD.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
