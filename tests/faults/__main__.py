"""Run the faults: `python -m tests.faults [RECORDS] [NAME ...]`. All of them together write their page in docs anew."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.faults.bench import Bench
from tests.faults.run import Outcome, run
from tests.faults.scenarios import NAMED, SCENARIOS
from tests.faults.table import PAGE, page

RECORDS = 2_000


def main(arguments: list[str]) -> int:
    """Run the named scenarios, or all; 1 where something was wrong."""
    records = next((int(word) for word in arguments if word.isdecimal()), RECORDS)
    names = [word for word in arguments if not word.isdecimal()]
    if unknown := [name for name in names if name not in NAMED]:
        sys.exit(f"there is no fault {', '.join(unknown)}; there are {', '.join(NAMED)}")
    started = time.monotonic()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as directory, Bench(Path(directory) / "bench") as bench:
        for scenario in SCENARIOS:
            if not names or scenario.name in names:
                outcomes.append(run(bench, scenario, records))
                _say(outcomes[-1])
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    if not names and not wrong:
        PAGE.write_text(page(outcomes, time.monotonic() - started))
    return bool(wrong)


def _say(outcome: Outcome) -> None:
    verdict = outcome.verdict
    print(  # noqa: T201
        f"{outcome.scenario.name:24} {outcome.injected:6} {outcome.scenario.unit}, {verdict.records} records, "
        f"{outcome.attempts} attempts: {verdict.lost} lost, {verdict.doubled} doubled, {verdict.resent} sent twice"
        + (f"  WRONG: {', '.join(outcome.wrong)}" if outcome.wrong else ""),
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
