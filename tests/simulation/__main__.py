"""Replay one schedule, readable: `python -m tests.simulation SEED`; or look for one: `... FIRST LAST`."""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.simulation.check import check
from tests.simulation.faults import Fault
from tests.simulation.run import Simulation, Variant


def judge(seed: int, variant: Variant | None = None, only: frozenset[Fault] | None = None) -> list[str]:
    """Run a schedule; what is wrong with it."""
    simulation = Simulation(seed, variant, only)
    simulation.run()
    return check(simulation)


def schedule(seed: int, variant: Variant | None = None) -> str:
    """A schedule as text: what was sent, what happened, what is wrong."""
    simulation = Simulation(seed, variant)
    simulation.run()
    text = [f"seed {seed}: {simulation.shape}", f"{simulation.settings}", "faults:"]
    text += [f"  {fault.value}: {rate}" for fault, rate in simulation.profile.rates.items()]
    for sent in (sent for records in simulation.sent.values() for sent in records):
        text.append(f"sent {sent.name}: {' '.join(f'{item.do}({item.place})' for item in sent.items) or 'no JSON'}")
    for at, who, what, fault in simulation.world.log:
        text.append(f"{at:8.1f} {who:12} {what}" + (f"  *** {fault.value}" if fault else ""))
    text += [f"WRONG: {wrong}" for wrong in check(simulation)] or ["all is well"]
    return "\n".join(text)


def main(arguments: list[str]) -> int:
    """Print one schedule, or the failing seeds of a range."""
    if len(arguments) == 1:
        print(schedule(int(arguments[0])))  # noqa: T201
        return 0
    first, last = int(arguments[0]), int(arguments[1])
    started, faults, failing = time.perf_counter(), Counter[str](), []
    for seed in range(first, last):
        simulation = Simulation(seed).run()
        faults.update(fault.name for _, _, _, fault in simulation.world.log if fault)
        if wrong := check(simulation):
            failing.append(seed)
            print(f"seed {seed}: {wrong[0]}")  # noqa: T201
    seconds = time.perf_counter() - started
    print(f"{last - first} schedules in {seconds:.1f} s, {len(failing)} failing; {dict(faults)}")  # noqa: T201
    return bool(failing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
