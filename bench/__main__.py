"""`make bench`: one table from one run, and the same as JSON in bench/results/latest.json.

Every subject runs once a round, so that a slow moment of the machine hits all of them; ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aetherstream.local.opensearch import LocalOpenSearch
from aetherstream.local.opensearch_jars import OpenSearchUnavailable
from bench import aggregates, cold, data, loads
from bench.search import URL

RESULTS = Path(__file__).parent / "results" / "latest.json"
Row = dict[str, Any]


SUBJECTS = {
    "floor": ("floor", "base64 + orjson in and out + isal 1; no transform, no failure handling"),
    "floor-kpl": ("floor-kpl", "the same, aggregates of 50 opened and their MD5 checked"),
    "powertools": ("floor", "BatchProcessor + json + gzip 6, the same checks and transform by hand"),
    "engine": ("floor", "validation, 3 transforms, partitions, gzip, delivery protocol"),
    "engine-kpl": ("floor-kpl", "the same from KPL aggregates"),
    "engine-aggregates": (
        "engine",
        "with three aggregates, 10 results, 1,053 groups and windows; × the engine without",
    ),
}
"""What is measured: name → what it is compared with, and a note."""
BODIES = {
    "bulk-floor": ("bulk-floor", "bulk bodies by a bare orjson loop"),
    "bulk": ("bulk-floor", "the sink's bodies, from values: the same bytes"),
    "bulk-lines": ("bulk-floor", "the same from the lines that a batch has anyway"),
}
STAGING = {
    "archive": ("archive", "the engine with the archive alone, an object a day"),
    "staging": ("archive", "rows for Redshift (ten columns) in its place, without the contract's checks"),
    "staging-checked": ("archive", "the same with the checks"),
    "archive-staging": ("archive", "the archive and checked rows in one pipeline"),
}
ALONE = {
    "checks": ("checks", "the contract's checks alone"),
    "loader": ("loader", "the loader's own work for 100 notified objects: the database takes no time"),
}
LOADS = {
    "insert-loop": ("insert-loop", "an INSERT a row"),
    "insert-bulk": ("insert-loop", "redshift_connector's insert_data_bulk"),
    "load": ("insert-loop", "staged, announced, loaded: ledger, COPY, deduplication"),
}
SEARCH = {
    "parallel-bulk": ("parallel-bulk", "opensearchpy.helpers.parallel_bulk into a real OpenSearch"),
    "search": ("parallel-bulk", "the sink, from the same values, with the same chunks"),
}
WARM_UP = 3
SERVER_WARM_UP = 20
"""Java compiles what it runs often."""


class Worker:
    """A subject in a process of its own."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def run(self) -> dict[str, Any]:
        """Run it once."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()


Runs = dict[str, list[dict[str, Any]]]
Subjects = Mapping[str, tuple[str, str]]


def run_all(subjects: Subjects, rounds: int, environment: Mapping[str, str], warm_up: int = WARM_UP) -> Runs:
    """Run the subjects in turn, each in its own process; `warm_up`: rounds that do not count."""
    workers = {name: Worker(name, environment) for name in subjects}
    runs: Runs = {name: [] for name in subjects}
    try:
        for turn in range(rounds + warm_up):
            for name, worker in workers.items():
                answer = worker.run()
                if turn >= warm_up:
                    runs[name].append(answer)
    finally:
        for worker in workers.values():
            worker.stop()
    return runs


def rows_of(subjects: Subjects, runs: Runs) -> list[Row]:
    """One row a subject."""
    seconds = {name: [run["seconds"] for run in found] for name, found in runs.items()}
    return [
        {
            "name": name,
            "ms": round(statistics.median(seconds[name]) * 1000, 1),
            "times_floor": round(
                statistics.median(a / b for a, b in zip(seconds[name], seconds[against], strict=True)), 2
            ),
            "records": data.RECORDS,
            "note": note,
        }
        for name, (against, note) in subjects.items()
    ]


def measure(rounds: int) -> tuple[list[Row], dict[str, float]]:
    """Time the engine and what it is compared with; and where the engine's time goes (milliseconds by step)."""
    runs = run_all(SUBJECTS, rounds, {})
    rows = rows_of(SUBJECTS, runs)
    peak = max(run["peak_kb"] for name in ("engine", "engine-kpl") for run in runs[name]) / 1024
    rows.append(
        {
            "name": "memory",
            "ms": None,
            "times_floor": None,
            "records": data.RECORDS,
            "mb": round(peak, 1),
            "note": f"peak resident memory of the engine's process: {peak:.0f} MB",
        }
    )
    steps = {
        step: statistics.median(run["steps"][step] for run in runs["engine"]) * 1000
        for step in runs["engine"][0]["steps"]
    }
    return rows, steps


