"""Tables of a warehouse as a person asks for them: a ledger in memory, a table that lacks what it is told to lack."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aetherstream.errors import AetherStreamError
from aetherstream.loader.parts import Entry, Load, Loaded, Staged, Totals
from aetherstream.objects import Target
from aetherstream.testing.stores import MemoryObjects
from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.ddl import Differences
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions
from aetherstream.warehouse.sql import ObjectRef
from aetherstream.warehouse.types import column_type

BUCKET = "data"
AT = 1_763_719_200.0
"""2025-11-21T10:00:00Z."""


def target(sink: str = "warehouse", table: str = "flights") -> LoadTarget:
    return LoadTarget(
        sink=sink,
        contract=Contract(table, (Column("origin", column_type("char(3)")),)),
        staging=Target(BUCKET, f"staging/{sink}", "ndjson.gz"),
        warehouse=WarehouseOptions("wh.example", "dev"),
    )


@dataclass
class Table:
    """`Warehouse` as far as a person asks: what it lacks and what its ledger says is given."""

    ledger: dict[str, Entry] = field(default_factory=dict)
    lacks: Differences = field(default_factory=Differences)
    error: AetherStreamError | None = None
    """Raised by whatever is asked."""
    held_up: AetherStreamError | None = None
    """Raised by a look at the table."""

    def load(self, load: Load, seconds: float, /) -> Loaded:
        raise AssertionError("nobody loads by hand")

    def set_aside(self, failed: Mapping[Staged, str], load: str, seconds: float, /) -> None:
        for staged, reason in failed.items():
            entry = Entry(staged.location, staged.etag, "failed", load, AT, error=reason)
            self.ledger.setdefault(staged.location, entry)

    def failures(self, seconds: float, /) -> list[Entry]:
        self._ask(seconds)
        return [entry for entry in self.ledger.values() if entry.state == "failed"]

    def forget(self, locations: Collection[str], seconds: float, /) -> int:
        self._ask(seconds)
        found = [each for each in locations if each in self.ledger and self.ledger[each].state == "failed"]
        for location in found:
            del self.ledger[location]
        return len(found)

    def known(self, locations: Collection[str], seconds: float, /) -> dict[str, Entry]:
        self._ask(seconds)
        return {location: self.ledger[location] for location in locations if location in self.ledger}

    def totals(self, seconds: float, /) -> Totals:
        self._ask(seconds)
        loaded = [entry for entry in self.ledger.values() if entry.state == "loaded"]
        return Totals(
            loaded=len(loaded),
            rows=sum(entry.rows for entry in loaded),
            set_aside=len(self.ledger) - len(loaded),
            last=max((entry.at for entry in loaded), default=None),
        )

    def compare(self, seconds: float, /) -> Differences:
        self._ask(seconds)
        if self.held_up is not None:
            raise self.held_up
        return self.lacks

    def apply(self, found: Differences, seconds: float, /) -> list[str]:
        self._ask(seconds)
        self.lacks = Differences(notes=found.notes)
        return [change.text for change in found.changes]

    def close(self) -> None:
        pass

    def _ask(self, seconds: float) -> None:
        assert seconds >= 1
        if self.error is not None:
            raise self.error


@dataclass
class Queue:
    """`LoadQueue` that remembers."""

    announced: list[str] = field(default_factory=list)
    error: AetherStreamError | None = None

    def announce(self, objects: Sequence[ObjectRef], /) -> None:
        if self.error is not None:
            raise self.error
        self.announced += [f"{each.bucket}/{each.key}" for each in objects]

    def counts(self) -> Mapping[str, int]:
        if self.error is not None:
            raise self.error
        return {"waiting": len(self.announced), "taken": 0, "delayed": 0, "dead": 0}


def loaded(location: str, *, rows: int = 10, at: float = AT) -> Entry:
    return Entry(location, "etag", "loaded", "load-1", at, rows)


def failed(location: str, error: str = "line 3, column origin (char): too long", *, at: float = AT) -> Entry:
    return Entry(location, "etag", "failed", "load-2", at, error=error)


def key(name: str, sink: str = "warehouse") -> str:
    """Key of a staged object."""
    return f"staging/{sink}/{name}-0001-000001.ndjson.gz"


def location(name: str, sink: str = "warehouse") -> str:
    """`bucket/key` of a staged object."""
    return f"{BUCKET}/{key(name, sink)}"


def stage(objects: MemoryObjects, *names: str, sink: str = "warehouse", body: bytes = b"x" * 100) -> None:
    for name in names:
        objects.put(BUCKET, key(name, sink), body, {}, if_match=None)
