"""What the items of the state table are called.

All items of a group in a window stand in one partition under one prefix, so that one consistent query reads them; those
of a window stand in `SPREAD` partitions, so that closing reads whole windows and no partition takes all writes.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.windows import Window

SPREAD = 16
"""Partitions of a window. DynamoDB: one takes 1,000 write units a second, before it is split for its heat.

A power of 16: a partition is the first digit of the group's digest. It is part of the names that are stored.
"""
_PARTITIONS = tuple(f"{number:x}" for number in range(SPREAD))
_EARLIEST = 10**12
"""Makes ends of windows positive, so that they sort as texts: event times have the years 1 to 9999."""


class Scope(NamedTuple):
    """Whose states they are. States of another declaration stand apart and are never merged."""

    owner: str
    """Pipeline and stream, for example `flights#events`."""
    aggregate: str
    fingerprint: str
    """`Aggregate.fingerprint`."""

    @property
    def text(self) -> str:
        """The beginning of every partition key."""
        return f"{self.owner}#{self.aggregate}#{self.fingerprint}"


class WindowPlace(NamedTuple):
    """A window of an aggregate; None: the sessions of all groups."""

    scope: Scope
    window: Window | None

    @property
    def name(self) -> str:
        """The window's start, for example `2013-01-01T10:00:00Z`; windows of one declaration differ in it."""
        return "sessions" if self.window is None else self.window.id

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partition keys that hold the window's groups; a group stands in one of them as a whole."""
        return tuple(f"{self.scope.text}#{self.name}#{partition}" for partition in _PARTITIONS)


class GroupPlace(NamedTuple):
    """A group in a window."""

    scope: Scope
    key: Key

    @property
    def in_window(self) -> WindowPlace:
        """Its window."""
        return WindowPlace(self.scope, self.key.window)

    @property
    def prefix(self) -> Address:
        """Partition, and how the sort keys of the group's items begin."""
        digest = blake2b(self.key.group.encode(), digest_size=16).hexdigest()
        return Address(f"{self.scope.text}#{self.in_window.name}#{digest[0]}", f"{digest}#")

    def address(self, shard: str, part: int = 0) -> Address:
        """Where a shard's item stands. A state that outgrows an item goes on in the next part."""
        pk, prefix = self.prefix
        return Address(pk, f"{prefix}{shard}#{part:03d}")


class Address(NamedTuple):
    """The key of an item."""

    pk: str
    sk: str


def scope_of(owner: str, aggregate: Aggregate) -> Scope:
    """Where the states of an aggregate stand; `owner` is pipeline and stream."""
    return Scope(owner, aggregate.name, aggregate.fingerprint)


def scope_in(pk: str) -> Scope:
    """Whose state an item is, by its partition key."""
    owner, aggregate, fingerprint, _, _ = pk.rsplit("#", 4)
    return Scope(owner, aggregate, fingerprint)


def begun_partition(scope: Scope) -> str:
    """Holds an item for each shard and window that the shard has begun, ordered by the window's end."""
    return f"{scope.text}#begun"


def begun_address(place: WindowPlace, shard: str) -> Address:
    """Where it is noted that a shard has begun a window."""
    window = _fixed(place)
    return Address(begun_partition(place.scope), f"{sortable_end(window.end)}#{window.id}#{shard}")


def mark_address(place: WindowPlace) -> Address:
    """Where it is noted that a window is closed; for sessions, up to which time they are forgotten."""
    return Address(f"{place.scope.text}#closed", place.name)


def sortable_end(end: float) -> str:
    """Write a time so that it sorts as a text: whole seconds, rounded down, before 1970 too."""
    return f"{int(end // 1) + _EARLIEST:013d}"


def _fixed(place: WindowPlace) -> Window:
    if place.window is None:
        raise ValueError(f"{place.scope.aggregate}: sessions are not begun one by one")
    return place.window
