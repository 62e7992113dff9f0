"""The state table, with DynamoDB's faults: each write has its own end, and may land late."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.places import Address, GroupPlace, Scope, WindowPlace
from aetherstream.delivery.aggregates.state import Item, Mark, State, Write, Written
from aetherstream.errors import Retryable
from aetherstream.testing.states import MemoryStates, MemoryWindows
from tests.simulation.faults import AT_READ, AT_WRITE, Fault
from tests.simulation.world import World


class States(MemoryStates):
    """The states. Some of them go out in one request; the requests of a fold come in any order."""

    def __init__(self, world: World, at_once: int) -> None:
        super().__init__()
        self.unconditional = False
        """A broken table, which takes every write."""
        self.on_change: Callable[[Item | None, Item], None] = lambda old, new: None
        """Called with what the table's stream tells of."""
        self._world, self._at_once = world, at_once

    def read(self, addresses: Collection[Address], /) -> dict[Address, State]:
        """See `StateStore.read`."""
        what = f"read {len(addresses)} states"
        return self._world.effect(what, lambda: super(States, self).read(addresses), AT_READ)

    def write(self, writes: Sequence[Write], /) -> Written:
        """See `StateStore.write`."""
        written = Written()
        order = self._world.rng.sample(list(writes), len(writes))
        for start in range(0, len(order), self._at_once):
            written.add(self._request(order[start : start + self._at_once]))
        return written

    def _request(self, some: Sequence[Write]) -> Written:
        def act() -> Written:
            written = Written()
            for write in some:
                self._one(write, written)
            return written

        first = some[0]
        what = f"fold {first.state.k} into {' '.join(f'{w.place.in_window.name}{w.place.key.group}' for w in some)}"
        try:
            return self._world.effect(what, act, AT_WRITE)
        except Retryable as error:
            return Written(failed=dict.fromkeys((write.address for write in some), error))

    def _one(self, write: Write, written: Written) -> None:
        if self._world.draw(frozenset({Fault.PARTIAL})):
            self._world.note(f"{write.address.sk}", Fault.PARTIAL)
            written.failed[write.address] = Retryable("throttled")
            return
        before = self.items.get(write.address)
        if self.unconditional:
            self.items[write.address] = Item(write.place, write.address, write.state)
        else:
            self.write_one(write, written)
        after = self.items.get(write.address)
        if after is not None and after is not before:
            self.on_change(before, after)

    def group(self, place: GroupPlace, /) -> list[Item]:
        """See `StateStore.group`: a query reads item by item, not a moment."""
        found = []
        for address in sorted(address for address, item in self.items.items() if item.place == place):
            if self._world.rng.random() < 0.3:
                self._world.effect(f"query {address.sk}", lambda: None, AT_READ)
            found.append(self.items[address])
        return found

    def window(self, place: WindowPlace, /) -> Iterator[list[Item]]:
        """See `StateStore.window`: page by page."""
        groups = sorted({item.place for item in self.items.values() if item.place.in_window == place})
        for group in groups:
            yield self.group(group)

    def expire(self, items: Sequence[Item], at: int, /) -> list[Item]:
        """See `StateStore.expire`."""
        what = f"let {len(items)} states expire"
        return self._world.effect(what, lambda: super(States, self).expire(items, at), AT_WRITE)


class Windows(MemoryWindows):
    """What is known about windows."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def begin(self, places: Sequence[WindowPlace], shard: str, /) -> set[WindowPlace]:
        """See `WindowStore.begin`."""
        what = f"begin {' '.join(place.name for place in places)}"
        return self._world.effect(what, lambda: super(Windows, self).begin(places, shard), AT_WRITE)

    def marks(self, places: Collection[WindowPlace], /) -> dict[WindowPlace, Mark]:
        """See `WindowStore.marks`."""
        what = f"look at {len(places)} windows"
        return self._world.effect(what, lambda: super(Windows, self).marks(places), AT_READ)

    def due(self, scope: Scope, upto: float, /) -> dict[Window, list[str]]:
        """See `WindowStore.due`."""
        return self._world.effect("what is due", lambda: super(Windows, self).due(scope, upto), AT_READ)

    def close(self, place: WindowPlace, expires: int, /, *, kept: int) -> Mark:
        """See `WindowStore.close`."""
        what = f"close {place.scope.aggregate} {place.name}"
        return self._world.effect(what, lambda: super(Windows, self).close(place, expires, kept=kept), AT_WRITE)

    def close_sessions(self, place: WindowPlace, upto: float, /) -> Mark:
        """See `WindowStore.close_sessions`."""
        what = f"close sessions up to {upto}"
        return self._world.effect(what, lambda: super(Windows, self).close_sessions(place, upto), AT_WRITE)

    def sessions_emitted(self, place: WindowPlace, upto: float, /) -> None:
        """See `WindowStore.sessions_emitted`."""
        what = f"sessions up to {upto} are emitted"
        self._world.effect(what, lambda: super(Windows, self).sessions_emitted(place, upto), AT_WRITE)

    def forget(self, place: WindowPlace, floor: float, /) -> None:
        """See `WindowStore.forget`."""
        what = f"forget sessions before {floor}"
        self._world.effect(what, lambda: super(Windows, self).forget(place, floor), AT_WRITE)

    def settle(self, place: WindowPlace, shards: Sequence[str], /) -> None:
        """See `WindowStore.settle`."""
        what = f"settle {place.scope.aggregate} {place.name}"
        self._world.effect(what, lambda: super(Windows, self).settle(place, shards), AT_WRITE)
