"""Whatever fault is injected while records flow, afterwards each stands once where it belongs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.bench import Bench
from tests.faults.run import run
from tests.faults.scenarios import NAMED, SCENARIOS, Scenario

pytestmark = pytest.mark.integration

RECORDS = 300
SUITE = [scenario for scenario in SCENARIOS if scenario.in_suite]


@pytest.mark.parametrize("scenario", SUITE, ids=[scenario.name for scenario in SUITE])
def test_nothing_is_lost_doubled_or_dead_lettered_by(bench: Bench, scenario: Scenario) -> None:
    # An outage begins when some records are through, and some have to be left for it.
    records = 1000 if scenario.name.endswith("hour") else RECORDS
    assert run(bench, scenario, records, times=1).wrong == ()


def test_an_outage_that_outlasts_the_bound_on_age_is_seen_to_dead_letter(bench: Bench) -> None:
    outcome = run(bench, replace(NAMED["s3-hour"], batch=10, mapping={"maximum_record_age": 600}), RECORDS)
    assert outcome.dead_letters > 0
    assert outcome.verdict.lost > 0
    assert outcome.verdict.doubled == 0
