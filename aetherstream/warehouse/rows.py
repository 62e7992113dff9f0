"""From the lines of events that passed the check to the rows of their table. Pure.

The lines are read into structures that have the table's columns and no other field, and written again: most values are
never Python objects of their own. What does not have the usual types goes the long way, with the same result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat, starmap
from operator import attrgetter
from typing import Any

import msgspec

from aetherstream.encoded import EVENT_ID, parsed
from aetherstream.warehouse.check import Table
from aetherstream.warehouse.columns import Found, Quick, quick
from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.types import TypeName

PART = 128 * 1024
"""Bytes of lines that are rewritten at a time: small enough to stay in the processor's cache."""

# What JSON has for the usual values of a type; with any other the decoder refuses the line.
_USUAL: dict[TypeName, Any] = {
    "smallint": int | None,
    "integer": int | None,
    "bigint": int | None,
    "decimal": int | float | str | None,
    "real": float | None,
    "double precision": float | None,
    "boolean": bool | None,
    "char": str | None,
    "varchar": str | None,
    "date": str | None,
    "timestamp": str | None,
    "timestamptz": str | None,
    "super": msgspec.Raw,
}
_REWRITTEN = {"decimal", "timestamp", "timestamptz"}
"""Their staged form is not the event's."""
_NO_VALUE = msgspec.Raw(b"null")


class Rows:
    """Writes the rows of one table."""

    def __init__(self, contract: Contract) -> None:
        self._table = Table(contract)
        self._quick = _Quick(contract) if _is_plain(contract) else None
        self._encode = msgspec.json.Encoder().encode_lines

    def of_lines(self, lines: bytes) -> bytes:
        """The rows of `lines` (NDJSON, events with their `_event_id` that passed the check), one a line."""
        if self._quick is not None:
            try:
                return b"".join([self._encode(self._quick.rows(part)) for part in _parts(lines)])
            except (msgspec.ValidationError, AttributeError):
                pass  # a text where a number is usual, a null where an object is, and the like
        values = [parsed(line) for line in lines.splitlines()]
        return self._table.rows(values, [value[EVENT_ID] for value in values])


def _parts(lines: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(lines):
        end = lines.find(b"\n", at + PART) + 1 or len(lines)
        yield lines[at:end]
        at = end


def _is_plain(contract: Contract) -> bool:
    """Whether every column reads a field of its own."""
    paths = [column.source.split(".") for column in contract.columns]
    nested = {tuple(path[:depth]) for path in paths for depth in range(1, len(path))}
    return not contract.collector and nested.isdisjoint(map(tuple, paths)) and len(set(map(tuple, paths))) == len(paths)


class _Quick:
    def __init__(self, contract: Contract) -> None:
        tree = _Tree()
        paths = [tree.add(column.source.split("."), column) for column in contract.columns]
        fields = [f"f{number}" for number in range(len(contract.columns))]
        own = [(field, Any, None) for field in fields]
        names = {"id": EVENT_ID} | dict(zip(fields, (column.name for column in contract.columns), strict=True))
        row = msgspec.defstruct("Row", [("id", str), *own], rename=names, gc=False)
        read = tree.structure([("id", str)], {"id": EVENT_ID})
        self._decode = msgspec.json.Decoder(read).decode_lines
        self._row: Callable[..., Any] = row
        self._pick: Callable[[Any], Any] | None = attrgetter("id", *paths)
        if all(column.source == column.name for column in contract.columns):
            # What is read has the table's names already.
            fields, self._pick = paths, None
        self._rewritten: list[tuple[str, Callable[[Any], Any], Quick]] = [
            (name, attrgetter(name), quick(column.type))
            for name, column in zip(fields, contract.columns, strict=True)
            if column.type.name in _REWRITTEN
        ]

    def rows(self, lines: bytes) -> list[Any]:
        rows = self._decode(lines)
        if self._pick is not None:
            rows = list(starmap(self._row, map(self._pick, rows)))
        for name, get, column in self._rewritten:
            found = list(map(get, rows))
            deque(map(setattr, rows, repeat(name), column.written(Found.of(found))), maxlen=0)
        return rows


@dataclass(slots=True)
class _Tree:
    """The fields that the columns read, by name, as deep as their paths are."""

    inner: dict[str, _Tree] = field(default_factory=dict)
    column: Column | None = None

    def add(self, path: list[str], column: Column) -> str:
        """Add a path; return how to reach it in the structure."""
        if not path:
            self.column = column
            return ""
        branch = self.inner.setdefault(path[0], _Tree())
        rest = branch.add(path[1:], column)
        own = f"f{list(self.inner).index(path[0])}"
        return f"{own}.{rest}" if rest else own

    def structure(self, fields: list[Any], names: dict[str, str]) -> type[msgspec.Struct]:
        """Make the type that a line is read into."""
        fields, names = list(fields), dict(names)
        for number, (name, branch) in enumerate(self.inner.items()):
            names[f"f{number}"] = name
            fields.append((f"f{number}", *branch._usual()))
        return msgspec.defstruct("Read", fields, rename=names, gc=False)

    def _usual(self) -> Iterator[Any]:
        """Type and default of a field."""
        if self.column is None:
            inner = self.structure([], {})
            yield inner
            yield msgspec.field(default_factory=inner)
        else:
            yield _USUAL[self.column.type.name]
            yield _NO_VALUE if self.column.type.name == "super" else None
