"""What a column of each type takes, one value at a time: this is the definition, quick ways are held against it. Pure.

`write` gives the form in which a value is staged: COPY `FORMAT JSON 'auto'` with `TIMEFORMAT 'auto'` loads it into the
column unaltered. Null is not looked at here. What is refused would make a COPY fail, or be changed by it without a
word: rounded, cut, read in another zone. Where Redshift's own reading is not documented, refusing is the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import orjson

from aetherstream.encoded import encode
from aetherstream.transforms.convert import FLOAT
from aetherstream.transforms.describe import kind
from aetherstream.warehouse.types import ColumnType, TypeName

INTEGERS: dict[TypeName, tuple[int, int]] = {
    "smallint": (-(2**15), 2**15 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
# The normal numbers. What becomes of subnormal ones in Redshift is not documented.
FLOATS: dict[TypeName, tuple[float, float]] = {
    "real": (1.1754943508222875e-38, 3.4028234663852886e38),
    "double precision": (2.2250738585072014e-308, 1.7976931348623157e308),
}
TRUE = frozenset({"t", "true", "y", "yes", "1"})
FALSE = frozenset({"f", "false", "n", "no", "0"})
"""Redshift: the texts of `r_Boolean_type`."""

COPY_NULL = r"\N"
"""Redshift: COPY's `NULL AS` where it is not given."""
LONGEST_INNER_TEXT = 65_535
"""Redshift: bytes of a text inside a SUPER value, of a key too."""
LARGEST_SUPER = 16_000_000
"""Redshift: bytes of a SUPER value (16 MB)."""
_SUPER_DIGITS = 10**38
_LARGEST_19 = 2**63 - 1
"""Redshift: a decimal of up to 19 digits is a 64-bit integer (`r_Numeric_types201`)."""

Write = Callable[[Any], Any]
"""Gives the staged form of a value that is not null; raises Unfit."""


class Unfit(Exception):
    """A value that the column does not take; says why, in words without the value."""


def writer(column: ColumnType) -> Write:
    """Return the `Write` of a type."""
    match column.name:
        case "smallint" | "integer" | "bigint":
            return _integer(column)
        case "real" | "double precision":
            return _float(column)
        case "decimal":
            return _decimal(column)
        case "char" | "varchar":
            return _text(column)
        case "boolean":
            return write_boolean
        case "date":
            return write_date
        case "timestamp":
            return lambda value: moment(value).isoformat(" ", "microseconds")[:-6]
        case "timestamptz":
            return lambda value: moment(value).isoformat(" ", "microseconds")[:-3]
        case "super":
            return write_super


def _integer(column: ColumnType) -> Write:
    low, high = INTEGERS[column.name]

    def write(value: Any) -> int:
        """Integers, floats without a fraction (JSON has one kind of number), and texts of digits."""
        if isinstance(value, bool):
            raise _wrong_kind(value, column)
        if isinstance(value, float):
            if not value.is_integer():
                raise Unfit("has a fraction" if math.isfinite(value) else "is not a finite number")
            value = int(value)
        elif isinstance(value, str):
            value = _whole(value, column)
        elif not isinstance(value, int):
            raise _wrong_kind(value, column)
        if not low <= value <= high:
            raise Unfit(f"is out of range for {column}")
        return int(value)

    return write


def _whole(text: str, column: ColumnType) -> int:
    digits = text.strip(" ")
    unsigned = digits[1:] if digits[:1] in ("+", "-") else digits
    if not (unsigned.isascii() and unsigned.isdigit()):
        raise Unfit(f"is a text that {column} can't hold")
    if len(unsigned.lstrip("0")) > 19:
        raise Unfit(f"is out of range for {column}")
    return int(digits)


def _float(column: ColumnType) -> Write:
    least, most = FLOATS[column.name]

    def write(value: Any) -> float:
        """Numbers and their texts; what is stored is the nearest number of the type."""
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise _wrong_kind(value, column)
        if isinstance(value, str) and not FLOAT.fullmatch(value := value.strip(" ")):
            raise Unfit(f"is a text that {column} can't hold")
        try:
            number = float(value)
        except OverflowError:
            raise Unfit(f"is out of range for {column}") from None
        if isinstance(value, float) and not math.isfinite(number):
            raise Unfit("is not a finite number")
        if number and not least <= abs(number) <= most:
            raise Unfit(f"is out of range for {column}")
        if not number and isinstance(value, str) and any(c in "123456789" for c in value.lower().partition("e")[0]):
            raise Unfit(f"is out of range for {column}")
        return number

    return write


