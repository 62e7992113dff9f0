# ruff: noqa: S608 - names go through `identifier`, everything else is a parameter
"""The ledger of the loads, and the lock that loaders take turns by: statements, and what their rows say. Pure.

Both stand in the schema of the target table. A transaction begins with `lock` and `raise_turn`. The lock keeps loaders
apart. Should a transaction have taken its snapshot before it waited, then raising the same turn makes it conflict with
the one that it waited for (SNAPSHOT isolation: the second update of a row fails), so it can't miss what was noted.

Parameters are named, `:name`, as the driver and the Data API have them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeVar, cast

from aetherstream.loader.parts import Entry, Totals
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.sql import identifier, literal

LOADS = "aetherstream_loads"
"""One row an object."""
TABLES = "aetherstream_tables"
"""One row a table: how it is kept, and whose turn it is."""
TURNS = "aetherstream_turns"
"""Without rows: it is there to be locked. Nothing reads it, so that nobody but loaders waits for a load."""
MOST_ERROR = 4096
"""Bytes of an error that are kept."""
_PART = 500
"""Objects that one statement names."""

Row = Sequence[Any]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and its parameters."""

    sql: str
    parameters: Mapping[str, str] = field(default_factory=dict)


LOADS_COLUMNS = {
    "target": "VARCHAR(127) NOT NULL",
    # A bucket's name of 63 bytes, a slash, a key of 1,024.
    "object": "VARCHAR(1100) NOT NULL",
    "etag": "VARCHAR(128) NOT NULL",
    "state": "VARCHAR(16) NOT NULL",
    "load_id": "VARCHAR(128) NOT NULL",
    "rows": "BIGINT NOT NULL",
    "at": "TIMESTAMP NOT NULL",
    "error": f"VARCHAR({MOST_ERROR}) NOT NULL",
}
TABLES_COLUMNS = {"target": "VARCHAR(127) NOT NULL", "turn": "BIGINT NOT NULL", "mode": "VARCHAR(4096) NOT NULL"}
TURNS_COLUMNS = {"turn": "BIGINT"}
LEDGER = {LOADS: LOADS_COLUMNS, TABLES: TABLES_COLUMNS, TURNS: TURNS_COLUMNS}
"""Columns by table: all that stands beside the tables that are loaded into."""


