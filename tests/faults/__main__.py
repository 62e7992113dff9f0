"""Run the faults: `python -m tests.faults [RECORDS] [NAME ...]`.

Without a number the outcomes are recorded, and docs/faults.md is made of the record; `page` does only the latter.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.bench import Bench
from tests.faults.record import load, row, save
from tests.faults.run import Outcome, run
from tests.faults.scenarios import NAMED, SCENARIOS
from tests.faults.table import PAGE, page

RECORDS = 2_000


def main(arguments: list[str]) -> int:
    """Run the named scenarios, or all; 1 where something was wrong."""
    if arguments == ["page"]:
        PAGE.write_text(page(load()))
        return 0
    given = next((int(word) for word in arguments if word.isdecimal()), None)
    names = [word for word in arguments if not word.isdecimal()]
    if unknown := [name for name in names if name not in NAMED]:
        sys.exit(f"there is no fault {', '.join(unknown)}; there are {', '.join(NAMED)}")
    # Each fault is warned of by whom it befalls, and that many warnings hide the results.
    logging.getLogger("aetherstream").addHandler(logging.NullHandler())
    wrong = False
    with tempfile.TemporaryDirectory(prefix="faults-") as directory, Bench(Path(directory) / "bench") as bench:
        for scenario in SCENARIOS:
            if not names or scenario.name in names:
                outcome = run(bench, scenario, given or RECORDS)
                _say(outcome)
                wrong |= bool(outcome.wrong)
                if given is None and not outcome.wrong:
                    save(row(outcome, datetime.now(UTC).date().isoformat()))
                    PAGE.write_text(page(load()))
    return wrong


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
