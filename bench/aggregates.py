"""Folding by column against a bare dict loop that does the same: five results of 10,000 events in 600 groups."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
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


class Bytewax:
    """bytewax's `fold_window`, by one worker in this process; its input is keyed and has its times as it wants them."""

    def __init__(self) -> None:
        # Nothing of ours needs it, so no type checker finds it.
        names = ("bytewax.operators", "bytewax.operators.windowing", "bytewax.testing", "bytewax.dataflow")
        self._operators, self._windowing, self._testing, dataflow = map(import_module, names)
        self._dataflow = dataflow.Dataflow
        self._keyed: list[tuple[str, tuple[float, datetime]]] = []

    def prepare(self, batch: Events) -> None:
        """Key the events, outside of what is measured."""
        values, times = batch
        self._keyed = [
            (event["device"], (event["temperature"], datetime.fromtimestamp(time, UTC)))
            for event, time in zip(values, times, strict=True)
        ]

    def __call__(self, _: Events) -> int:
        out: list[Any] = []
        flow = self._dataflow("bench")
        source = self._testing.TestingSource(self._keyed, batch_size=len(self._keyed))
        clock = self._windowing.EventClock(lambda value: value[1], timedelta(seconds=10))
        hour = self._windowing.TumblingWindower(timedelta(hours=1), datetime.fromtimestamp(START, UTC))
        keyed = self._operators.input("events", flow, source)
        # The merger is for sessions; `ordered=False` spares it the sorting by time.
        folded = self._windowing.fold_window("fold", keyed, clock, hour, list, _folded, max, ordered=False)
        results = self._operators.map("results", folded.down, _result)
        self._operators.output("out", results, self._testing.TestingSink(out))
        self._testing.run_main(flow)
        return len(out)


def _folded(group: list[float], event: tuple[float, datetime]) -> list[float]:
    value = event[0]
    if not group:
        return [1, value, value, value]
    group[0] += 1
    group[1] += value
    if value < group[2]:
        group[2] = value
    if value > group[3]:
        group[3] = value
    return group


def _result(item: tuple[str, tuple[int, list[float]]]) -> dict[str, float]:
    _, (_, group) = item
    return {"count": group[0], "sum": group[1], "min": group[2], "max": group[3], "mean": group[1] / group[0]}


NAMES = {
    "fold-bare": ("fold-bare", "10,000 events into 600 groups by a bare dict loop: count, sum, min, max, mean"),
    "fold": ("fold-bare", "the same by the accumulators: checked values, exact sums in any order, partials that merge"),
}
PEER = {"fold-bytewax": ("fold-bare", "the same by bytewax's fold_window, one worker")}


def subjects() -> dict[str, tuple[str, str]]:
    """What can be measured here: the peer where it is installed, which takes 8 MB and is nothing of ours."""
    return NAMES | (PEER if find_spec("bytewax") is not None else {})


def subject(name: str) -> Callable[[Events], int]:
    """Make a subject; all take `events()` and give the number of groups."""
    if name == "fold-bytewax":
        return Bytewax()
    return bare if name == "fold-bare" else Fold()
