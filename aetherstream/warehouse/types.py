"""The column types of a contract, read as a pipeline file writes them and as Redshift's catalogue shows them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

TypeName = Literal[
    "smallint",
    "integer",
    "bigint",
    "decimal",
    "real",
    "double precision",
    "boolean",
    "char",
    "varchar",
    "date",
    "timestamp",
    "timestamptz",
    "super",
]

_LONGEST = {"char": 4096, "varchar": 65_535}
"""Redshift: most bytes of a column (`r_Character_types`)."""
_MAX_PRECISION, _MAX_SCALE = 38, 37
"""Redshift: `r_Numeric_types201`."""

# By the names that Redshift takes and those that its catalogue shows.
_NAMES: dict[str, TypeName] = {
    "smallint": "smallint",
    "int2": "smallint",
    "integer": "integer",
    "int": "integer",
    "int4": "integer",
    "bigint": "bigint",
    "int8": "bigint",
    "decimal": "decimal",
    "numeric": "decimal",
    "real": "real",
    "float4": "real",
    "double precision": "double precision",
    "float8": "double precision",
    "float": "double precision",
    "boolean": "boolean",
    "bool": "boolean",
    "char": "char",
    "character": "char",
    "nchar": "char",
    "bpchar": "char",
    "varchar": "varchar",
    "character varying": "varchar",
    "nvarchar": "varchar",
    "text": "varchar",
    "date": "date",
    "timestamp": "timestamp",
    "timestamp without time zone": "timestamp",
    "timestamptz": "timestamptz",
    "timestamp with time zone": "timestamptz",
    "super": "super",
}
_FORM = re.compile(r"([a-z][a-z0-9]*(?: [a-z]+)*) ?(?:\( ?(max|[0-9]{1,6}) ?(?:, ?([0-9]{1,6}) ?)?\))?")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type with its measure."""

    name: TypeName
    length: int = 0
    """Of char and varchar, bytes."""
    precision: int = 0
    """Of decimal: digits,"""
    scale: int = 0
    """and how many of them stand behind the point."""

    def __str__(self) -> str:
        if self.name == "decimal":
            return f"decimal({self.precision},{self.scale})"
        return f"{self.name}({self.length})" if self.length else self.name


def column_type(text: str) -> ColumnType:
    """Read a type, for example `varchar(64)`, `DECIMAL(12, 2)`, `character varying(256)`.

    What Redshift gives a type without a measure it has here: varchar(256), char(1), decimal(18,0); `text` is
    varchar(256). Raises ValueError, which says what is wrong.
    """
    found = _FORM.fullmatch(" ".join(text.lower().split()))
    name = _NAMES.get(found[1]) if found else None
    if found is None or name is None:
        raise ValueError(f"{text!r:.80} is no column type; there are {', '.join(sorted(set(_NAMES.values())))}")
    first, second = found[2], found[3]
    if name == "decimal" and first != "max":
        return _decimal(int(first or 18), int(second or 0))
    if name in _LONGEST and second is None and found[1] != "text":
        return _text(name, first)
    if first is not None:
        raise ValueError(f"{text!r:.80}: {found[1]} takes no {'pair of measures' if second else 'measure'}")
    return _text(name, None) if name == "varchar" else ColumnType(name)


def _decimal(precision: int, scale: int) -> ColumnType:
    if not 1 <= precision <= _MAX_PRECISION:
        raise ValueError(f"decimal: Redshift takes 1 to {_MAX_PRECISION} digits, not {precision}")
    if scale > min(precision, _MAX_SCALE):
        raise ValueError(f"decimal: {scale} digits behind the point; Redshift takes {min(precision, _MAX_SCALE)} here")
    return ColumnType("decimal", precision=precision, scale=scale)


def _text(name: TypeName, measure: str | None) -> ColumnType:
    default = 256 if name == "varchar" else 1
    longest = _LONGEST[name]
    length = default if measure is None else longest if measure == "max" and name == "varchar" else measure
    if length == "max" or not 1 <= int(length) <= longest:
        raise ValueError(f"{name}: Redshift takes 1 to {longest} bytes, not {length}")
    return ColumnType(name, length=int(length))
