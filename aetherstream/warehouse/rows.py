"""From events that passed the check to the rows of their table. Pure.

The events are read into structures that have the table's columns and no other field, and these are written: most values
are looked at once, by compiled code. What does not have the usual types goes the long way, with the same result.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat, starmap
from typing import Any

import msgspec
from msgspec.structs import astuple

from aetherstream.encoded import EVENT_ID
from aetherstream.records import Event
from aetherstream.warehouse.check import Table, reader
from aetherstream.warehouse.columns import Found, quick
from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.types import TypeName

# What the usual values of a type are in an event; with any other the reading ends.
_USUAL: dict[TypeName, Any] = {
    "smallint": int | None,
    "integer": int | None,
    "bigint": int | None,
    "real": float | None,
    "double precision": float | None,
    "boolean": bool | None,
    "char": str | None,
    "varchar": str | None,
    "date": str | None,
}
_NAME = re.compile(r'[^."\\\x00-\x1f]+')
"""A field, and no path, that a structure can have."""
Make = Callable[[Sequence[Event]], Iterable[Any]]


class Rows:
    """Writes the rows of one table."""

    def __init__(self, contract: Contract) -> None:
        self._table = Table(contract)
        columns = {f"c{number}": column for number, column in enumerate(contract.columns)}
        plain = _plain(columns, contract)
        types = {name: _USUAL[column.type.name] if name in plain else Any for name, column in columns.items()}
        fields: list[Any] = [("id", str), *((name, kind, None) for name, kind in types.items())]
        names = {"id": EVENT_ID} | {name: column.name for name, column in columns.items()}
        row = msgspec.defstruct("Row", fields, rename=names, gc=False)
        read = row
        self._row: Callable[..., Any] | None = None
        if any(columns[name].source != columns[name].name for name in plain):
            # What an event calls otherwise is read by that name, which has no dot.
            sources = {name: columns[name].source if name in plain else f".{name}" for name in columns}
            read = msgspec.defstruct("Read", fields, rename={"id": EVENT_ID} | sources, gc=False)
            self._row = row
        self._read = list[read]  # type: ignore[valid-type]
        self._made = [(name, _make(column, contract)) for name, column in columns.items() if name not in plain]
        self._encode = msgspec.json.Encoder().encode_lines

    def of(self, values: Sequence[Event]) -> bytes:
        """The rows of events with their `_event_id` that passed the check, one a line."""
        try:
            rows: list[Any] = msgspec.convert(values, self._read)
        except msgspec.ValidationError:  # a text where a number is usual, and the like
            return self._table.rows(values, [value[EVENT_ID] for value in values])
        if self._row is not None:
            rows = list(starmap(self._row, map(astuple, rows)))
        for name, make in self._made:
            deque(map(setattr, rows, repeat(name), make(values)), maxlen=0)
        return self._encode(rows)


def _plain(columns: Mapping[str, Column], contract: Contract) -> set[str]:
    """Which columns are staged as they stand in a field of the event, which no other column reads so."""
    by_source = {
        column.source: name
        for name, column in columns.items()
        if column.type.name in _USUAL and _NAME.fullmatch(column.source) and column.name != contract.collector
    }
    return set(by_source.values())


def _make(column: Column, contract: Contract) -> Make:
    read, written = reader(column, contract), quick(column.type).written
    return lambda values: written(Found.of(read(values)))
