"""Loading many objects although some of them can't be loaded: those are found, set aside, and the rest loads.

Where Redshift names the objects at fault, they are set aside at once. Where it does not, the objects are taken apart;
one that fails alone is set aside only where others of the same call loaded: else it may be the world that is at fault,
and everything waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aetherstream.loader.manifests import Manifests
from aetherstream.loader.parts import CopyFailed, Entry, Load, Staged, Warehouse

RESERVE = 10.0
"""Seconds before the end of an invocation that are kept for answering."""
SHORTEST = 15.0
"""Seconds; with less than that no load is begun."""
_FRUITLESS = 24
"""Loads that may fail in a row, from the first one on, before the world is held to be at fault."""

NO_TIME = "no time was left"
FAILED_ALONE = "its load fails, and nothing else could be loaded to tell whether it is at fault"


@dataclass(slots=True)
class Loads:
    """What the loads of one sink in one invocation came to; says what was done also where they were broken off."""

    loaded: set[str] = field(default_factory=set)
    """Locations that were loaded now."""
    rows: int = 0
    known: dict[str, Entry] = field(default_factory=dict)
    """What the ledger knew already."""
    set_aside: dict[str, str] = field(default_factory=dict)
    """Location → why."""
    waiting: dict[str, str] = field(default_factory=dict)
    """Location → why it has to come again."""
    ids: list[str] = field(default_factory=list)
    """Of the loads that brought rows."""
    failed: int = 0
    """Loads that were refused."""
    cause: str = ""
    """What the last one was refused for."""


class Narrowing:
    """Loads objects into one table."""

    def __init__(
        self,
        warehouse: Warehouse,
        manifests: Callable[[str], Manifests],
        *,
        call: str,
        seconds_left: Callable[[], float],
        done: Loads,
        mended: Callable[[], bool] = lambda: False,
    ) -> None:
        """`manifests`: of a load, given its id; `call`: begins the ids of the loads; `done` takes in what comes.

        `mended` is asked when a load is refused for the first time, before any object is blamed: it raises
        ConfigurationError where the table is at fault, and tells whether it was, and is not any more.
        """
        self._warehouse = warehouse
        self._manifests = manifests
        self._call = call
        self._tries = 0
        self._seconds_left = seconds_left
        self._done = done
        self._mended = mended
        self._is_asked = False

    def load(self, objects: Sequence[Staged]) -> None:
        """Load what can be loaded. Raises like `Warehouse.load`, but never CopyFailed; `done` is right also then."""
        groups = [list(objects)]
        alone: dict[Staged, str] = {}
        fruitless = 0
        while groups:
            group = groups.pop()
            if self._seconds_left() < RESERVE + SHORTEST:
                self._wait([group, *groups], NO_TIME)
                break
            try:
                waits = self._try(group)
            except CopyFailed as error:
                self._done.failed += 1
                self._done.cause = error.message
                if self._is_mended():
                    groups.append(group)
                    continue
                fruitless += 1
                named = _named(group, error)
                if named:
                    self._set_aside(named)
                    rest = [each for each in group if each not in named]
                    groups += [rest] if rest else []
                elif len(group) > 1:
                    # By turns, and not one half behind the other: neighbours often have one fault in common.
                    groups += [group[::2], group[1::2]]
                else:
                    alone[group[0]] = error.message
                if not self._done.loaded and fruitless >= _FRUITLESS:
                    self._wait(groups, error.message)
                    break
            else:
                if waits:
                    self._wait([group, *groups], waits)
                    break
        if alone and self._done.loaded:
            self._set_aside(alone)
        elif alone:
            self._wait([list(alone)], FAILED_ALONE)

    def _is_mended(self) -> bool:
        if self._is_asked:
            return False
        self._is_asked = True
        return self._mended()

    def _try(self, group: Sequence[Staged]) -> str:
        """Load a group in one transaction; returns what its objects have to wait for, empty where they are loaded."""
        self._tries += 1
        name = f"{self._call}-{self._tries}"
        manifests = self._manifests(name)
        load = Load(name, tuple(group), manifests.put)
        try:
            found = self._warehouse.load(load, self._seconds_left() - RESERVE)
        except CopyFailed:
            manifests.clear()
            raise
        self._done.loaded |= found.fresh
        self._done.known.update(found.known)
        self._done.rows += found.rows
        if found.fresh:
            self._done.ids.append(load.id)
        if not found.waiting:
            manifests.clear()
        return found.waiting

    def _set_aside(self, failed: dict[Staged, str]) -> None:
        self._warehouse.set_aside(failed, self._call, max(1.0, self._seconds_left() - RESERVE))
        self._done.set_aside.update((each.location, why) for each, why in failed.items())

    def _wait(self, groups: Sequence[Sequence[Staged]], why: str) -> None:
        settled = self._done.loaded | self._done.known.keys()
        for group in groups:
            self._done.waiting.update((each.location, why) for each in group if each.location not in settled)


def _named(group: Sequence[Staged], error: CopyFailed) -> dict[Staged, str]:
    """The objects that Redshift names, each with what it says first of it."""
    details = {detail.location: str(detail) for detail in reversed(error.details)}
    return {each: details[each.location] for each in group if each.location in details}
