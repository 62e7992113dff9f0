"""Replay a schedule, look for one that fails, or run a long campaign.

python -m tests.simulation SEED [CUT ...]     prints one schedule; a cut is what `shrink` prints, and `broken=NAME`
                                              takes a broken engine, in the schedules that show it
python -m tests.simulation shrink SEED [broken=NAME]
                                              prints the smallest schedule that it finds to fail like this one
python -m tests.simulation FIRST LAST         runs a range of schedules on all cores and reports
python -m tests.simulation campaign COUNT     the same from 0 on
"""

from __future__ import annotations

import sys

from tests.simulation.broken import BROKEN, Broken
from tests.simulation.campaign import campaign
from tests.simulation.schedule import cut_of, schedule
from tests.simulation.shrink import shrunk


def _broken(arguments: list[str]) -> Broken:
    names = [name for argument in arguments if (name := argument.removeprefix("broken=")) != argument]
    return BROKEN[names[-1]] if names else Broken()


def main(arguments: list[str]) -> int:
    """Run one of the three."""
    match arguments:
        case ["campaign", count]:
            return campaign(0, int(count.replace("_", "")))
        case [first, last] if first.isdecimal() and last.isdecimal():
            return campaign(int(first), int(last))
        case ["shrink", seed, *rest]:
            print(shrunk(int(seed), *_broken(rest)))  # noqa: T201
            return 0
        case [seed, *cuts] if seed.isdecimal():
            print(schedule(int(seed), *_broken(cuts), cut_of(cuts)))  # noqa: T201
            return 0
    print(__doc__)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
