"""Events against the contract of their table, by column: which would not load, and why; and the rows of those that do.

Pure. `aetherstream.warehouse.fields` defines what a column takes, a value at a time. Here a whole column of a batch is
looked at at once, as long as everything in it is plainly fit; only where something is not, is it looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import msgspec

from aetherstream.encoded import EVENT_ID, encode
from aetherstream.errors import Rejected
from aetherstream.records import Event
from aetherstream.transforms.describe import describe
from aetherstream.warehouse.columns import Found, Quick, quick
from aetherstream.warehouse.contract import EVENT_ID_TYPE, Column, Contract
from aetherstream.warehouse.fields import Unfit, Write, writer

LARGEST_ROW = 4 * 1024 * 1024
"""Redshift: most bytes of a row that COPY reads (4 MB)."""

_OVERHEAD = 3
"""Bytes around a value in a row: colon and comma beside its name, and the braces' share."""

Read = Callable[[Sequence[Event]], list[Any]]


@dataclass(frozen=True, slots=True)
class _Checked:
    """A column with what reads and checks it."""

    column: Column
    read: Read
    write: Write
    quick: Quick
    """Looks at a whole column."""
    size: int
    """Bytes of its name in a row."""


class Table:
    """Checks events against a contract, and writes the rows of those that fit it."""

    def __init__(self, contract: Contract, largest: int = LARGEST_ROW) -> None:
        """`largest`: bytes of a row."""
        self.contract = contract
        self._largest = largest
        self._columns = [
            _Checked(column, reader(column, contract), writer(column.type), quick(column.type), len(column.name) + 2)
            for column in contract.columns
        ]
        self._fixed = sum(checked.size + _OVERHEAD for checked in self._columns)
        self._id_room = _EVENT_ID_ROOM if contract.events else 0
        self._fields = contract.fields
        fields = [(f"c{number}", Any) for number in range(len(contract.names))]
        names = {field: name for (field, _), name in zip(fields, contract.names, strict=True)}
        # A row as a structure, and not as a dict: half the time.
        self._row = msgspec.defstruct("Row", fields, rename=names, gc=False)
        self._encoder = msgspec.json.Encoder()

    def check(self, values: Sequence[Event]) -> dict[int, Rejected]:
        """Say which of the events would not load, by index: of several causes the first column's."""
        if not values:
            return {}
        refused: dict[int, Rejected] = {}
        if self.contract.unknown == "reject" and not all(map(self._fields.issuperset, values)):
            self._refuse_unknown(values, refused)
        room = self._largest - self._fixed - self._id_room
        for checked in self._columns:
            found = Found.of(checked.read(values))
            most = checked.quick.most(found) if checked.column.nullable or not found.nulls else None
            if most is None:
                most = self._one_by_one(checked, found.values, refused)
            room -= most
        if room < 0:
            self._measure(values, refused)
        return refused

    def rows(self, values: Sequence[Event], ids: Sequence[str]) -> bytes:
        """Write the rows of events that passed the check: JSON objects, one a line.

        `ids`: event ids; none where the table has none.
        """
        columns: list[Iterable[Any]] = [ids] if self.contract.events else []
        columns += [checked.quick.written(Found.of(checked.read(values))) for checked in self._columns]
        return self._encoder.encode_lines(list(map(self._row, *columns)))

    def _one_by_one(self, checked: _Checked, found: Sequence[Any], refused: dict[int, Rejected]) -> int:
        """Returns the most bytes that a value takes in a row."""
        column, write, most = checked.column, checked.write, 4
        for index, value in enumerate(found):
            if value is None:
                if not column.nullable:
                    refused.setdefault(index, _refusal(column, value, "is null or missing, and may not be"))
                continue
            try:
                most = max(most, len(encode(write(value))))
            except Unfit as why:
                refused.setdefault(index, _refusal(column, value, str(why)))
        return most

    def _refuse_unknown(self, values: Sequence[Event], refused: dict[int, Rejected]) -> None:
        for index, value in enumerate(values):
            if unknown := sorted(map(str, value.keys() - self._fields)):
                names = ", ".join(unknown)
                refused[index] = Rejected(
                    "fields without a column",
                    f"no column reads {names:.200}: {self.contract.table} refuses unknown fields",
                )

    def _measure(self, values: Sequence[Event], refused: dict[int, Rejected]) -> None:
        fit = [index for index in range(len(values)) if index not in refused]
        rows = self.rows([values[index] for index in fit], [""] * len(fit)).splitlines()
        for index, row in zip(fit, rows, strict=True):
            size = len(row) + (EVENT_ID_TYPE.length if self.contract.events else 0)
            if size > self._largest:
                refused[index] = Rejected(
                    "row is too large", f"the row has up to {size} bytes; COPY takes {self._largest} a row"
                )


_EVENT_ID_ROOM = len(EVENT_ID) + 2 + _OVERHEAD + EVENT_ID_TYPE.length


def reader(column: Column, contract: Contract) -> Read:
    """Return what takes a column's values from events; null where there is none."""
    if column.name == contract.collector:
        return partial(_collect, contract.fields)
    if "." in column.source:
        parts = column.source.split(".")
        return partial(_reach, parts, [itemgetter(part) for part in parts])
    return partial(_get, column.source, itemgetter(column.source))


def _refusal(column: Column, value: Any, why: str) -> Rejected:
    return Rejected(f"column {column.name} {why}", f"column {column.name} ({column.type}) {why}: {describe(value)}")


def _get(name: str, item: Callable[[Event], Any], values: Sequence[Event]) -> list[Any]:
    try:
        return list(map(item, values))
    except KeyError:
        return [value.get(name) for value in values]


def _reach(parts: Sequence[str], items: Sequence[Callable[[Any], Any]], values: Sequence[Event]) -> list[Any]:
    """What stands at a path; where the path leads nowhere, null."""
    found: list[Any] = list(values)
    try:
        for item in items:
            found = list(map(item, found))
    except (KeyError, TypeError):
        found = list(values)
    else:
        return found
    for part in parts:
        found = [value.get(part) if type(value) is dict else None for value in found]
    return found


def _collect(known: frozenset[str], values: Sequence[Event]) -> list[Any]:
    return [{name: value[name] for name in value if name not in known} or None for value in values]
