"""A warehouse in memory that fails on request: what tests put where Redshift stands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from aetherstream.delivery.reader import ObjectReader
from aetherstream.encoded import EVENT_ID
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.manifests import Remove
from aetherstream.loader.parts import CopyFailed, Detail, Entry, Load, Loaded, Staged, Totals
from aetherstream.objects import lines_of
from aetherstream.records import sortable
from aetherstream.testing.stores import MemoryObjects
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.ddl import Change, Differences
from aetherstream.warehouse.sql import ObjectRef

Row = dict[str, Any]


@dataclass(slots=True)
class MemoryDatabase:
    """What stands in a warehouse when nobody is at work: one table and its ledger."""

    rows: list[Row] = field(default_factory=list)
    """Rows of the table, in no order that means anything."""
    ledger: dict[str, Entry] = field(default_factory=dict)
    """By location."""
    turn: int = 0
    exists: bool = True
    """Whether the table has been made."""


def calm(step: str) -> None:
    """Let everything happen."""


@dataclass(slots=True)
class MemoryWarehouse:
    """`Warehouse` in memory: transactions that see what stood when they began, and conflict when they overlap.

    It copies the real bytes of the objects. `at` is called with each step before it is made (`begin`, `copy`, `commit`,
    and `answer` when it is done); what it raises is raised, and what was not committed is not there. `refuses` says
    what Redshift has against an object; `tells` whether it names the object.
    """

    contract: Contract
    reader: ObjectReader
    database: MemoryDatabase = field(default_factory=MemoryDatabase)
    at: Callable[[str], None] = calm
    refuses: Callable[[str], str | None] = lambda location: None  # noqa: ARG005
    tells: bool = True
    clock: Callable[[], float] = lambda: 0.0
    differences: Differences = field(default_factory=Differences)
    """What `compare` finds of a table that exists."""

    def load(self, load: Load, seconds: float, /) -> Loaded:
        """See `Warehouse.load`."""
        if seconds <= 0:
            raise Retryable("no time left")
        self.at("begin")
        if not self.database.exists:
            raise ConfigurationError(f"the table {self.contract.schema}.{self.contract.table} does not exist")
        turn, rows, ledger = self.database.turn, list(self.database.rows), dict(self.database.ledger)
        known = {each.location: ledger[each.location] for each in load.objects if each.location in ledger}
        unknown = [each for each in load.objects if each.location not in known]
        if not unknown:
            return Loaded(known=known)
        place = load.put_manifest(unknown)
        self.at("copy")
        fresh = self._copy(unknown, place)
        now = self.clock()
        for each in unknown:
            entry = Entry(each.location, each.etag, "loaded", load.id, now, len(fresh[each.location]))
            ledger[each.location] = entry
        stage = [row for part in fresh.values() for row in part]
        self._check_counts(unknown, fresh)
        merged = self._merged(rows, stage)

        def commit() -> bool:
            if self.database.turn != turn:
                return False
            self.database.turn, self.database.rows, self.database.ledger = turn + 1, merged, ledger
            return True

        if not self._commit(commit):
            raise Retryable("1023: Serializable isolation violation on table - aetherstream_tables")
        return Loaded(frozenset(fresh), known, len(stage))

    def _commit(self, commit: Callable[[], bool]) -> bool:
        """Make the effects of a transaction; False where it met another one."""
        self.at("commit")
        made = commit()
        self.at("answer")
        return made

    def _copy(self, objects: Collection[Staged], place: ObjectRef) -> dict[str, list[Row]]:
        manifest = self.reader.get(place.bucket, place.key)
        urls = {entry["url"] for entry in orjson.loads(manifest or b'{"entries": []}')["entries"]}
        if urls != {each.ref.url for each in objects}:
            raise CopyFailed(f"the manifest {place.url} does not name the objects")
        details = [
            Detail(each.location, reason) for each in objects if (reason := self.refuses(each.location)) is not None
        ]
        if details:
            raise CopyFailed(details[0].message, details[:1] if self.tells else ())
        bodies = {each.location: self.reader.get(each.bucket, each.key) for each in objects}
        if missing := [location for location, body in bodies.items() if body is None]:
            raise CopyFailed(f"mandatory: {missing[0]} is not there")
        return {
            each.location: list(map(orjson.loads, lines_of(each.key, bodies[each.location] or b""))) for each in objects
        }

    def _check_counts(self, objects: Collection[Staged], fresh: Mapping[str, list[Row]]) -> None:
        for each in objects:
            if each.rows is not None and each.rows != len(fresh[each.location]):
                raise CopyFailed(f"{each.location} has {len(fresh[each.location])} rows, not {each.rows}")

    def _merged(self, rows: list[Row], stage: Iterable[Row]) -> list[Row]:
        return merged(self.contract, rows, stage)

    def set_aside(self, failed: Mapping[Staged, str], load: str, seconds: float, /) -> None:  # noqa: ARG002
        """See `Warehouse.set_aside`."""
        self.at("set aside")
        for each, why in failed.items():
            entry = Entry(each.location, each.etag, "failed", load, self.clock(), error=why)
            self.database.ledger.setdefault(each.location, entry)
        self.at("answer")

    def failures(self, seconds: float, /) -> list[Entry]:  # noqa: ARG002
        """See `Warehouse.failures`."""
        self.at("read")
        found = [entry for entry in self.database.ledger.values() if entry.state == "failed"]
        return sorted(found, key=lambda entry: -entry.at)

    def forget(self, locations: Collection[str], seconds: float, /) -> int:  # noqa: ARG002
        """See `Warehouse.forget`."""
        self.at("forget")
        ledger = self.database.ledger
        named = [location for location in locations if location in ledger and ledger[location].state == "failed"]
        for location in named:
            del ledger[location]
        self.at("answer")
        return len(named)

    def known(self, locations: Collection[str], seconds: float, /) -> dict[str, Entry]:  # noqa: ARG002
        """See `Warehouse.known`."""
        self.at("read")
        return {location: self.database.ledger[location] for location in locations if location in self.database.ledger}

    def totals(self, seconds: float, /) -> Totals:  # noqa: ARG002
        """See `Warehouse.totals`."""
        self.at("read")
        loaded = [entry for entry in self.database.ledger.values() if entry.state == "loaded"]
        return Totals(
            loaded=len(loaded),
            rows=sum(entry.rows for entry in loaded),
            set_aside=len(self.database.ledger) - len(loaded),
            last=max((entry.at for entry in loaded), default=None),
        )

    def compare(self, seconds: float, /) -> Differences:  # noqa: ARG002
        """See `Warehouse.compare`."""
        self.at("read")
        if self.database.exists:
            return self.differences
        return Differences([Change(f"create table {self.contract.schema}.{self.contract.table}", "CREATE TABLE")])

    def apply(self, found: Differences, seconds: float, /) -> list[str]:  # noqa: ARG002
        """See `Warehouse.apply`."""
        self.at("apply")
        self.database.exists = True
        self.differences = replace(self.differences, changes=[])
        self.at("answer")
        return [change.text for change in found.changes]

    def close(self) -> None:
        """See `Warehouse.close`."""


def merged(contract: Contract, rows: Iterable[Row], stage: Iterable[Row]) -> list[Row]:
    """The table with the rows of a stage: one row an event id, or one a key, of the newest version."""
    found = list(rows)
    keys = contract.key if contract.mode == "upsert" else (EVENT_ID,)
    by_key = {tuple(row[name] for name in keys): number for number, row in enumerate(found)}
    for row in stage:
        key = tuple(row[name] for name in keys)
        at = by_key.setdefault(key, len(found))
        if at == len(found):
            found.append(row)
        elif contract.mode == "upsert" and _age(contract, found[at]) < _age(contract, row):
            found[at] = row
    return found


def _age(contract: Contract, row: Row) -> tuple[Any, ...]:
    if not contract.events:
        return (row[contract.version],)
    shard, *numbers = row[EVENT_ID].split(":")
    return row[contract.version], shard, [sortable(number) for number in numbers]


def remover(objects: MemoryObjects) -> Remove:
    """Remove objects from memory."""

    def remove(place: ObjectRef, /) -> None:
        objects.objects.pop((place.bucket, place.key), None)

    return remove
