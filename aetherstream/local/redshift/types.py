"""Redshift's column types: how they are written, and what each is in PostgreSQL.

PostgreSQL counts the characters of a VARCHAR and Redshift its bytes, so such a column gets a constraint beside its
type.
"""

from __future__ import annotations

from dataclasses import dataclass

from aetherstream.local.redshift.errors import BYTES_CHECK, NotSupported, StandInError
from aetherstream.local.redshift.lexer import Reader, Token, quote

MAX_VARCHAR = 65535
"""AWS: VARCHAR(MAX), in bytes."""
MAX_CHAR = 4096
DEFAULT_LENGTH = 256
"""AWS: VARCHAR and TEXT without a length, in bytes."""
MAX_PRECISION = 38
MAX_SCALE = 37

_PLAIN = {
    "smallint": "smallint",
    "int2": "smallint",
    "integer": "integer",
    "int": "integer",
    "int4": "integer",
    "bigint": "bigint",
    "int8": "bigint",
    "real": "real",
    "float4": "real",
    "float8": "double precision",
    "float": "double precision",
    "boolean": "boolean",
    "bool": "boolean",
    "date": "date",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "super": "jsonb",
}
_VARYING = {"varchar", "nvarchar", "text"}
_FIXED = {"char", "character", "nchar", "bpchar"}


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What a column is in PostgreSQL; `check` is a condition with {0} for the column, or empty."""

    postgres: str
    check: str = ""

    def constraint(self, column: str) -> str:
        """The constraint of a column of this type, or nothing."""
        if not self.check:
            return ""
        return f"CONSTRAINT {quote(BYTES_CHECK + column)} CHECK ({self.check.format(quote(column))})"


def read_type(reader: Reader) -> ColumnType:
    """The type that comes next. Raises `StandInError` when Redshift or the stand-in has none such."""
    token = reader.next()
    name = token.name
    if name == "double":
        reader.expect("precision")
        return ColumnType("double precision")
    if name in ("time", "timestamp"):
        if reader.took("with", "time", "zone"):
            return ColumnType(f"{name} with time zone")
        reader.took("without", "time", "zone")
        if reader.peek().word == "(":
            raise NotSupported(f"{name.upper()} with a precision")
        return ColumnType(f"{name} without time zone")
    if name in ("decimal", "numeric"):
        return _numeric(reader)
    if name in _FIXED and not reader.took("varying"):
        # AWS: CHAR alone is CHAR(1), BPCHAR CHAR(256).
        length = _length(reader, DEFAULT_LENGTH if name == "bpchar" else 1, MAX_CHAR)
        return ColumnType(f"character({length})", "octet_length({0}::text) = char_length({0}::text)")
    if name in _VARYING | _FIXED:
        length = _length(reader, DEFAULT_LENGTH, MAX_VARCHAR)
        return ColumnType(f"character varying({length})", f"octet_length({{0}}) <= {length}")
    if name in _PLAIN and reader.peek().word != "(":
        return ColumnType(_PLAIN[name])
    raise NotSupported(f"the type {token.text.upper()}")


def _numeric(reader: Reader) -> ColumnType:
    if reader.peek().word != "(":
        return ColumnType("numeric(18,0)")  # AWS: the default of DECIMAL
    precision, *scale = [_number(token) for token in reader.bracket() if token.text != ","]
    digits = scale[0] if scale else 0
    if not (1 <= precision <= MAX_PRECISION and 0 <= digits <= min(precision, MAX_SCALE)):
        raise StandInError("22023", f"NUMERIC({precision},{digits}): the precision is 1-38, the scale 0-37 and no more")
    return ColumnType(f"numeric({precision},{digits})")


def _length(reader: Reader, default: int, most: int) -> int:
    if reader.peek().word != "(":
        return default
    (token,) = reader.bracket()
    length = most if token.word == "max" else _number(token)
    if not 1 <= length <= most:
        raise StandInError("22023", f"length for type must be between 1 and {most}: {length}")
    return length


def _number(token: Token) -> int:
    if not token.text.isdecimal():
        raise StandInError("42601", f'syntax error at or near "{token.text}": a number was expected')
    return int(token.text)