def _decimal(column: ColumnType) -> Write:
    exact = Context(prec=column.precision, traps=[Inexact, InvalidOperation])
    unit = Decimal(1).scaleb(-column.scale)
    largest = Decimal(_LARGEST_19).scaleb(-column.scale) if column.precision == 19 else None

    def write(value: Any) -> str:
        """Numbers and their texts, exactly: a float stands for its shortest decimal form.

        As text without an exponent: a JSON number may pass through a double on its way.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise _wrong_kind(value, column)
        if isinstance(value, float) and not math.isfinite(value):
            raise Unfit("is not a finite number")
        if isinstance(value, str) and not FLOAT.fullmatch(value := value.strip(" ")):
            raise Unfit(f"is a text that {column} can't hold")
        number = Decimal(repr(value) if isinstance(value, float) else value)
        try:
            number = exact.quantize(number, unit)
        except Inexact:
            raise Unfit(f"has more than {column.scale} digits behind the point") from None
        except InvalidOperation:
            raise Unfit(f"is out of range for {column}") from None
        if largest is not None and abs(number) > largest:
            raise Unfit(f"is out of range for {column}: its 19 digits are a 64-bit integer")
        return format(number, "f")

    return write


def _text(column: ColumnType) -> Write:
    length, single = column.length, column.name == "char"

    def write(value: Any) -> str:
        """Texts; of other values their JSON, as COPY would write it. Bytes count."""
        if not isinstance(value, str):
            value = _json_text(value)
        if single and not value.isascii():
            raise Unfit("has a character of more than one byte, which char can't hold")
        try:
            size = len(value) if value.isascii() else len(value.encode())
        except UnicodeEncodeError:
            raise Unfit("has a lone surrogate, which UTF-8 has not") from None
        if size > length:
            raise Unfit(f"is longer than {length} bytes")
        if "\0" in value:
            raise Unfit("has a NUL character")
        if value == COPY_NULL:
            raise Unfit("is \\N, which COPY reads as null")
        return str(value)

    return write


def _json_text(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise Unfit("is not a finite number")
    if isinstance(value, dict | list):
        check_inside(value)
    elif not isinstance(value, int | float):
        raise Unfit(f"is {kind(value)}, not text")
    return _encoded(value).decode()


def write_boolean(value: Any) -> bool:
    """`true` and `false`, 1 and 0, and the texts that Redshift takes for them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if isinstance(value, str):
        word = value.strip(" ").lower()
        if word in TRUE or word in FALSE:
            return word in TRUE
        raise Unfit("is a text that boolean can't hold")
    raise Unfit("is not true or false")


def write_date(value: Any) -> str:
    """Texts `2013-01-31`."""
    if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-":
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise Unfit("is no date of the form 2013-01-31")


def moment(value: Any) -> datetime:
    """Read ISO 8601 with its extended date: `2013-01-31T07:00:00.25+01:00`, also with a space, or the date alone.

    Without a zone it is UTC. The result is in UTC, what is finer than microseconds is cut: Redshift has none finer.
    Numbers, and texts of numbers, are no times: nobody could tell seconds from milliseconds.
    """
    # Without its hyphens the form would take epoch seconds in a text for a date.
    if isinstance(value, str) and value[4:5] + value[7:8] == "--" and value[10:11] in ("T", " ", ""):
        try:
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise Unfit("is no time in ISO 8601 of the years 1 to 9999")


def write_super(value: Any) -> Any:
    """Any value of JSON within the limits of SUPER."""
    check_inside(value)
    if len(_encoded(value)) > LARGEST_SUPER:
        raise Unfit(f"has more than {LARGEST_SUPER} bytes, which super can't hold")
    return value


def check_inside(value: Any) -> None:
    """Look at everything inside a nested value. Raises Unfit."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            waiting += one.keys()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str):
            _check_inner_text(one)
        elif isinstance(one, float):
            if not math.isfinite(one):
                raise Unfit("has a number inside that is not finite")
        elif isinstance(one, int):
            if not -_SUPER_DIGITS < one < _SUPER_DIGITS:
                raise Unfit("has a number of more than 38 digits inside")
        elif one is not None:  # of a Python step: what counts is how it is written
            waiting.append(orjson.loads(_encoded(one)))


def _check_inner_text(text: str) -> None:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise Unfit("has a lone surrogate inside, which UTF-8 has not") from None
    if size > LONGEST_INNER_TEXT:
        raise Unfit(f"has a text of more than {LONGEST_INNER_TEXT} bytes inside")
    if "\0" in text:
        raise Unfit("has a NUL character inside")


def _encoded(value: Any) -> bytes:
    try:
        return encode(value)
    except (TypeError, ValueError, RecursionError, orjson.JSONEncodeError):
        raise Unfit("can't be written as JSON") from None


def _wrong_kind(value: Any, column: ColumnType) -> Unfit:
    return Unfit(f"is {kind(value)}, which {column} can't hold")
