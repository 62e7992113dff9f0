"""Records per second through the one-machine stack: producer → Kinesis → poller → deployed function → S3."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from demo.__main__ import run

FLIGHTS = 100_000


def measure() -> dict[str, Any]:
    """Run the demo's traffic through the deployed template and count what arrived."""
    found = run(FLIGHTS, Console(stderr=True))
    if not found.balanced:
        raise ValueError(f"the run does not balance: {found.checks()}")
    rate = found.records_in / found.seconds
    return {
        "name": "stack",
        "ms": round(found.seconds * 1000, 1),
        "times_floor": None,
        "records": found.records_in,
        "records_per_second": round(rate),
        "note": f"{rate:,.0f} records/s end to end through the one-machine stack, everything on this machine",
    }
