"""Values of a JSON row as Redshift's COPY takes them: checked, and as text for PostgreSQL's COPY.

Where it is not documented what Redshift does with a value, it is refused: what loads here has a documented reason to
load there. Codes are those of AWS's "Load error reference".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Any

import msgspec

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.errors import NotSupported

MAX_SUPER_BYTES = 16_000_000
MAX_SUPER_STRING_BYTES = 65535
NULL_AS = r"\N"
"""AWS: what COPY reads as NULL where NULL AS is not given."""
MAX_ROW_BYTES = 4 * 1024 * 1024
"""AWS: of a JSON object, for COPY."""

_INTEGER = re.compile(r"[+-]?\d+\Z", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)\Z", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_TIME = re.compile(r"(\d\d:\d\d:\d\d)(\.\d{1,6})?\Z", re.ASCII)
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d{1,6})?([+-]\d\d(?::?\d\d)?)?\Z", re.ASCII)
_TRUE = {"1", "t", "true", "y", "yes"}
_FALSE = {"0", "f", "false", "n", "no"}
_RANGES = {"smallint": 15, "integer": 31, "bigint": 63}
_FLOATS = {
    "real": (1.1754943508222875e-38, 3.4028234663852886e38),
    "double precision": (2.2250738585072014e-308, 1.7976931348623157e308),
}
_EXACT = Context(prec=400)


class BadValue(Exception):
    """A value that keeps its row from loading: code and words of AWS's load error reference."""

    def __init__(self, code: int, reason: str, raw: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.raw = raw


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table that is loaded, with its type as PostgreSQL's format_type writes it."""

    name: str
    type: str
    required: bool = False
    default: bool = False
    identity: bool = False

    @property
    def kind(self) -> str:
        """The type without its length."""
        return re.sub(r"\([^)]*\)", "", self.type)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Length, or precision and scale."""
        found = re.search(r"\(([\d,]+)\)", self.type)
        return tuple(map(int, found[1].split(","))) if found else ()


Check = Callable[[bytes], str | None]
"""Takes the JSON text of a value, gives what PostgreSQL stores, None for NULL; raises `BadValue`."""


def check_of(column: Column, copy: Copy) -> Check:
    """The check of a column's values. Raises `NotSupported` when no COPY of the stand-in loads such a type."""
    if column.kind == "jsonb":
        return _super
    scalar = scalar_of(column, copy)
    textual = column.kind in ("character varying", "character")

    def check(raw: bytes) -> str | None:
        if raw == b"null":
            return None
        if raw[:1] in b"{[":
            raise BadValue(1216, "Invalid input line: a nested value in a column that is not SUPER", raw.decode())
        value = _string(raw) if raw[:1] == b'"' else raw.decode()
        if value == NULL_AS:
            return None
        if textual:
            if (copy.empty_as_null and not value) or (copy.blanks_as_null and value and value.isspace()):
                return None
        elif not value:
            return None  # AWS: empty fields of other types are always loaded with NULL
        try:
            return scalar(value)
        except BadValue as error:
            error.raw = error.raw or value
            raise

    return check


def scalar_of(column: Column, copy: Copy) -> Callable[[str], str]:
    """The check of a value's text: gives what PostgreSQL stores, raises `BadValue`. SUPER has none, `NotSupported`."""
    kind, sizes = column.kind, column.sizes
    if kind == "character varying":
        return lambda value: _varchar(value, sizes[0], copy.truncate_columns)
    if kind == "character":
        return lambda value: _char(value, sizes[0], copy.truncate_columns)
    if kind in _RANGES:
        return lambda value: _integer(value, kind)
    if kind == "numeric":
        return lambda value: _numeric(value, sizes[0], sizes[1], ROUND_HALF_UP if copy.round_decimals else ROUND_DOWN)
    if kind in ("real", "double precision"):
        return lambda value: _float(value, kind)
    if kind == "boolean":
        return _boolean
    if kind == "date":
        return _day
    if kind == "time without time zone":
        return _time_of_day
    if kind in ("timestamp without time zone", "timestamp with time zone"):
        return lambda value: _timestamp(value, kind.endswith("with time zone"), copy.time_format)
    raise NotSupported(f'COPY into a column of type {column.type} ("{column.name}")')


def _string(raw: bytes) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadValue(
            1220, "String contains invalid or unsupported UTF8 codepoints.", raw.decode(errors="replace")
        ) from error


def _varchar(value: str, length: int, cut: bool) -> str:
    if "\0" in value:
        raise BadValue(1214, "VARCHAR field error: NUL character")
    encoded = value.encode()
    if len(encoded) <= length:
        return value
    kept = encoded[:length].decode(errors="ignore")
    if cut or not encoded[length:].strip(b" "):
        return kept
    raise BadValue(1204, "String length exceeds DDL length")


def _char(value: str, length: int, cut: bool) -> str:
    if "\0" in value:
        raise BadValue(1215, "CHAR field error: NUL character")
    if not value.isascii():
        shown = next(letter for letter in value if ord(letter) > 127).encode().hex(" ")
        raise BadValue(
            1220, f"Multibyte character not supported for CHAR (Hint: try using VARCHAR). Invalid char: {shown}"
        )
    if len(value) > length and not cut and value[length:].strip(" "):
        raise BadValue(1204, "String length exceeds DDL length")
    return value[:length]


def _integer(value: str, kind: str) -> str:
    if not _INTEGER.match(value):
        at = next((index for index, letter in enumerate(value) if not letter.isdecimal()), 0)
        raise BadValue(1207, f"Invalid digit, Value {value[at : at + 1]!r}, Pos {at}, Type: {kind.capitalize()}")
    limit = 1 << _RANGES[kind]
    # More digits than any of them has can't be read as a number in reasonable time.
    if len(value) > 400 or not -limit <= int(value) < limit:
        raise BadValue(1204, f"Overflow, Type: {kind.capitalize()}")
    return value


def _numeric(value: str, precision: int, scale: int, rounding: str) -> str:
    if not _DECIMAL.match(value) or len(value) > 300:
        raise BadValue(1209, "DECIMAL data type format error")
    number = Decimal(value).quantize(Decimal(1).scaleb(-scale), rounding, _EXACT)
    # AWS: a decimal of 19 digits is a 64-bit integer.
    limit = Decimal(2**63).scaleb(-scale) if precision == 19 else Decimal(10) ** (precision - scale)
    if abs(number) >= limit:
        raise BadValue(1204, f"Numeric data overflow: DECIMAL({precision},{scale})")
    return f"{number:f}"


def _float(value: str, kind: str) -> str:
    if not _FLOAT.match(value):
        raise BadValue(1208, "FLOAT data type format error")
    number = abs(float(value))
    # What becomes of subnormal numbers is not documented.
    least, most = _FLOATS[kind]
    if (number and not least <= number <= most) or (not number and re.match(r"[^eE]*[1-9]", value)):
        raise BadValue(1204, f"Overflow or underflow, Type: {kind}")
    return value


def _boolean(value: str) -> str:
    word = value.lower()
    if word not in _TRUE | _FALSE:
        raise BadValue(1210, "BOOLEAN data type format error")
    return "t" if word in _TRUE else "f"


def _day(value: str) -> str:
    if not _DATE.match(value) or not _is(date.fromisoformat, value):
        raise BadValue(1205, "Invalid date format - length must be 10 or more")
    return value


def _time_of_day(value: str) -> str:
    found = _TIME.match(value)
    if not found or not _is(time.fromisoformat, found[1]):
        raise BadValue(1206, "Invalid time format or value")
    return value


def _timestamp(value: str, zoned: bool, form: str) -> str:
    if form in ("epochsecs", "epochmillisecs"):
        return _epoch(value, 1_000_000 if form == "epochsecs" else 1_000)
    found = _TIMESTAMP.match(value)
    # An hour of 24 and a second of 60 are valid for PostgreSQL alone.
    if not found or (found[4] and not zoned) or not _is(datetime.fromisoformat, f"{found[1]} {found[2]}"):
        raise BadValue(1206, f"Invalid timestamp format or value [{form or 'YYYY-MM-DD HH24:MI:SS'}]")
    if found[4] and int(found[4][1:3]) > 15:
        raise BadValue(1206, "Invalid timestamp format or value: the offset")
    return value


def _epoch(value: str, microseconds: int) -> str:
    if not _INTEGER.match(value) or len(value) > 18:
        raise BadValue(1206, "Invalid timestamp format or value [epoch]")
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(value) * microseconds)
    except OverflowError as error:
        raise BadValue(1206, "Invalid timestamp format or value [epoch]") from error
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")


def _super(raw: bytes) -> str | None:
    if raw == b"null":
        return None
    if len(raw) > MAX_SUPER_BYTES:
        raise BadValue(1204, "SUPER value exceeds the maximum of 16 MB")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadValue(1216, "Invalid input line: SUPER value", raw[:1024].decode(errors="replace")) from error
    _check_super(value)
    return raw.decode()


def _check_super(value: Any) -> None:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part.keys()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str):
            if "\0" in part:
                raise BadValue(1220, "NUL character in a SUPER value", part[:1024])
            if len(part.encode()) > MAX_SUPER_STRING_BYTES:
                raise BadValue(1224, "String value exceeds the max size of 65535 bytes", part[:1024])
        elif isinstance(part, int) and not -(10**38) < part < 10**38:
            raise BadValue(1204, "Number of more than 38 digits in a SUPER value")


def _is(parse: Callable[[str], object], value: str) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True
