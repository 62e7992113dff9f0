"""`make bench`: one table from one run, and the same as JSON in bench/results/latest.json.

Every subject runs once a round, so that a slow moment of the machine hits all of them; ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import cold, data, subjects

RESULTS = Path(__file__).parent / "results" / "latest.json"
Row = dict[str, Any]


def measure(rounds: int) -> tuple[list[Row], dict[str, float]]:
    """Time the subjects; returns the rows, and where the engine's time goes (milliseconds by step)."""
    payloads = data.payloads()
    plain, packed = data.plain(payloads), data.aggregated(payloads)
    engine = subjects.Engine()
    runs: list[tuple[str, Callable[[dict[str, Any]], int], dict[str, Any], str, str]] = [
        ("floor", subjects.floor, plain, "floor", "base64 + orjson in and out + isal 1; no transform"),
        ("floor-kpl", subjects.floor_kpl, packed, "floor-kpl", "the same, aggregates of 50 opened and checked"),
        ("powertools", subjects.powertools, plain, "floor", "BatchProcessor + json + gzip 6, the same transform"),
        ("engine", engine, plain, "floor", "validation, 3 transforms, partitions, gzip, delivery protocol"),
        ("engine-kpl", engine, packed, "floor-kpl", "the same from KPL aggregates"),
    ]
    seconds: dict[str, list[float]] = {name: [] for name, *_ in runs}
    steps: dict[str, list[float]] = {}
    for turn in range(rounds + 2):
        for name, subject, event, _, _ in runs:
            engine.renew()
            gc.collect()
            started = time.perf_counter()
            subject(event)
            took = time.perf_counter() - started
            if turn < 2:  # warming up
                continue
            seconds[name].append(took)
            if name == "engine":
                for step, part in engine.report.timings.items():
                    steps.setdefault(step, []).append(part * 1000)
    rows = []
    for name, _, _, against, note in runs:
        ratios = [mine / base for mine, base in zip(seconds[name], seconds[against], strict=True)]
        rows.append(
            {
                "name": name,
                "ms": round(statistics.median(seconds[name]) * 1000, 1),
                "times_floor": round(statistics.median(ratios), 2),
                "records": data.RECORDS,
                "note": note,
            }
        )
    return rows, {step: statistics.median(parts) for step, parts in steps.items()}


def memory() -> Row:
    """Peak resident memory of a process that runs the plain and the aggregated batch three times."""
    code = "from bench.__main__ import _memory_probe; _memory_probe()"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    peak = float(done.stdout) / 1024
    return {
        "name": "memory",
        "ms": None,
        "times_floor": None,
        "records": data.RECORDS,
        "mb": round(peak, 1),
        "note": f"peak resident memory of the engine's process: {peak:.0f} MB (bound: 200)",
    }


def _memory_probe() -> None:
    payloads = data.payloads()
    engine = subjects.Engine()
    for event in (data.plain(payloads), data.aggregated(payloads)) * 3:
        engine.renew()
        engine(event)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(str(peak / 1024 if sys.platform == "darwin" else peak))


def show(rows: list[Row], steps: dict[str, float]) -> None:
    """Print the table."""
    print(f"{'':<16}{'ms':>9}{'× floor':>9}{'records':>9}  ")
    for row in rows:
        ms = "" if row["ms"] is None else f"{row['ms']:.1f}"
        times = "" if row["times_floor"] is None else f"{row['times_floor']:.2f}"
        print(f"{row['name']:<16}{ms:>9}{times:>9}{row['records'] or '':>9}  {row['note']}")
    print("\nWhere the engine's time goes (ms of a batch of 10,000; steps of the transform are part of `transform`):")
    for step, ms in sorted(steps.items(), key=lambda item: -item[1]):
        print(f"  {step:<28}{ms:7.2f}")


def main() -> int:
    """Run everything that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-stack", action="store_true", help="leave out the run through the one-machine stack")
    options = parser.parse_args()
    rows, steps = measure(options.rounds)
    rows.append(memory())
    rows += cold.measure(min(options.rounds, 9))
    if not options.no_stack:
        from bench import stack

        rows.append(stack.measure())
    show(rows, steps)
    by_name = {row["name"]: row for row in rows}
    peer = by_name["powertools"]["ms"] / by_name["engine"]["ms"]
    print(f"\nThe engine is {peer:.1f} times as fast as the Powertools peer.")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"Written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
