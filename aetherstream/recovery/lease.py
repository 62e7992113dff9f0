"""The lease on a shard: one redrive at a time, told apart by its number.

Taking the lease raises the shard's epoch, whose number is the redrive's: attempts that were under way are superseded,
and every put of an older redrive loses. Nothing that keeps events from being doubled rests on the lease's time; it
only decides how long another redrive waits before it takes over what an unfinished one left. Whoever comes under the
very name of the holder is its successor, and does not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from aetherstream.delivery.commit import Commit
from aetherstream.delivery.progress import Lease, Progress, ProgressStore, Suspect
from aetherstream.errors import Retryable, Superseded
from aetherstream.recovery.suspects import cleared, suspects_of

LEASE_SECONDS = 120.0
_TRIES = 20


class LeaseHeld(Retryable):
    """Somebody else redrives this shard."""

    def __init__(self, key: str, who: str, until: float) -> None:
        """`until`: epoch seconds."""
        at = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
        super().__init__(f"{key}: {who} redrives this shard and holds its lease until {at}: try again later")
        self.who = who
        self.until = until


class LeaseLost(Superseded):
    """The lease ran out under its holder and another redrive has taken it: this one stops."""


class Leases:
    """Takes leases for one owner."""

    def __init__(
        self, store: ProgressStore, *, owner: str, clock: Callable[[], float], seconds: float = LEASE_SECONDS
    ) -> None:
        """`owner`: for people, and no two redrives have the same; only who goes on with a redrive that was killed has.

        `clock`: epoch seconds; `seconds`: how long a lease lasts without being renewed.
        """
        self._store = store
        self._owner = owner
        self._clock = clock
        self._seconds = seconds

    def take(self, item: Progress) -> HeldLease:
        """Take the lease of a shard, given its item as it was last seen.

        Raises LeaseHeld where another redrive holds it; Retryable when the outcome is unknown: then nobody may hold it
        until its time has passed.
        """
        for _ in range(_TRIES):
            now = self._clock()
            if item.lease is not None and item.lease.owner != self._owner and item.lease.until > now * 1000:
                raise LeaseHeld(item.key, item.lease.owner, item.lease.until / 1000)
            epoch = item.epoch + 1
            lease, suspects = self._lease(epoch), suspects_of(item)
            taken = replace(item, revision=item.revision + 1, epoch=epoch, lease=lease, suspects=suspects)
            stored = self._store.write(taken)
            if stored is None or stored == taken:  # equal: our own write, of which the answer was lost
                return HeldLease(taken, self._store, self._clock, self._lease)
            item = stored
        raise Retryable(f"progress of {item.key}: {_TRIES} writes in a row met another writer")

    def _lease(self, number: int) -> Lease:
        return Lease(self._owner, number, round((self._clock() + self._seconds) * 1000))


class HeldLease:
    """A lease that was taken. Every write renews it, and raises LeaseLost where another redrive has taken it."""

    def __init__(
        self, item: Progress, store: ProgressStore, clock: Callable[[], float], lease: Callable[[int], Lease]
    ) -> None:
        self.item = item
        """The shard's item as it was last seen."""
        self.number = item.epoch
        """The redrive's number: an epoch that only it writes with."""
        self._store = store
        self._clock = clock
        self._lease = lease
        self._at: Suspect | None = None
        self._renew_at = 0.0
        self._renewed()

    def renew(self) -> None:
        """Hold the lease for its full time again, if half of it has passed."""
        if self._clock() >= self._renew_at:
            self.write(lambda item: item)

    def write(self, change: Callable[[Progress], Progress]) -> None:
        """Write the item with a change, on the condition that the lease is still ours.

        `change` gets the item as it is stored, again where another writer came between; what it raises propagates.
        """
        self._write(lambda item: replace(change(item), lease=self._held(self.number)))

    def commit(
        self, done: Mapping[str, int] | None = None, at: Suspect | None = None, commit: Commit | None = None
    ) -> None:
        """Call what was written under this number done, and go on under a new one.

        `done`: what that adds to the shard's totals of redrives; `at`: what is begun next; `commit`: of the aggregates,
        made by the same write; what it raises propagates.
        """
        self._at = at

        def committed(item: Progress) -> Progress:
            epoch = item.epoch + 1
            return replace(_added(item, done, commit), epoch=epoch, redrive_keys=(), lease=self._held(epoch))

        self.number = self._write(committed).epoch

    def begin(self, at: Suspect) -> None:
        """Note what is begun: where this process is killed at it, whoever comes next finds the place."""
        self._at = at
        self.write(lambda item: item)

    def finish(
        self, done: Mapping[str, int] | None = None, passed: Sequence[str] = (), commit: Commit | None = None
    ) -> None:
        """Call what was written under this number done, and give the lease back.

        `done`, `commit`: as in `commit`; `passed`: positions of records that are suspect no more.
        """

        def finished(item: Progress) -> Progress:
            suspects = cleared(item.suspects, passed)
            return replace(_added(item, done, commit), redrive_keys=(), lease=None, suspects=suspects)

        self._write(finished)

    def give_up(self) -> None:
        """Give the lease back unfinished: whoever redrives next empties the keys that are noted."""
        self._write(lambda item: replace(item, lease=None))

    def _write(self, change: Callable[[Progress], Progress]) -> Progress:
        item = self.item
        for _ in range(_TRIES):
            changed = replace(change(item), revision=item.revision + 1)
            stored = self._store.write(changed)
            if stored is None or stored == changed:  # equal: our own write, of which the answer was lost
                self.item = changed
                self._renewed()
                return changed
            if stored.lease is None or stored.lease.number != self.number:
                who = "another redrive" if stored.lease is None else stored.lease.owner
                raise LeaseLost(f"{item.key}: the lease of redrive {self.number} ran out and {who} has taken it")
            self.item = item = stored
        raise Retryable(f"progress of {item.key}: {_TRIES} writes in a row met another writer")

    def _held(self, number: int) -> Lease:
        return replace(self._lease(number), at=self._at)

    def _renewed(self) -> None:
        lease = self.item.lease
        if lease is not None:
            self._renew_at = (self._clock() + lease.until / 1000) / 2


def _added(item: Progress, done: Mapping[str, int] | None, commit: Commit | None) -> Progress:
    if commit is not None:
        item = commit.upon(item)
    if not done:
        return item
    totals = {name: item.redriven.get(name, 0) + count for name, count in done.items()}
    return replace(item, redriven={**item.redriven, **totals})