def measure_aggregates(rounds: int) -> tuple[list[Row], str]:
    """Time folding beside a bare loop; and what was left out, in a line."""
    subjects = aggregates.subjects()
    rows = rows_of(subjects, run_all(subjects, rounds, {}))
    left_out = "" if len(subjects) > 2 else "bytewax was left out: it is not installed (`pip install bytewax`)."
    return rows, left_out


def measure_search(rounds: int) -> tuple[list[Row], str]:
    """Time the bodies, and both ways into a real server; and what was left out, in a line."""
    rows = rows_of(BODIES, run_all(BODIES, rounds, {}))
    with tempfile.TemporaryDirectory() as scratch:
        # As a server runs that has been up for long: Java's second compiler takes part.
        server = LocalOpenSearch(Path(scratch), heap="1g", jvm=())
        try:
            server.start()
            found = run_all(SEARCH, 2 * rounds, {URL: server.url}, SERVER_WARM_UP)
            rows += rows_of(SEARCH, found)
        except OpenSearchUnavailable as error:
            return rows, f"Documents into OpenSearch were left out: {error}"
        finally:
            server.close()
    for row in rows[-len(SEARCH) :]:
        row["documents_per_second"] = round(row["records"] / row["ms"] * 1000)
        row["note"] = f"{row['documents_per_second']:,} documents/s: {row['note']}"
    return rows, ""


def measure_warehouse(rounds: int, *, servers: bool) -> list[Row]:
    """Time rows for Redshift beside the archive, their checks, the loader; and, with servers, ways into a table."""
    rows = rows_of(STAGING, run_all(STAGING, rounds, {}))
    alone = rows_of(ALONE, run_all(ALONE, rounds, {}))
    for row in alone:
        row["times_floor"] = None
    checks, loader = alone
    checks["note"] += f": {checks['ms'] / data.RECORDS * 1000:.2f} µs an event"
    loader["records"] = loads.NOTIFIED
    rows += alone
    if servers:
        with loads.servers() as environment:
            found = rows_of(LOADS, run_all(LOADS, max(3, rounds // 2), environment, 1))
        for row in found:
            row["rows_per_second"] = round(row["records"] / row["ms"] * 1000)
            row["note"] = f"{row['rows_per_second']:,} rows/s: {row['note']}"
        rows += found
    return rows


def show(rows: list[Row], steps: dict[str, float]) -> None:
    """Print the table."""
    print(f"{'':<16}{'ms':>9}{'× floor':>9}{'records':>9}  ")
    for row in rows:
        ms = "" if row["ms"] is None else f"{row['ms']:.1f}"
        times = "" if row["times_floor"] is None else f"{row['times_floor']:.2f}"
        print(f"{row['name']:<16}{ms:>9}{times:>9}{row['records'] or '':>9}  {row['note']}")
    print("\nWhere the engine's time goes (ms of a batch of 10,000; steps of the transform are part of `transform`):")
    for step, spent in sorted(steps.items(), key=lambda item: -item[1]):
        print(f"  {step:<28}{spent:7.2f}")


def main() -> int:
    """Run everything that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--no-stack", action="store_true", help="leave out the stand-in for Redshift and the run through the stack"
    )
    options = parser.parse_args()
    rows, steps = measure(options.rounds)
    folds, no_peer = measure_aggregates(options.rounds)
    rows += folds
    rows += cold.measure(min(options.rounds, 9))
    rows += measure_warehouse(options.rounds, servers=not options.no_stack)
    searched, left_out = measure_search(options.rounds)
    rows += searched
    if not options.no_stack:
        from bench import stack

        rows.append(stack.measure())
    show(rows, steps)
    by_name = {row["name"]: row for row in rows}
    peer = by_name["powertools"]["ms"] / by_name["engine"]["ms"]
    print(f"\nThe engine is {peer:.1f} times as fast as the Powertools peer.")
    print(f"Staging without its checks costs {by_name['staging']['times_floor']:.2f} times what the archive does.")
    print(f"Folding takes {by_name['fold']['times_floor']:.2f} times what a bare loop does.")
    if no_peer:
        print(no_peer)
    if left_out:
        print(left_out)
    else:
        print(f"The sink sends {1 / by_name['search']['times_floor']:.2f} times as fast as parallel_bulk.")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"Written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