class Ledger:
    """The statements of one target table."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._loads = f"{identifier(contract.schema)}.{identifier(LOADS)}"
        self._tables = f"{identifier(contract.schema)}.{identifier(TABLES)}"
        self._turns = f"{identifier(contract.schema)}.{identifier(TURNS)}"
        self._target = {"target": contract.table}

    @property
    def mode(self) -> str:
        """How the table is kept, as `aetherstream_tables` notes it: by what its rows are told apart."""
        contract = self._contract
        return "append" if contract.mode == "append" else cut(f"upsert {','.join(contract.key)} by {contract.version}")

    def create(self) -> dict[str, str]:
        """The statements that make the ledger, by table."""
        return {
            LOADS: f"CREATE TABLE {self._loads} ({_columns(LOADS_COLUMNS)}) DISTSTYLE AUTO"
            f" COMPOUND SORTKEY ({identifier('object')})",
            TABLES: f"CREATE TABLE {self._tables} ({_columns(TABLES_COLUMNS)}) DISTSTYLE AUTO",
            TURNS: f"CREATE TABLE {self._turns} ({_columns(TURNS_COLUMNS)}) DISTSTYLE AUTO",
        }

    def lock(self) -> Query:
        """Wait for the loaders before; the first statement of a transaction."""
        return Query(f"LOCK TABLE {self._turns}")

    def raise_turn(self) -> Query:
        """Touch the row that every transaction on this table touches; none: the table is not noted yet."""
        return Query(f'UPDATE {self._tables} SET "turn" = "turn" + 1 WHERE "target" = :target', self._target)

    def noted(self) -> Query:
        """The modes that are noted of the table: one, as a rule."""
        return Query(f'SELECT "mode" FROM {self._tables} WHERE "target" = :target', self._target)

    def note(self, again: bool) -> str:
        """Note the table with its mode; `again`: it is noted with another one."""
        target, mode = literal(self._contract.table), literal(self.mode)
        if again:
            return f'UPDATE {self._tables} SET "mode" = {mode} WHERE "target" = {target}'
        absent = f'NOT EXISTS (SELECT 1 FROM {self._tables} WHERE "target" = {target})'
        return f'INSERT INTO {self._tables} ("target", "turn", "mode") SELECT {target}, 0, {mode} WHERE {absent}'

    def known(self, locations: Collection[str]) -> Iterator[Query]:
        """What the ledger says of objects; `entry` reads a row."""
        for part in _parts(locations):
            names = {f"o{number}": location for number, location in enumerate(part)}
            chosen = ", ".join(f":{name}" for name in names)
            where = f'"target" = :target AND "object" IN ({chosen})'
            yield Query(f"SELECT {_ENTRY} FROM {self._loads} WHERE {where}", {**self._target, **names})

    def failures(self) -> Query:
        """The objects that were set aside, the latest first; `entry` reads a row."""
        return Query(
            f'SELECT {_ENTRY} FROM {self._loads} WHERE "target" = :target AND "state" = \'failed\''
            ' ORDER BY "at" DESC, "object"',
            self._target,
        )

    def totals(self) -> Query:
        """Counts by state; `totals` reads the rows."""
        return Query(
            f'SELECT "state", COUNT(*), SUM("rows"), MAX({_AT}) FROM {self._loads} WHERE "target" = :target'
            ' GROUP BY "state"',
            self._target,
        )

    def add(self, load: str, entries: Iterable[Entry]) -> Iterator[Query]:
        """Note objects as of this load, at the warehouse's own time."""
        for part in _parts(entries):
            names = {**self._target, "load": load}
            rows = []
            for number, entry in enumerate(part):
                names |= {f"o{number}": entry.location, f"e{number}": entry.etag}
                error = "''"
                if entry.error:
                    names[f"r{number}"] = cut(entry.error)
                    error = f":r{number}"
                state = {"loaded": "'loaded'", "failed": "'failed'"}[entry.state]
                rows.append(f"(:target, :o{number}, :e{number}, {state}, :load, {int(entry.rows)}, GETDATE(), {error})")
            yield Query(f"INSERT INTO {self._loads} ({_names(LOADS_COLUMNS)}) VALUES {', '.join(rows)}", names)

    def forget(self, locations: Collection[str]) -> Iterator[Query]:
        """Take objects out that were set aside."""
        for part in _parts(locations):
            names = {f"o{number}": location for number, location in enumerate(part)}
            chosen = ", ".join(f":{name}" for name in names)
            where = f'"target" = :target AND "state" = \'failed\' AND "object" IN ({chosen})'
            yield Query(f"DELETE FROM {self._loads} WHERE {where}", {**self._target, **names})


_AT = 'CAST(EXTRACT(EPOCH FROM "at") AS BIGINT)'
_ENTRY = f'"object", "etag", "state", "load_id", {_AT}, "rows", "error"'


def entry(row: Row) -> Entry:
    """Read a row of the ledger."""
    location, etag, state, load, at, rows, error = row
    return Entry(
        str(location),
        str(etag),
        cast("Literal['loaded', 'failed']", state),
        str(load),
        float(at),
        int(rows),
        str(error),
    )


def totals(rows: Iterable[Row]) -> Totals:
    """Read the rows of the counts."""
    by_state = {str(state): (int(count), int(total or 0), last) for state, count, total, last in rows}
    loaded, total, last = by_state.get("loaded", (0, 0, None))
    return Totals(loaded, total, by_state.get("failed", (0, 0, None))[0], None if last is None else float(last))


def cut(text: str) -> str:
    """An error as the ledger keeps it: valid text, of 4,096 bytes at most."""
    return text.replace("\0", "").encode("utf-8", "replace")[:MOST_ERROR].decode("utf-8", "ignore")


def _parts(items: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(items)
    while part := list(islice(left, _PART)):
        yield part


def _columns(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{identifier(name)} {kind}" for name, kind in columns.items())


def _names(columns: Iterable[str]) -> str:
    return ", ".join(map(identifier, columns))
