"""The table of the faults says what a run led to."""

from __future__ import annotations

from tests.faults.run import Outcome
from tests.faults.scenarios import Scenario
from tests.faults.table import table
from tests.faults.verdict import Verdict


def test_a_row_says_what_was_injected_and_what_became_of_the_records() -> None:
    verdict = Verdict(records=1_300, lost=1, doubled=2, strayed=0, altered=0, unsent=0, resent=500)
    outcome = Outcome(Scenario("name", "a fault", "calls"), 7, 20, 18, verdict, 3, 4, ())
    assert table([outcome])[2:] == ["| `name` | a fault | 7 calls | 1,300 | 18 | 1 | 2 | 500 | 4 | 3 |"]
