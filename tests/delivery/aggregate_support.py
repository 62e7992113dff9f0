"""Small aggregates, partials and stores for the tests of their state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Key, Output
from aetherstream.aggregates.columns import Columns
from aetherstream.aggregates.fold import fold
from aetherstream.aggregates.partials import Partial, Partials, load, results
from aetherstream.aggregates.windows import Session, Tumbling, Window
from aetherstream.delivery.aggregates.apply import Applied, Budget, Declared, Stores, apply
from aetherstream.delivery.aggregates.memory import Memory
from aetherstream.delivery.aggregates.places import GroupPlace, WindowPlace, scope_of
from aetherstream.delivery.aggregates.state import Item
from aetherstream.testing.states import MemoryStates, MemoryWindows

OUTPUTS = (Output("events", make("count")), Output("sum", make("sum"), "v"))
HOURLY = Aggregate("hourly", (("carrier", "carrier"),), Tumbling(3600), OUTPUTS)
VISITS = Aggregate("visits", (("carrier", "carrier"),), Session(60), OUTPUTS)
DECLARED = {one.name: Declared(one, scope_of("flights#events", one)) for one in (HOURLY, VISITS)}
WINDOW = Window(3600, 7200)
SHARD = "shardId-000000000000"
NOW = 1_763_712_000.0
Row = tuple[str, float, int]
"""Carrier, event time, value."""


def partials(rows: Iterable[Row], aggregate: Aggregate = HOURLY) -> Partials:
    rows = list(rows)
    return fold(
        aggregate,
        Columns({"carrier": [row[0] for row in rows], "v": [row[2] for row in rows]}, [row[1] for row in rows]),
    ).partials


def place(group: str, aggregate: Aggregate = HOURLY, window: Window | None = WINDOW) -> GroupPlace:
    window = None if aggregate is VISITS else window
    return GroupPlace(DECLARED[aggregate.name].scope, Key(aggregate.name, window, f'["{group}"]'))


def window_place(window: Window | None = WINDOW, aggregate: Aggregate = HOURLY) -> WindowPlace:
    return WindowPlace(DECLARED[aggregate.name].scope, window)


class Table:
    """A state table in memory, and one process after the other that works on it."""

    def __init__(self) -> None:
        self.states, self.windows = MemoryStates(), MemoryWindows()
        self.memory = Memory()

    def cold(self) -> None:
        """The process is another one."""
        self.memory = Memory()

    def fold(self, commit: int, parts: Mapping[Key, Partial], *, now: float = NOW, shard: str = SHARD) -> Applied:
        stores = Stores(self.states, self.windows)
        return apply(commit, shard, parts, DECLARED, stores, self.memory, Budget(now))

    def items(self) -> list[Item]:
        return [item for _, item in sorted(self.states.items.items())]

    def found(self) -> dict[tuple[str, str, str, int], tuple[int, Any]]:
        """By window, group, shard and part: `k` and the results."""
        found = {}
        for item in self.items():
            key, (_, shard, part) = item.place.key, item.address.sk.split("#")
            aggregate = DECLARED[key.aggregate].aggregate
            partial = load(aggregate, item.state.acc)
            shown: Any = (
                [(one.first, one.last, results(aggregate, one.accs)) for one in partial]
                if key.window is None
                else results(aggregate, partial)
            )
            window = "" if key.window is None else key.window.id
            found[window, key.group, shard, int(part)] = (item.state.k, shown)
        return found


def summed(found: Sequence[Any]) -> dict[str, Any]:
    """Results of some values."""
    return {"events": len(found), "sum": sum(found)}
