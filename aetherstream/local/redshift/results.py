"""Rows of the driver as the Data API gives them: fields by their type, and what it says of a column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from aetherstream.local.redshift.errors import NotSupported, StandInError

MAX_ROW_BYTES = 64 * 1024
"""AWS: of a row, in a result of the Data API."""

# The number of a type in the protocol: its name in Redshift's driver, and the kind of field that it comes in.
_TYPES = {
    16: ("bool", "booleanValue"),
    18: ("char", "stringValue"),
    19: ("name", "stringValue"),
    20: ("int8", "longValue"),
    21: ("int2", "longValue"),
    23: ("int4", "longValue"),
    25: ("text", "stringValue"),
    26: ("oid", "longValue"),
    700: ("float4", "doubleValue"),
    701: ("float8", "doubleValue"),
    1042: ("bpchar", "stringValue"),
    1043: ("varchar", "stringValue"),
    1082: ("date", "stringValue"),
    1083: ("time", "stringValue"),
    1114: ("timestamp", "stringValue"),
    1184: ("timestamptz", "stringValue"),
    1700: ("numeric", "stringValue"),
    2278: ("void", "stringValue"),
    4000: ("super", "stringValue"),
}
_SIGNED = {"int2", "int4", "int8", "float4", "float8", "numeric"}

Field = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Results:
    """The result of one statement, as it is handed out page by page."""

    columns: list[dict[str, Any]]
    records: list[list[Field]]

    @property
    def size(self) -> int:
        """About how many bytes its values take."""
        return sum(_size(field) for record in self.records for field in record)


def results_of(description: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]]) -> Results:
    """Bring what a cursor fetched into the Data API's form. Raises StandInError where it has none for it."""
    kinds = [_kind(column) for column in description]
    records = [[_field(kind, value) for (_, kind), value in zip(kinds, row, strict=True)] for row in rows]
    for record in records:
        if sum(map(_size, record)) > MAX_ROW_BYTES:
            raise StandInError("54000", "Packet for query is too large")
    return Results(
        [_metadata(_text(column[0]), name) for (name, _), column in zip(kinds, description, strict=True)], records
    )


def pages(records: Sequence[list[Field]], size: int, start: int) -> tuple[Sequence[list[Field]], str]:
    """One page of records, and the token of the next one; empty at the end."""
    end = start + size
    return records[start:end], str(end) if end < len(records) else ""


def error_text(error: BaseException) -> str:
    """What a driver's error says, as the Data API words it."""
    fields = error.args[0] if error.args and isinstance(error.args[0], Mapping) else None
    if fields is None:
        return f"ERROR: {error}" if str(error) else f"ERROR: {type(error).__name__}"
    return "\n  ".join(_lines(fields))


def sql_state(error: BaseException) -> str:
    """The SQLSTATE of a driver's error; empty where it has none."""
    fields = error.args[0] if error.args and isinstance(error.args[0], Mapping) else {}
    return str(fields.get("C", ""))


def _lines(fields: Mapping[str, str]) -> Iterator[str]:
    yield f"{fields.get('S', 'ERROR')}: {fields.get('M', '')}"
    for letter, word in (("D", "Detail"), ("P", "Position")):
        if fields.get(letter):
            yield f"{word}: {fields[letter]}"


def _kind(column: Sequence[Any]) -> tuple[str, str]:
    number = int(column[1])
    if number not in _TYPES:
        raise NotSupported(f"a column of the type with the number {number} in a result of the Data API")
    return _TYPES[number]


def _field(kind: str, value: Any) -> Field:
    if value is None:
        return {"isNull": True}
    if kind == "stringValue":
        return {kind: _text(value)}
    return {kind: value}


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime):
        return value.isoformat(" ").removesuffix(":00") if value.tzinfo else value.isoformat(" ")
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _size(field: Field) -> int:
    ((kind, value),) = field.items()
    return len(value.encode()) if kind == "stringValue" else 8


def _metadata(name: str, kind: str) -> dict[str, Any]:
    """What can be told of a column without asking its table."""
    return {
        "name": name,
        "label": name,
        "typeName": kind,
        "isSigned": kind in _SIGNED,
        "isCaseSensitive": kind in ("varchar", "bpchar", "text", "char", "name", "super"),
        "isCurrency": False,
        "nullable": 2,  # JDBC: unknown
        "length": 0,
        "precision": 0,
        "scale": 0,
        "schemaName": "",
        "tableName": "",
    }
