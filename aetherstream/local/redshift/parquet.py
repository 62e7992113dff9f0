"""Parquet objects of a COPY, as rows for PostgreSQL's own COPY.

Columns are matched by their order, and a type loads where AWS's documentation, or a reading of the service, says that
it does: types are matched and never converted. What neither tells is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.errors import CopyFailed, NotSupported, SpectrumError
from aetherstream.local.redshift.load import BadRow, stored_line
from aetherstream.local.redshift.rules import BadValue, Column, check_of, scalar_of

_AT_ONCE = 1000
_MICROS = "TimestampType(isAdjustedToUTC=0, unit=TimeUnit(MILLIS=<null>, MICROS=MicroSeconds(), NANOS=<null>))"
_PLAIN = {
    "smallint": {("INT32", "INT_16")},
    "integer": {("INT32", ""), ("INT32", "INT_32")},
    "bigint": {("INT64", ""), ("INT64", "INT_64")},
    "real": {("FLOAT", "")},
    "double precision": {("DOUBLE", "")},
    "boolean": {("BOOLEAN", "")},
    "date": {("INT32", "DATE")},
    "character varying": {("BYTE_ARRAY", "UTF8")},
    "character": {("BYTE_ARRAY", "UTF8")},
}
"""What loads into a column, as physical type and annotation: of the same width, as Spectrum wants it."""
_IN_SUPER = {
    ("INT32", "INT_16"), ("INT32", ""), ("INT32", "INT_32"), ("INT64", ""), ("INT64", "INT_64"),
    ("FLOAT", ""), ("DOUBLE", ""), ("BOOLEAN", ""), ("BYTE_ARRAY", "UTF8"),
}  # fmt: skip
_SCHEMA = """
SELECT name, coalesce(type, ''), coalesce(repetition_type, ''), coalesce(num_children, 0), coalesce(converted_type, ''),
       coalesce(precision, 0), coalesce(scale, 0), coalesce(logical_type, '')
FROM parquet_schema(?)
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A node of a file's schema: a column, or what stands in a nested one. `physical` is empty for a group."""

    name: str
    physical: str
    repetition: str
    annotation: str
    precision: int
    scale: int
    logical: str
    inner: tuple[Field, ...]

    def told(self, index: int) -> str:
        """How Spectrum shows a column."""
        optional = int(self.repetition == "OPTIONAL")
        kind = self.physical.lower() or "group"
        return f"{self.repetition.lower()} {kind} {self.name} [i:{index} d:{optional} r:0]"


