"""The state of aggregates in memory, answering as DynamoDB does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.places import Address, GroupPlace, Scope, WindowPlace
from aetherstream.delivery.aggregates.state import Item, Mark, State, Write, Written
from aetherstream.errors import Retryable


@dataclass(slots=True)
class MemoryStates:
    """`StateStore` in memory. A test sets what goes wrong, for the calls that follow."""

    items: dict[Address, Item] = field(default_factory=dict)
    reads: int = 0
    """Items that were asked for."""
    writes: int = 0
    down: bool = False
    """Whether it does not answer."""
    throttled_after: int | None = None
    """So many writes go through, the others are throttled."""
    loses_answers: bool = False
    """Whether writes take effect and their answers are lost."""

    def read(self, addresses: Collection[Address], /) -> dict[Address, State]:
        """See `StateStore.read`."""
        self._answer()
        self.reads += len(addresses)
        return {address: self.items[address].state for address in addresses if address in self.items}

    def write(self, writes: Sequence[Write], /) -> Written:
        """See `StateStore.write`."""
        written = Written()
        for write in writes:
            if self.down or self.throttled_after == 0:
                written.failed[write.address] = Retryable("the state table is throttled")
                continue
            if self.throttled_after is not None:
                self.throttled_after -= 1
            self.writes += 1
            self.write_one(write, written)
            if self.loses_answers:
                written.refused.pop(write.address, None)
                written.failed[write.address] = Retryable("the answer was lost")
        return written

    def write_one(self, write: Write, written: Written) -> None:
        """One write of its own."""
        stored = self.items.get(write.address)
        if (None if stored is None else stored.state.k) != write.read:
            written.refused[write.address] = None if stored is None else stored.state
            return
        expires = None if stored is None or write.place.key.window is None else stored.expires
        self.items[write.address] = Item(write.place, write.address, write.state, expires)

    def group(self, place: GroupPlace, /) -> list[Item]:
        """See `StateStore.group`."""
        self._answer()
        return [item for _, item in sorted(self.items.items()) if item.place == place]

    def some(self, places: Sequence[GroupPlace], /) -> dict[GroupPlace, list[Item]]:
        """See `StateStore.some`."""
        return {place: self.group(place) for place in places}

    def window(self, place: WindowPlace, /) -> Iterator[list[Item]]:
        """See `StateStore.window`."""
        for group in dict.fromkeys(item.place for _, item in sorted(self.items.items())):
            if group.in_window == place:
                yield self.group(group)

    def expire(self, items: Sequence[Item], at: int, /) -> list[Item]:
        """See `StateStore.expire`."""
        self._answer()
        moved = []
        for item in items:
            stored = self.items.get(item.address)
            if stored is None or stored.state.k != item.state.k:
                moved.append(item)
            else:
                self.items[item.address] = stored._replace(expires=at)
        return moved

    def remove_expired(self, now: float) -> None:
        """What DynamoDB does at some time after `expires`."""
        self.items = {
            address: item for address, item in self.items.items() if item.expires is None or item.expires > now
        }

    def _answer(self) -> None:
        if self.down:
            raise Retryable("the state table is down")


@dataclass(slots=True)
class MemoryWindows:
    """`WindowStore` in memory."""

    begun: set[tuple[WindowPlace, str]] = field(default_factory=set)
    closed: dict[WindowPlace, Mark] = field(default_factory=dict)
    down: bool = False
    """Whether it does not answer."""
    asked: int = 0
    """How many marks were asked for."""

    def begin(self, places: Sequence[WindowPlace], shard: str, /) -> set[WindowPlace]:
        """See `WindowStore.begin`."""
        self._answer()
        new = {place for place in places if (place, shard) not in self.begun}
        self.begun |= {(place, shard) for place in new}
        return new

    def marks(self, places: Collection[WindowPlace], /) -> dict[WindowPlace, Mark]:
        """See `WindowStore.marks`."""
        self._answer()
        self.asked += len(places)
        return {place: self.closed[place] for place in places if place in self.closed}

    def due(self, scope: Scope, upto: float, /) -> dict[Window, list[str]]:
        """See `WindowStore.due`."""
        self._answer()
        found: dict[Window, list[str]] = {}
        for place, shard in sorted(self.begun, key=lambda pair: (pair[0].window or (), pair[1])):
            if place.scope == scope and place.window is not None and place.window.end <= upto:
                found.setdefault(place.window, []).append(shard)
        return dict(sorted(found.items(), key=lambda pair: (pair[0].end, pair[0].start)))

    def close(self, place: WindowPlace, expires: int, /, *, kept: int) -> Mark:  # noqa: ARG002 - nothing is removed here
        """See `WindowStore.close`."""
        self._answer()
        return self.closed.setdefault(place, Mark(expires))

    def close_sessions(self, place: WindowPlace, upto: float, /) -> Mark:
        """See `WindowStore.close_sessions`."""
        self._answer()
        before = self.closed.get(place, Mark())
        self.closed[place] = before._replace(upto=_later(before.upto, upto))
        return self.closed[place]

    def sessions_emitted(self, place: WindowPlace, upto: float, /) -> None:
        """See `WindowStore.sessions_emitted`."""
        self._answer()
        before = self.closed.get(place, Mark())
        self.closed[place] = before._replace(emitted=_later(before.emitted, upto))

    def forget(self, place: WindowPlace, floor: float, /) -> None:
        """See `WindowStore.forget`."""
        self._answer()
        before = self.closed.get(place, Mark())
        self.closed[place] = before._replace(floor=_later(before.floor, floor))

    def settle(self, place: WindowPlace, shards: Sequence[str], /) -> None:
        """See `WindowStore.settle`."""
        self._answer()
        self.begun -= {(place, shard) for shard in shards}

    def _answer(self) -> None:
        if self.down:
            raise Retryable("the state table is down")


def _later(before: float | None, time: float) -> float:
    return time if before is None else max(before, time)
