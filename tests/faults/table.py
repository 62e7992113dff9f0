"""The page of the faults, written from what a run of all scenarios led to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.faults.run import Outcome
from tests.stack_fixture import ROOT

PAGE = ROOT / "docs" / "faults.md"

INTRODUCTION = """\
# Faults on the one-machine stack

The function as `sam` built and deployed it, a producer, and between them and AWS a proxy that spoils calls on the
wire: microburst (from PyPI), and for requests that fail in part a small one of our own
(`tests/faults/partial.py`). Records flow through two shards while the faults are injected. Then everything is waited
for, and the stream, the archive, the quarantine and the dead letters are read. Why it holds is argued in
[delivery guarantees](delivery-guarantees.md).

```console
make faults
python -m tests.faults 500 killed
```

The first runs everything and writes this page anew; the second sends 500 records through one fault. `make test` runs
a part of them with fewer records.
"""

NOTES = """\
* **Injected** counts calls that were spoilt, records refused, kills or restarts. **Attempts** are claims of a shard: a
  batch, or a batch tried again.
* **Lost**: positions of the stream that stand neither in the archive nor in the quarantine. **Doubled**: how often a
  position stands there more than once. The content of every line is compared too, and the totals in the progress
  items.
* **Sent twice** are records that the producer put again because an answer was lost. They have positions of their own,
  so each of them is delivered, once. The pipeline of that row sets `identity:`, and its archive has as many distinct
  `_identity` values as events were sent: whoever keeps one line an identity has each event once. The S3 sink does not
  take the others out.
* One record in fifty is not JSON, and has to stand in the quarantine.
* The pauses between the mapping's retries pass 20 times faster than on AWS. An outage of an hour is one by the
  mapping's clock, which then runs 300 times faster, under the deployed bound on age; AWS would try more often in it.
* A restart ends the emulator and every function in mid-batch. Streams, table and objects survive it, because it
  writes them down while it ends; it is not a crash of AWS itself.
* MiniStack plays AWS. What AWS does that it does not, this page does not show.
"""

_COLUMNS = (
    "Name",
    "Fault",
    "Injected",
    "Records",
    "Attempts",
    "Lost",
    "Doubled",
    "Sent twice",
    "Dead letters",
    "Quarantined as crashed",
)


def page(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The whole page."""
    injected = sum(outcome.injected for outcome in outcomes)
    lost = sum(outcome.verdict.lost for outcome in outcomes)
    doubled = sum(outcome.verdict.doubled for outcome in outcomes)
    summary = (
        f"The last run injected {injected:,} faults in {seconds / 60:.0f} minutes: {lost} lost, {doubled} doubled.\n"
    )
    return "\n".join([INTRODUCTION, summary, *table(outcomes), "", NOTES])


def table(outcomes: Iterable[Outcome]) -> list[str]:
    """The lines of the table."""
    return [_line(_COLUMNS), _line(["---", "---", *["--:"] * (len(_COLUMNS) - 2)]), *map(_row, outcomes)]


def _row(outcome: Outcome) -> str:
    scenario, verdict = outcome.scenario, outcome.verdict
    numbers = (
        verdict.records,
        outcome.attempts,
        verdict.lost,
        verdict.doubled,
        verdict.resent,
        outcome.dead_letters,
        outcome.crashed,
    )
    injected = f"{outcome.injected:,} {scenario.unit}"
    return _line([f"`{scenario.name}`", scenario.fault, injected, *(f"{number:,}" for number in numbers)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
