"""Folding by column against a bare dict loop that does the same: five results of 10,000 events in 600 groups."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output, expressions
from aetherstream.aggregates.columns import ColumnReader, Columns
from aetherstream.aggregates.fold import fold
from aetherstream.aggregates.windows import Tumbling

EVENTS = 10_000
GROUPS = 600
START = 1_763_697_600.0
Events = tuple[list[dict[str, Any]], list[float]]
KINDS = ("count", "sum", "min", "max", "mean")


def events() -> Events:
    """Events of 600 devices within an hour, and their times."""
    rng = random.Random(20261121)
    values = [
        {"device": f"dev-{rng.randrange(GROUPS):05d}", "temperature": round(rng.gauss(20, 5), 3)} for _ in range(EVENTS)
    ]
    return values, [START + index * 0.2 for index in range(EVENTS)]


def bare(batch: Events) -> int:
    """What one writes by hand: rounding depends on the order, and nothing is checked."""
    groups: dict[tuple[int, str], list[float]] = {}
    values, times = batch
    for event, time in zip(values, times, strict=True):
        key = (int(time // 3600) * 3600, event["device"])
        value = event["temperature"]
        group = groups.get(key)
        if group is None:
            groups[key] = [1, value, value, value]
        else:
            group[0] += 1
            group[1] += value
            if value < group[2]:
                group[2] = value
            if value > group[3]:
                group[3] = value
    results = [
        {"count": group[0], "sum": group[1], "min": group[2], "max": group[3], "mean": group[1] / group[0]}
        for group in groups.values()
    ]
    return len(results)


class Fold:
    """The fold, from the values of events to partials; results are the emitter's, as they are when deployed."""

    def __init__(self, kinds: tuple[str, ...] = KINDS) -> None:
        outputs = tuple(Output(kind, make(kind), None if kind == "count" else "temperature") for kind in kinds)
        self.aggregate = Aggregate("bench", (("device", "device"),), Tumbling(3600), outputs)
        self._reader = ColumnReader(expressions([self.aggregate]))

    def __call__(self, batch: Events) -> int:
        values, times = batch
        columns = Columns(self._reader.read(values), times)
        return len(fold(self.aggregate, columns, watermark=START - 3600).partials)


SUBJECTS: dict[str, Callable[[Events], int]] = {"fold-bare": bare, "fold": Fold()}
"""Name → subject; both take `events()` and give the number of groups."""


def main() -> None:
    """Run both in turn and say how they compare; for looking, `make bench` measures."""
    import statistics
    import time

    batch = events()
    seconds: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    for _ in range(25):
        for name, subject in SUBJECTS.items():
            started = time.perf_counter()
            subject(batch)
            seconds[name].append(time.perf_counter() - started)
    ratio = statistics.median(a / b for a, b in zip(seconds["fold"], seconds["fold-bare"], strict=True))
    for name, found in seconds.items():
        print(f"{name:10} {statistics.median(found) * 1000:6.2f} ms")
    print(f"ratio      {ratio:6.2f}")


if __name__ == "__main__":
    main()
