"""What emitters and the closer work between: the state table's stream, the shards of the other stream, the places for
results."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aetherstream.delivery.aggregates.state import Item
from aetherstream.delivery.aggregates.statements import key_of, window_text
from aetherstream.errors import Retryable
from aetherstream.results.parts import Row, Sent
from aetherstream.testing.builders import START
from aetherstream.testing.results import MemoryOutlet
from tests.simulation.faults import AT_BULK, AT_READ, Fault
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

_LANES = 2
_MOST = 12
"""Changes that a batch has at most, while the stream flows."""


class TableStream:
    """The changes of the states, in order for each item: lanes, of which each brings a batch until it is taken."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.lanes: list[list[dict[str, Any]]] = [[] for _ in range(_LANES)]

    def tell(self, old: Item | None, new: Item) -> None:
        """Note a write."""
        images = {name: _image(item) for name, item in (("OldImage", old), ("NewImage", new)) if item is not None}
        self.lanes[zlib.crc32(new.address.pk.encode()) % _LANES].append({"dynamodb": images})

    def batch(self, *, whole: bool) -> tuple[int, list[dict[str, Any]]]:
        """The next changes of a lane; `whole`: all of them."""
        lane = self._rng.choice([number for number, changes in enumerate(self.lanes) if changes])
        return lane, self.lanes[lane][: None if whole else self._rng.randint(1, _MOST)]

    def taken(self, lane: int, batch: Sequence[dict[str, Any]]) -> None:
        """Move past a batch."""
        del self.lanes[lane][: len(batch)]

    def __len__(self) -> int:
        return sum(map(len, self.lanes))


def _image(item: Item) -> dict[str, Any]:
    key = item.place.key
    return {
        **key_of(item.address),
        "k": {"N": str(item.state.k)},
        "acc": {"B": item.state.acc},
        "group": {"S": key.group},
        "window": {"S": window_text(key.window)},
    }


class Place(MemoryOutlet):
    """A place for results that may fail, and take rows late."""

    def __init__(self, world: World, *, final_only: bool) -> None:
        super().__init__(f"to.{'final' if final_only else 'all'}", final_only=final_only)
        self._world = world

    def send(self, rows: Sequence[Row], seconds_left: float, /) -> Sent:
        """See `Outlet.send`."""
        partial = self._world.draw(frozenset({Fault.PARTIAL}))
        taken = rows[: len(rows) // 2] if partial else rows
        what = f"{self.name}: {' '.join(_said(row) for row in taken)}"
        sent = self._world.effect(what, lambda: super(Place, self).send(taken, seconds_left), AT_BULK)
        if partial:
            self._world.note(self.name, partial)
            raise Retryable("throttled")
        return sent


def _said(row: Row) -> str:
    return f"{'without ' if row.removed else ''}{row.id}@{row.version}"


class ReadShards:
    """What the closer asks of the stream."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def ids(self) -> list[str]:
        """See `Shards.ids`."""
        world, shards = self._simulation.world, self._simulation.stream.shards.values()
        now = world.now + START
        return world.effect("list the shards", lambda: [shard.name for shard in shards if shard.opened <= now], AT_READ)

    def has_more(self, shard: str, after: str) -> bool:
        """See `Shards.has_more`: now and then nobody finds out."""
        world = self._simulation.world
        now, mark = world.now + START, int(after or 0)
        sent = self._simulation.stream.shards[shard].sent
        return world.rng.random() < 0.1 or any(one.sequence > mark and one.arrival <= now for one in sent)
