"""The page of the faults, written from the record of the last runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.faults.record import Row
from tests.stack_fixture import ROOT

PAGE = ROOT / "docs" / "faults.md"

INTRODUCTION = """\
# Faults on the one-machine stack

The function as `sam` built and deployed it, a producer, and between them and AWS proxies that spoil calls on the
wire. microburst (from PyPI) refuses calls, slows them down and holds them. Two small ones of our own do what it can't:
`tests/faults/wire.py` loses answers after their effect and resets connections in mid-upload, `tests/faults/partial.py`
refuses some records of a request. Records flow through two shards while the faults are injected. Then everything is
waited for, and the stream, the archive, the quarantine and the dead letters are read. Why it holds is argued in
[delivery guarantees](delivery-guarantees.md).

```console
make faults
python -m tests.faults 500 killed
```

The first runs everything, 2,000 records a fault, and writes this page anew. The second sends 500 records through one
fault and writes nothing. `make test` runs a part of them with fewer records.
"""

NOTES = """\
* **Injected** counts what the proxies did: requests that were spoilt, or records refused; also kills and restarts. A
  share is one of requests, and there are more of them than objects: the SDK sends a request up to three times, each of
  which may be spoilt, and where all three fail the batch comes again and puts its objects anew. **Attempts** are claims
  of a shard: a batch, or a batch tried again.
* **Lost**: positions of the stream that stand neither in the archive nor in the quarantine. **Doubled**: how often a
  position stands there more than once. The content of every line is compared too, and the totals in the progress
  items.
* **Sent twice** are records that the producer put again because an answer was lost. They have positions of their own,
  so each of them is delivered, once. The pipeline of that row sets `identity:`, which writes `_identity` into each
  line; the S3 sink does not take repeats out. **Left by identity** are the events that were sent and do not stand
  exactly once when one line of each `_identity` is kept.
* An answer is lost where the service had answered with success, and the connection was closed before a byte of that
  was passed on. An upload is cut where half of its body had been read before the reset. Objects here are small: mostly
  the client has handed the rest to its kernel by then.
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
    "Left by identity",
    "Dead letters",
    "Quarantined as crashed",
)


def page(rows: Sequence[Row]) -> str:
    """The whole page."""
    injected = sum(row.injected for row in rows)
    lost = sum(row.lost for row in rows)
    doubled = sum(row.doubled for row in rows)
    days = " to ".join(sorted({min(row.day for row in rows), max(row.day for row in rows)}))
    summary = f"The last runs ({days}) injected {injected:,} faults: {lost} lost, {doubled} doubled.\n"
    return "\n".join([INTRODUCTION, summary, *table(rows), "", NOTES])


def table(rows: Iterable[Row]) -> list[str]:
    """The lines of the table."""
    return [_line(_COLUMNS), _line(["---", "---", *["--:"] * (len(_COLUMNS) - 2)]), *map(_cells, rows)]


def _cells(row: Row) -> str:
    numbers = (
        row.records,
        row.attempts,
        row.lost,
        row.doubled,
        row.resent,
        row.left,
        row.dead_letters,
        row.crashed,
    )
    shown = ("–" if number is None else f"{number:,}" for number in numbers)
    injected = f"{row.injected:,} {row.scenario['unit']}"
    return _line([f"`{row.scenario['name']}`", row.scenario["fault"], injected, *shown])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
