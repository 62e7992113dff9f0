"""The lease on a sink's spill, in the breaker's item: one drain at a time, told apart by its number."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from aetherstream.delivery.breaker_item import BreakerItem, BreakerStore, Cursor, DrainLease
from aetherstream.errors import ConfigurationError, Retryable, Superseded

LEASE_SECONDS = 120.0
_TRIES = 10

Step = Callable[[BreakerItem], BreakerItem | None]
"""Gives the item to be written for the item that stands there; None: leave it."""


class LeaseHeld(Retryable):
    """Another drain is at work."""


class LeaseLost(Superseded):
    """The lease ran out under its holder and another drain has taken it: this one stops."""


def take(
    store: BreakerStore,
    item: BreakerItem,
    *,
    owner: str,
    clock: Callable[[], float],
    seconds: float = LEASE_SECONDS,
) -> HeldLease:
    """Take the lease, given the item as it was last seen. `clock`: epoch seconds.

    Raises LeaseHeld where another drain holds it; Retryable when the outcome is unknown: then nobody holds it until its
    time has passed.
    """
    for _ in range(_TRIES):
        now = round(clock() * 1000)
        if item.lease is not None and item.lease.until > now:
            until = datetime.fromtimestamp(item.lease.until / 1000, UTC).isoformat(timespec="seconds")
            raise LeaseHeld(f"{item.lease.owner} drains this sink and holds its lease until {until}")
        number = item.number + 1
        taken = replace(
            item,
            revision=item.revision + 1,
            number=number,
            lease=DrainLease(owner, number, now + round(seconds * 1000)),
            unclean=item.unclean if item.lease is None else now,
        )
        stored = store.write(taken)
        if stored is None or stored == taken:  # equal: our own write, of which the answer was lost
            return HeldLease(taken, store, owner, clock, seconds)
        item = stored
    raise Retryable(f"{item.key}: {_TRIES} writes in a row met another writer")


class HeldLease:
    """A lease that was taken. Every write renews it, and raises LeaseLost where another drain has taken it."""

    def __init__(
        self, item: BreakerItem, store: BreakerStore, owner: str, clock: Callable[[], float], seconds: float
    ) -> None:
        self.item = item
        """The breaker as it was last seen."""
        self.number = item.number
        self._store = store
        self._owner = owner
        self._clock = clock
        self._seconds = seconds

    def renew(self) -> None:
        """Hold the lease for its full time again, if half of it has passed."""
        lease = self.item.lease
        if lease is None or (lease.until / 1000 - self._clock()) * 2 <= self._seconds:
            self.change(lambda item: replace(item, revision=item.revision + 1))

    def change(self, step: Step) -> bool:
        """Write a step of the breaker; tell whether there was one to be written."""
        until = round((self._clock() + self._seconds) * 1000)
        return self._write(step, DrainLease(self._owner, self.number, until))

    def give_back(self, cursor: Cursor | None, *, unclean: bool) -> None:
        """Give the lease back; where that fails, it ends by itself.

        `cursor`: how far the drain came in an object that it left unfinished; None: leave the last one.
        `unclean`: a put of this drain may still land.
        """

        def step(item: BreakerItem) -> BreakerItem:
            at = round(self._clock() * 1000) if unclean else item.unclean
            return replace(item, revision=item.revision + 1, unclean=at, cursor=cursor or item.cursor)

        with suppress(Retryable, ConfigurationError):
            self._write(step, None)

    def _write(self, step: Step, lease: DrainLease | None) -> bool:
        item = self.item
        for _ in range(_TRIES):
            made = step(item)
            if made is None:
                self.item = item
                return False
            changed = replace(made, lease=lease)
            stored = self._store.write(changed)
            if stored is None or stored == changed:  # equal: our own write, of which the answer was lost
                self.item = changed
                return True
            if stored.lease is None or stored.lease.number != self.number:
                who = "another drain" if stored.lease is None else stored.lease.owner
                raise LeaseLost(f"{item.key}: the lease of drain {self.number} ran out and {who} has taken it")
            item = stored
        raise Retryable(f"{item.key}: {_TRIES} writes in a row met another writer")
