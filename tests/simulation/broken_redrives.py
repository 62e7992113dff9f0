"""Redrives with one part left out: each has to be caught, or the checks prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aetherstream.delivery.commit import Commit
from aetherstream.delivery.progress import Progress, Suspect
from aetherstream.delivery.reader import Listed
from aetherstream.errors import Retryable
from aetherstream.records import KinesisRecords
from aetherstream.recovery.held import Held
from aetherstream.recovery.lease import HeldLease, Leases
from aetherstream.recovery.redrive import Redriver
from tests.simulation.recovery import RedriverVariant, redrive_parts
from tests.simulation.run import Simulation


class _SeesNoHolder(Leases):
    """Takes the lease whoever holds it, and writes whoever has taken it since."""

    def take(self, item: Progress) -> HeldLease:
        taken = super().take(replace(item, lease=None))
        return _Careless(taken.item, self._store, self._clock, self._lease)


class _Careless(HeldLease):
    def _write(self, change: Callable[[Progress], Progress]) -> Progress:
        item = self.item
        for _ in range(20):
            changed = replace(change(item), revision=item.revision + 1)
            stored = self._store.write(changed)
            if stored is None or stored == changed:
                self.item = changed
                return changed
            item = stored
        raise Retryable("met another writer")


class _NotesNoRedriveKeys(Leases):
    def take(self, item: Progress) -> HeldLease:
        taken = super().take(item)
        return _Forgetful(taken.item, self._store, self._clock, self._lease)


class _Forgetful(HeldLease):
    def write(self, change: Callable[[Progress], Progress]) -> None:
        super().write(lambda item: replace(change(item), redrive_keys=()))


class _NotesNoPlace(Leases):
    """Does not say what it is at work on: nobody learns where it was killed."""

    def take(self, item: Progress) -> HeldLease:
        taken = super().take(item)
        return _Silent(taken.item, self._store, self._clock, self._lease)


class _Silent(HeldLease):
    def begin(self, at: Suspect) -> None:
        return

    def commit(
        self, done: Mapping[str, int] | None = None, at: Suspect | None = None, commit: Commit | None = None
    ) -> None:
        super().commit(done, commit=commit)


class _LooksNowhere(Redriver):
    def _look_up(self, *_: Any) -> Held:
        return Held()


class _LooksWhereItWouldPut(Redriver):
    """Looks for events only in the partitions where today's pipeline would put them."""

    def _look_up(self, unit: KinesisRecords, *rest: Any) -> Held:
        paths = self._core.prepare(unit, 0, len(unit)).groups.get("archive", {})
        whole = self._archive
        self._archive = _Partly(whole, [f"archive/{path}/" for path in paths])
        try:
            return super()._look_up(unit, *rest)
        finally:
            self._archive = whole


class _Partly:
    def __init__(self, inner: Any, under: Sequence[str]) -> None:
        self._inner, self._under = inner, tuple(under)
        self.get = inner.get

    def list(self, bucket: str, prefix: str, /) -> Iterator[Listed]:
        found = self._inner.list(bucket, prefix)
        return (one for one in found if prefix != "archive/" or one.key.startswith(self._under))


class _LeavesTheUnfinished(Redriver):
    def _empty_unfinished(self, *_: Any) -> None:
        return


class _LeavesTheMark(Redriver):
    def _pass(self, *_: Any) -> None:
        return


class _PassesWithoutEmptying(Redriver):
    def _empty(self, locations: Any, lease: Any, writer: Any, report: Any) -> None:
        if locations is not lease.item.open:
            super()._empty(locations, lease, writer, report)


class _LooksIntoNoSpill(Redriver):
    def __init__(self, **made: Any) -> None:
        super().__init__(**{**made, "spills": []})


def _redriver(kind: type[Redriver]) -> RedriverVariant:
    return lambda simulation, name: kind(**redrive_parts(simulation, name))


def _leases(kind: type[Leases]) -> RedriverVariant:
    def make(simulation: Simulation, name: str) -> Redriver:
        made = redrive_parts(simulation, name)
        redriver = Redriver(**made)
        redriver._leases = kind(made["progress"], owner=name, clock=made["clock"])
        return redriver

    return make


BROKEN_REDRIVES = {
    "redrive without the lease": _leases(_SeesNoHolder),
    "redrive notes no keys": _leases(_NotesNoRedriveKeys),
    "redrive notes no place": _leases(_NotesNoPlace),
    "redrive looks nowhere": _redriver(_LooksNowhere),
    "redrive looks where it would put": _redriver(_LooksWhereItWouldPut),
    "redrive looks into no spill": _redriver(_LooksIntoNoSpill),
    "redrive leaves what is unfinished": _redriver(_LeavesTheUnfinished),
    "redrive leaves the mark": _redriver(_LeavesTheMark),
    "redrive passes without emptying": _redriver(_PassesWithoutEmptying),
}
"""What is left out → the redrive without it."""
