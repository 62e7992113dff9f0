"""Many schedules on all cores: what happened in them, and which failed."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue

from tests.simulation.faults import Fault
from tests.simulation.replays import verdict
from tests.simulation.run import Simulation
from tests.simulation.shrink import shrunk

_PART = 250
_COUNTED = (
    "schedules",
    "records",
    "attempts",
    "dead_letters",
    "redrives",
    "replays",
    "drains",
    "spilled",
    "loads",
    "rows",
    "commits",
    "emissions",
    "results",
    "expired",
)


@dataclass
class Tally:
    """What came of a range of seeds."""

    schedules: int = 0
    records: int = 0
    attempts: int = 0
    dead_letters: int = 0
    redrives: int = 0
    replays: int = 0
    drains: int = 0
    spilled: int = 0
    loads: int = 0
    rows: int = 0
    commits: int = 0
    emissions: int = 0
    results: int = 0
    expired: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failing: dict[int, str] = field(default_factory=dict)
    """Seed → the first thing that is wrong."""

    def add(self, other: Tally) -> None:
        """Add another range."""
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults += other.faults
        self.failing |= other.failing

    def wrong(self, kind: str) -> int:
        """How many schedules failed in this way."""
        return sum(1 for text in self.failing.values() if text.startswith(f"{kind}:"))

    def __str__(self) -> str:
        kinds = sorted({text.partition(":")[0] for text in self.failing.values()} - {"lost", "doubled"})
        others = "".join(f", {kind} {self.wrong(kind)}" for kind in kinds)
        lines = [
            f"{self.schedules:,} schedules: {self.records:,} Kinesis records in {self.attempts:,} attempts",
            f"  {self.dead_letters:,} records in dead letters, {self.redrives:,} redrives and discards",
            f"  {self.replays:,} replays of the quarantine",
            f"  {self.spilled:,} documents spilled, {self.drains:,} drains",
            f"  {self.rows:,} rows in a warehouse, brought by {self.loads:,} invocations of a loader",
            f"  {self.commits:,} commits of aggregates, {self.results:,} results",
            f"  {self.emissions:,} invocations of the emitter and the closer",
            f"  {self.expired:,} records expired unread",
            "faults injected:",
            *(f"  {self.faults[fault.name]:>12,}  {fault.value}" for fault in Fault),
            f"lost {self.wrong('lost')}, doubled {self.wrong('doubled')}{others}",
        ]
        return "\n".join(lines)


def tally(first: int, last: int) -> Tally:
    """Run the schedules `[first:last]`."""
    done = Tally()
    for seed in range(first, last):
        simulation = Simulation(seed).run()
        if wrong := verdict(simulation):
            done.failing[seed] = wrong[0]
        done.schedules += 1
        done.records += sum(1 for _ in simulation.stream.sent())
        done.attempts += len(simulation.attempts)
        done.dead_letters += len(simulation.dead)
        done.redrives += len(simulation.operators.attempts)
        done.replays += simulation.replays
        done.drains += len(simulation.drains.attempts)
        done.spilled += sum(item.counters.get("search.spilled", 0) for item in simulation.table.items.values())
        done.loads += len(simulation.loads.attempts)
        done.rows += len(simulation.loads.database.rows)
        done.commits += len(simulation.table.numbers)
        done.emissions += len(simulation.aggregates.attempts)
        done.results += len(simulation.aggregates.places[0].documents)
        done.expired += len(simulation.expired - simulation.table.settled)
        done.faults.update(fault.name for _, _, _, fault in simulation.world.log if fault)
    return done


def _part(bounds: tuple[int, int]) -> Tally:
    return tally(*bounds)


def parts(start: int, end: int) -> Iterator[Tally]:
    """Run the schedules `[start:end]` on all cores; yields what came of each part."""
    bounds = [(first, min(first + _PART, end)) for first in range(start, end, _PART)]
    context = multiprocessing.get_context("spawn")
    cores = _cores()
    places = context.SimpleQueue()
    for core in cores:
        places.put(core)
    with context.Pool(len(cores), _stay, (places,)) as pool:
        yield from pool.imap_unordered(_part, bounds)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _stay(places: SimpleQueue[int]) -> None:
    """Keep a worker on one core: its threads take turns, and a turn between cores costs several times as much."""
    core = places.get()
    if hasattr(os, "sched_setaffinity"):  # Linux has it
        os.sched_setaffinity(0, {core})


def campaign(start: int, end: int) -> int:
    """Run the schedules `[start:end]`, say what came of them, and show the first failing one as small as it gets."""
    started, whole = time.monotonic(), Tally()
    for part in parts(start, end):
        whole.add(part)
        if sys.stderr.isatty():
            print(f"\r{whole.schedules:,} of {end - start:,}, {len(whole.failing)} failing", end="", file=sys.stderr)  # noqa: T201
    print(f"\n{whole}\nin {time.monotonic() - started:,.0f} s on {len(_cores())} cores")  # noqa: T201
    if whole.failing:
        seeds = sorted(whole.failing)
        print(f"failing seeds: {' '.join(map(str, seeds[:50]))}\n\nThe first of them, shrunk:\n{shrunk(seeds[0])}")  # noqa: T201
    return bool(whole.failing)
