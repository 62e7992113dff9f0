"""What a warm process knows of the state table, so that it reads nothing that it wrote itself.

All of it may be stale: whoever acts on it learns the present state by the condition of the write that fails.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from aetherstream.aggregates.partials import Partial
from aetherstream.delivery.aggregates.places import Address, GroupPlace, WindowPlace
from aetherstream.delivery.aggregates.state import Mark

MOST_BYTES = 16 * 2**20
"""States are remembered up to so many bytes of their serial form; as objects they take several times that."""
LOOK_AGAIN = 6 * 3600
"""Seconds for which a window that was open counts as not removed. States have to be kept longer after closing."""


class Remembered(NamedTuple):
    """An item as this process wrote or read it."""

    k: int
    partial: Partial
    size: int
    """Bytes of its serial form."""


class Memory:
    """Of one pipeline and stream; used by one thread at a time."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._items: dict[Address, tuple[GroupPlace, str, Remembered]] = {}
        self._bytes = 0
        self._groups: defaultdict[tuple[WindowPlace, str], set[str]] = defaultdict(set)
        self._begun: dict[tuple[WindowPlace, str], bool] = {}
        self._marks: dict[WindowPlace, tuple[float, Mark]] = {}
        self._folded: dict[str, int] = {}

    def get(self, address: Address) -> Remembered | None:
        """An item; None where nothing is known of it."""
        found = self._items.get(address)
        return None if found is None else found[2]

    def put(self, place: GroupPlace, shard: str, address: Address, item: Remembered) -> None:
        """Remember an item; those that were touched longest ago are forgotten when they are too many."""
        self.forget(address)
        self._items[address] = (place, shard, item)
        self._bytes += item.size
        self._groups[place.in_window, shard].add(place.key.group)
        while self._bytes > self._most_bytes and len(self._items) > 1:
            self.forget(next(iter(self._items)))

    def forget(self, address: Address) -> None:
        """Forget an item."""
        found = self._items.pop(address, None)
        if found is not None:
            place, shard, item = found
            self._bytes -= item.size
            groups = self._groups[place.in_window, shard]
            groups.discard(place.key.group)
            if not groups:
                del self._groups[place.in_window, shard]

    def groups(self, place: WindowPlace, shard: str) -> set[str]:
        """The groups of a window that are remembered: some of those that it has in this shard."""
        return self._groups.get((place, shard), set())

    def begun(self, place: WindowPlace, shard: str, *, first: bool) -> None:
        """Note that a shard's window is known to closing; `first`: that the shard had no states in it before."""
        self._begun[place, shard] = first

    def has_begun(self, place: WindowPlace, shard: str) -> bool:
        """Whether closing knows the window."""
        return (place, shard) in self._begun

    def is_whole(self, place: WindowPlace, shard: str) -> bool:
        """Whether the window was begun here: a group of which nothing is known is likely new."""
        return self._begun.get((place, shard), False)

    def looked(self, place: WindowPlace, mark: Mark, now: float) -> None:
        """Note what closing has left behind about a window."""
        self._marks[place] = (now, mark)

    def mark(self, place: WindowPlace, now: float) -> Mark | None:
        """What closing had left behind; None where somebody has to look (again)."""
        found = self._marks.get(place)
        return found[1] if found is not None and now - found[0] < LOOK_AGAIN else None

    def folded(self, shard: str, commit: int) -> None:
        """Note that a commit is folded."""
        self._folded[shard] = commit

    def has_folded(self, shard: str, commit: int) -> bool:
        """Whether this process knows that a commit is folded."""
        return self._folded.get(shard, -1) >= commit

    def forget_windows(self, now: float) -> None:
        """Forget windows that nobody has touched for long, so that a process that lives for days stays small."""
        old = {place for place, (looked, _) in self._marks.items() if now - looked >= 2 * LOOK_AGAIN}
        for place in old:
            del self._marks[place]
        for place, shard in [key for key in self._begun if key[0] in old]:
            del self._begun[place, shard]