class ParquetRows:
    """Rows of Parquet objects, checked against the columns. Raises `CopyFailed`, `NotSupported`."""

    def __init__(self, copy: Copy, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._checks = [_check(column, copy) for column in columns]
        if not copy.serialize and any(column.kind == "jsonb" for column in columns):
            raise CopyFailed("SUPER column in COPY query requires SERIALIZETOJSON option")

    def of(self, place: str, content: bytes) -> Iterator[str]:
        """The rows of one object, as lines for PostgreSQL's COPY in text form. Raises `BadRow`, `SpectrumError`."""
        try:
            import duckdb  # here: only a COPY of Parquet needs it, and it is slow to import
        except ImportError as error:
            raise NotSupported("COPY of Parquet without duckdb (pip install 'aetherstream[local]')") from error

        with TemporaryDirectory(prefix="aetherstream-parquet-") as folder, duckdb.connect() as reader:
            file = Path(folder, "object")
            file.write_bytes(content)
            reader.execute("SET autoinstall_known_extensions = false; SET threads = 1")
            try:
                fields = _fields(iter(reader.execute(_SCHEMA, [str(file)]).fetchall()))
                self._match(place, fields)
                reader.execute(self._query(), [str(file)])
                number = 0
                while rows := reader.fetchmany(_AT_ONCE):
                    for row in rows:
                        number += 1
                        yield self._line(place, number, row)
            except duckdb.Error as error:
                reason = str(error).partition("\n")[0].replace(str(file), place)
                raise SpectrumError(f"File '{place}' is no Parquet file that can be read: {reason}") from error

    def _match(self, place: str, fields: Sequence[Field]) -> None:
        if len(fields) != len(self._columns):
            raise SpectrumError(
                "Unmatched number of columns between table and file. "
                f"Table columns: {len(self._columns)}, Data columns: {len(fields)}, File name: {place}"
            )
        for index, (column, field) in enumerate(zip(self._columns, fields, strict=True)):
            if not _loads(column, field):
                raise SpectrumError(
                    f"File '{place}' has an incompatible Parquet schema for column '{place}.{field.name}'. "
                    f"Column type: {_shown(column)}, Parquet schema:\n{field.told(index)}"
                )

    def _query(self) -> str:
        # The columns get names of their own: those of a file may be equal, or differ in case alone.
        names = [f"c{index}" for index in range(len(self._columns))]
        values = [
            f"CAST({'to_json(' + name + ')' if column.kind == 'jsonb' else name} AS VARCHAR)"
            for name, column in zip(names, self._columns, strict=True)
        ]
        return f"SELECT {', '.join(values)} FROM read_parquet(?, hive_partitioning = false) AS t({', '.join(names)})"  # noqa: S608 (no name comes from outside)

    def _line(self, place: str, number: int, row: Sequence[str | None]) -> str:
        stored = []
        for column, check, value in zip(self._columns, self._checks, row, strict=True):
            try:
                stored.append(_kept(column, check, value))
            except BadValue as why:
                raise BadRow(place, number, column, "", why) from why
        return stored_line(stored)


def _kept(column: Column, check: Callable[[str], str | None], value: str | None) -> str | None:
    kept = None if value is None else check(value)
    if kept is None and column.required:
        raise BadValue(1213, f"Missing data for not-null field: {column.name}")
    return kept


def _check(column: Column, copy: Copy) -> Callable[[str], str | None]:
    if column.kind == "jsonb":
        nested = check_of(column, copy)
        return lambda value: nested(value.encode())
    if column.kind in ("timestamp with time zone", "time without time zone"):
        raise NotSupported(f'COPY of Parquet into a column of type {_shown(column)} ("{column.name}")')
    scalar = scalar_of(column, copy)
    if column.kind not in ("character varying", "character"):
        return scalar

    def text(value: str) -> str:
        length = len(value.encode())
        if length > column.sizes[0]:
            raise BadValue(
                15007,
                f"The length of the data column {column.name} is longer than the length defined in the table. "
                f"Table: {column.sizes[0]}, Data: {length}",
                value,
            )
        return scalar(value)

    return text


def _loads(column: Column, field: Field) -> bool:
    if column.kind == "jsonb":
        _check_nested(column, field)
        return True
    if field.inner:
        return False
    kind = (field.physical, field.annotation)
    if column.kind == "numeric":
        fits = field.physical in ("INT32", "INT64", "FIXED_LEN_BYTE_ARRAY") and field.annotation == "DECIMAL"
        return fits and (field.precision, field.scale) == column.sizes
    if column.kind == "timestamp without time zone":
        if field.logical.startswith("TimestampType") or field.physical == "INT96":
            if field.physical == "INT64" and field.logical == _MICROS:
                return True
            raise NotSupported(f'a Parquet timestamp other than local microseconds in INT64 ("{field.name}")')
        return False
    return kind in _PLAIN[column.kind]


def _check_nested(column: Column, field: Field) -> None:
    if field.inner:
        if field.annotation not in ("", "LIST"):
            raise NotSupported(f'a Parquet {field.annotation} in the SUPER column "{column.name}"')
        for inner in field.inner:
            _check_nested(column, inner)
    elif (field.physical, field.annotation) not in _IN_SUPER:
        said = f"{field.physical} {field.annotation}".strip()
        raise NotSupported(f'a Parquet {said} in the SUPER column "{column.name}"')


def _fields(rows: Iterator[tuple[str, str, str, int, str, int, int, str]]) -> tuple[Field, ...]:
    """The columns of a file, from its schema as a walk through the tree tells it."""

    def node() -> Field:
        name, physical, repetition, children, converted, precision, scale, logical = next(rows)
        inner = tuple(node() for _ in range(children))
        return Field(name, physical, repetition, converted, precision, scale, logical, inner)

    return node().inner


def _shown(column: Column) -> str:
    names = {
        "character varying": "VARCHAR", "character": "CHAR", "numeric": "DECIMAL",
        "timestamp with time zone": "TIMESTAMPTZ", "timestamp without time zone": "TIMESTAMP",
        "time without time zone": "TIME", "jsonb": "SUPER",
    }  # fmt: skip
    sizes = f"({', '.join(map(str, column.sizes))})" if column.sizes else ""
    return f"{names.get(column.kind, column.kind.upper())}{sizes}"
