"""The page of the faults says what the last run led to, and nothing that has been changed since."""

from __future__ import annotations

import re

from tests.faults.record import Row, as_run, load, row
from tests.faults.run import Outcome
from tests.faults.scenarios import NAMED, SCENARIOS, Scenario
from tests.faults.table import PAGE, page, table
from tests.faults.verdict import Verdict
from tests.faults.wire import Spoil


def test_a_row_says_what_was_injected_and_what_became_of_the_records() -> None:
    verdict = Verdict(records=1_300, lost=1, doubled=2, strayed=0, altered=0, unsent=0, resent=500, left=6)
    outcome = Outcome(Scenario("name", "a fault", "calls"), 7, 20, 18, verdict, 3, 4, ())
    assert table([row(outcome, "2026-11-21")])[2:] == [
        "| `name` | a fault | 7 calls | 1,300 | 18 | 1 | 2 | 500 | 6 | 4 | 3 |"
    ]


def test_a_row_without_identities_leaves_their_cell_open() -> None:
    (line,) = table([Row("2026-11-21", as_run(Scenario("name", "a fault", "calls")), 7, 1, 2, 3, 4, 5, None, 6, 7)])[2:]
    assert line == "| `name` | a fault | 7 calls | 1 | 2 | 3 | 4 | 5 | – | 6 | 7 |"


def test_a_scenario_is_recorded_with_what_it_injects() -> None:
    scenario = as_run(Scenario("name", "a fault", "calls", spoils=(Spoil("answer", "PutObject", 3),)))
    assert scenario["spoils"] == [{"part": "answer", "operation": "PutObject", "one_of": 3}]
    assert as_run(NAMED["killed"])["during"] == "kill"


def test_the_page_is_what_the_record_of_the_last_run_makes() -> None:
    assert PAGE.read_text() == page(load()), "write it anew: python -m tests.faults page"


def test_the_table_names_exactly_the_scenarios_there_are() -> None:
    assert re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text(), re.MULTILINE) == [scenario.name for scenario in SCENARIOS]


def test_every_scenario_was_run_as_it_is() -> None:
    changed = [one["name"] for one, now in zip(_recorded(), map(as_run, SCENARIOS), strict=True) if one != now]
    assert changed == [], "run them all again: make faults"


def test_nothing_was_lost_doubled_or_dead_lettered_in_the_last_run() -> None:
    assert [(row.lost, row.doubled, row.dead_letters, row.left or 0) for row in load()] == [(0, 0, 0, 0)] * len(
        SCENARIOS
    )


def _recorded() -> list[dict[str, object]]:
    return [row.scenario for row in load()]
