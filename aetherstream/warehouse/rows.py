"""From events that passed the check to the rows of their table. Pure.

The events are read into structures that have the table's columns and no other field, and these are written: most values
are looked at once, by compiled code. What does not have the usual types goes the long way, with the same result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

import msgspec

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
Make = Callable[[Sequence[Event]], Iterable[Any]]


class Rows:
    """Writes the rows of one table."""

    def __init__(self, contract: Contract) -> None:
        self._table = Table(contract)
        fields = [(f"c{number}", *_field(column, contract)) for number, column in enumerate(contract.columns)]
        names = {"id": EVENT_ID} | {
            field[0]: column.name for field, column in zip(fields, contract.columns, strict=True)
        }
        self._type = list[msgspec.defstruct("Row", [("id", str), *fields], rename=names, gc=False)]  # type: ignore[misc]
        self._made: list[tuple[str, Make]] = [
            (field[0], _make(column, contract))
            for field, column in zip(fields, contract.columns, strict=True)
            if not _is_plain(column, contract)
        ]
        self._encode = msgspec.json.Encoder().encode_lines

    def of(self, values: Sequence[Event]) -> bytes:
        """The rows of events with their `_event_id` that passed the check, one a line."""
        try:
            rows: list[Any] = msgspec.convert(values, self._type)
        except msgspec.ValidationError:  # a text where a number is usual, and the like
            return self._table.rows(values, [value[EVENT_ID] for value in values])
        for name, make in self._made:
            deque(map(setattr, rows, repeat(name), make(values)), maxlen=0)
        return self._encode(rows)


def _is_plain(column: Column, contract: Contract) -> bool:
    """Whether its values are staged as they are, and stand where the structure reads them."""
    return column.type.name in _USUAL and column.source == column.name != contract.collector


def _field(column: Column, contract: Contract) -> tuple[Any, Any]:
    return (_USUAL[column.type.name] if _is_plain(column, contract) else Any), None


def _make(column: Column, contract: Contract) -> Make:
    read, written = reader(column, contract), quick(column.type).written
    return lambda values: written(Found.of(read(values)))
