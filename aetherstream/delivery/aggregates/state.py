"""The items of the state table, and what a store of them promises."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.places import Address, GroupPlace, Scope, WindowPlace
from aetherstream.errors import ConfigurationError, Retryable


class State(NamedTuple):
    """What one item holds."""

    k: int
    """Number of the last commit of its shard that was folded in."""
    acc: bytes
    """The partial (`aetherstream.aggregates.partials.dump`)."""


class Item(NamedTuple):
    """An item as queries give it."""

    place: GroupPlace
    address: Address
    state: State
    expires: int | None = None
    """When DynamoDB may remove it, epoch seconds; None as long as its window is open."""


class Write(NamedTuple):
    """One item to be written, if it is as it was when it was read."""

    place: GroupPlace
    address: Address
    read: int | None
    """The `k` that was read; None: there was no item."""
    state: State


@dataclass(slots=True)
class Written:
    """What became of some writes; those that stand in neither are written."""

    refused: dict[Address, State | None] = field(default_factory=dict)
    """Whose condition did not hold, with what is stored instead. A write of which only the answer was lost may come
    back so too: `k` tells."""
    failed: dict[Address, Retryable | ConfigurationError] = field(default_factory=dict)
    """Of which nobody knows, or that were not tried."""

    def add(self, more: Written) -> None:
        """Take what became of others."""
        self.refused |= more.refused
        self.failed |= more.failed


class StateStore(Protocol):
    """Where states live. Every read is strongly consistent.

    Safe to use from one thread at a time. Raises Retryable when the table is down or throttled, ConfigurationError when
    somebody has to change the deployment.
    """

    def read(self, addresses: Collection[Address], /) -> dict[Address, State]:
        """Read items; those that don't exist are missing."""

    def write(self, writes: Sequence[Write], /) -> Written:
        """Write items, each by itself, on the condition that its `k` is `Write.read`.

        Doesn't raise: every write is joined and has its own end. An item's `expires` stays as it is, except that
        sessions lose theirs: they are open again.
        """

    def group(self, place: GroupPlace, /) -> list[Item]:
        """All items of a group in a window: every shard's, and of each every part."""

    def some(self, places: Sequence[GroupPlace], /) -> dict[GroupPlace, list[Item]]:
        """All items of some groups that stand in one partition (`GroupPlace.prefix`), as `group` gives them.

        Takes no thread of the store's own, so it may be called from several at a time.
        """

    def window(self, place: WindowPlace, /) -> Iterator[list[Item]]:
        """The items of a window, one group after the other, each with all its items."""

    def expire(self, items: Sequence[Item], at: int, /) -> list[Item]:
        """Let items be removed from `at` (epoch seconds) on, each if its `k` is the one in `Item`.

        Returns those that have moved on or are gone, and are left as they are.
        """


class Mark(NamedTuple):
    """What closing leaves behind about a window, or about all sessions of an aggregate."""

    expires: int | None = None
    """When the states of the closed window may be gone, epoch seconds."""
    floor: float | None = None
    """Sessions that ended before this event time are closed, emitted and forgotten."""
    upto: float | None = None
    """Sessions that ended at this event time or before are closed: what changes of them later is final at once."""
    emitted: float | None = None
    """The final results of sessions that ended at this event time or before are out."""


class WindowStore(Protocol):
    """What is known about windows as such. Consistent, thread-safe and raising as a `StateStore`."""

    def begin(self, places: Sequence[WindowPlace], shard: str, /) -> set[WindowPlace]:
        """Note that a shard has states in windows (not sessions), so that closing finds them.

        Returns those of which that was not noted: unless they were closed, the shard has no state there. A place of
        which the answer was lost is left out.
        """

    def marks(self, places: Collection[WindowPlace], /) -> dict[WindowPlace, Mark]:
        """What closing has left behind; windows that were not closed are missing."""

    def due(self, scope: Scope, upto: float, /) -> dict[Window, list[str]]:
        """The windows that end at `upto` (event time) or before and are not settled, the earliest first, each with the
        shards that have begun it."""

    def close(self, place: WindowPlace, expires: int, /, *, kept: int) -> Mark:
        """Note that a window is closed, before its states are read: whoever changes them later finds it.

        Returns the mark that stands; the first one stays. `expires`: when the states may be removed; `kept`: when the
        mark itself may be, which has to be long after that. Epoch seconds.
        """

    def close_sessions(self, place: WindowPlace, upto: float, /) -> Mark:
        """Note that sessions which end at `upto` (event time) or before are closed, before their states are read.

        Returns the mark that stands; `upto` never goes back.
        """

    def sessions_emitted(self, place: WindowPlace, upto: float, /) -> None:
        """Note that the final results of sessions which ended at `upto` or before are out. It never goes back."""

    def forget(self, place: WindowPlace, floor: float, /) -> None:
        """Note that sessions which ended before `floor` (event time) may be left out of states. It never goes back."""

    def settle(self, place: WindowPlace, shards: Sequence[str], /) -> None:
        """Take a closed window, whose results are out, from those that are due."""


Marks = Mapping[WindowPlace, Mark]
