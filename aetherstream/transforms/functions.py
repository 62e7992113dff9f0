"""The functions of the expression language: what each takes, what it gives for null, what it refuses."""

# ruff: noqa: D103 - `FUNCTIONS` says what each one does

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from ..errors import Rejected
from .convert import HIGHEST, LARGEST, LONGEST_TEXT, LOWEST, to_bool, to_float, to_int, to_str
from .describe import describe, kind
from .times import epoch_seconds, time_reader


class Function(NamedTuple):
    """One function."""

    call: Callable[..., Any] | None
    """None where the compiler writes code of its own for it."""
    least: int
    most: int
    """How few and how many arguments."""
    usage: str
    says: str


def text(value: Any, function: str) -> str:
    """Insist on a text."""
    if value.__class__ is not str:
        raise Rejected(f"{function} takes a text", f"{function} takes a text, not {describe(value)}")
    return value


def lower(x: Any) -> Any:
    return None if x is None else text(x, "lower").lower()


def upper(x: Any) -> Any:
    return None if x is None else text(x, "upper").upper()


def trim(x: Any) -> Any:
    return None if x is None else text(x, "trim").strip()


def length(x: Any) -> Any:
    if x is None:
        return None
    if x.__class__ not in {str, list, dict}:
        raise Rejected("len takes a text, list or object", f"len takes a text, list or object, not {describe(x)}")
    return len(x)


def integer(x: Any) -> Any:
    return None if x is None else to_int(x, "the argument of int")


def floating(x: Any) -> Any:
    return None if x is None else to_float(x, "the argument of float")


def string(x: Any) -> Any:
    return None if x is None else to_str(x, "the argument of str")


def boolean(x: Any) -> Any:
    return None if x is None else to_bool(x, "the argument of bool")


def number(value: Any, function: str) -> Any:
    """Insist on a finite number."""
    if value.__class__ not in {int, float} or not -LARGEST <= value <= LARGEST:
        raise Rejected(f"{function} takes a number", f"{function} takes a number, not {describe(value)}")
    return value


def rounded(x: Any, digits: Any = None) -> Any:
    if x is None:
        return None
    if digits is not None and (digits.__class__ is not int or not -20 <= digits <= 20):
        raise Rejected("round takes -20 to 20 digits", f"round takes -20 to 20 digits, not {describe(digits)}")
    return round(number(x, "round"), digits)


def floor(x: Any) -> Any:
    return None if x is None else math.floor(number(x, "floor"))


def ceil(x: Any) -> Any:
    return None if x is None else math.ceil(number(x, "ceil"))


def absolute(x: Any) -> Any:
    return None if x is None else abs(number(x, "abs"))


def startswith(x: Any, start: Any) -> bool:
    return x is not None and text(x, "startswith").startswith(text(start, "startswith"))


def endswith(x: Any, end: Any) -> bool:
    return x is not None and text(x, "endswith").endswith(text(end, "endswith"))


def contains(x: Any, part: Any) -> bool:
    if x is None:
        return False
    if x.__class__ is str:
        return text(part, "contains") in x
    if x.__class__ is not list:
        raise Rejected("contains takes a text or list", f"contains takes a text or list, not {describe(x)}")
    return part in x


def replace(x: Any, old: Any, new: Any) -> Any:
    if x is None:
        return None
    x, old, new = text(x, "replace"), text(old, "replace"), text(new, "replace")
    if len(x) + x.count(old) * (len(new) - len(old)) > LONGEST_TEXT:
        raise Rejected(
            "replace makes too long a text", f"replace would make a text of more than {LONGEST_TEXT} characters"
        )
    return x.replace(old, new)


def concat(*parts: Any) -> str:
    for place, part in enumerate(parts, start=1):
        if part is None:
            raise Rejected("concat of null", f"argument {place} of concat is null: write coalesce(…, '')")
    return "".join([to_str(part, "an argument of concat") for part in parts])


def substring(x: Any, start: Any, size: Any = None) -> Any:
    if x is None:
        return None
    if start.__class__ is not int or not (size is None or size.__class__ is int) or start < 0 or (size or 0) < 0:
        said = f"{describe(start)} and {describe(size)}"
        raise Rejected(
            "substring takes a text and numbers from 0", f"substring takes a start and size from 0, not {said}"
        )
    return text(x, "substring")[start : None if size is None else start + size]


read_iso8601 = time_reader(["iso8601"])


def time(x: Any, function: str) -> datetime:
    return read_iso8601(x, f"the argument of {function}")


def part_of_time(function: str, part: Callable[[datetime], Any]) -> Callable[[Any], Any]:
    def read(x: Any) -> Any:
        return None if x is None else part(time(x, function))

    return read


def multiply(a: Any, b: Any) -> Any:
    """`*` of numbers only: of a text it would build a text of any size."""
    if a.__class__ in {str, list} or b.__class__ in {str, list}:
        raise TypeError
    return a * b


def modulo(a: Any, b: Any) -> Any:
    """`%` of numbers only: of a text it would be formatting."""
    if a.__class__ is str:
        raise TypeError
    return a % b


def index(x: Any, position: int) -> Any:
    """An element of a list; null where there is none."""
    if x.__class__ is list and -len(x) <= position < len(x):
        return x[position]
    return None


def storable(value: Any) -> Any:
    """Let pass what JSON can hold: 64-bit integers, finite floats, texts of a sane size."""
    if value.__class__ is int:
        if LOWEST <= value <= HIGHEST:
            return value
        raise Rejected("the result exceeds 64 bits", "the result is an integer of more than 64 bits")
    if value.__class__ is float and not -LARGEST <= value <= LARGEST:
        raise Rejected("the result is no finite number", f"the result is {value!r}, which JSON cannot hold")
    if value.__class__ is str and len(value) > LONGEST_TEXT:
        raise Rejected("the result is too long", f"the result is a text of more than {LONGEST_TEXT} characters")
    return value


def least(*values: Any) -> Any:
    return min(values)


def greatest(*values: Any) -> Any:
    return max(values)


MANY = 50
FUNCTIONS: dict[str, Function] = {
    "lower": Function(lower, 1, 1, "lower(x)", "the text in lower case"),
    "upper": Function(upper, 1, 1, "upper(x)", "the text in upper case"),
    "trim": Function(trim, 1, 1, "trim(x)", "the text without white space around it"),
    "len": Function(length, 1, 1, "len(x)", "characters of a text, elements of a list, fields of an object"),
    "int": Function(integer, 1, 1, "int(x)", "as an integer; what would lose something is refused"),
    "float": Function(floating, 1, 1, "float(x)", "as a floating-point number"),
    "str": Function(string, 1, 1, "str(x)", "as a text; other values as their JSON"),
    "bool": Function(boolean, 1, 1, "bool(x)", "as a boolean: true, false, 1, 0"),
    "round": Function(rounded, 1, 2, "round(x, digits)", "rounded, halves to even"),
    "floor": Function(floor, 1, 1, "floor(x)", "the next integer below"),
    "ceil": Function(ceil, 1, 1, "ceil(x)", "the next integer above"),
    "abs": Function(absolute, 1, 1, "abs(x)", "without its sign"),
    "min": Function(least, 2, MANY, "min(x, y, …)", "the least; null is refused"),
    "max": Function(greatest, 2, MANY, "max(x, y, …)", "the greatest; null is refused"),
    "coalesce": Function(None, 2, MANY, "coalesce(x, y, …)", "the first that is not null"),
    "exists": Function(None, 1, 1, "exists(field)", "whether the field is there, be it null"),
    "startswith": Function(startswith, 2, 2, "startswith(x, 'a')", "whether the text starts so; null does not"),
    "endswith": Function(endswith, 2, 2, "endswith(x, 'a')", "whether the text ends so; null does not"),
    "contains": Function(contains, 2, 2, "contains(x, 'a')", "whether the text or list has it; null has not"),
    "matches": Function(None, 2, 2, "matches(x, '^[A-Z]+$')", "whether the regular expression is found; linear time"),
    "replace": Function(replace, 3, 3, "replace(x, 'a', 'b')", "all occurrences replaced"),
    "concat": Function(concat, 1, MANY, "concat(x, y, …)", "joined as texts; null is refused"),
    "substring": Function(substring, 2, 3, "substring(x, start, size)", "a part of the text, from 0"),
    "epoch": Function(part_of_time("epoch", epoch_seconds), 1, 1, "epoch(x)", "seconds since 1970 of an ISO 8601 time"),
    "year": Function(part_of_time("year", lambda t: t.year), 1, 1, "year(x)", "year in UTC of an ISO 8601 time"),
    "month": Function(part_of_time("month", lambda t: t.month), 1, 1, "month(x)", "month, 1 to 12"),
    "day": Function(part_of_time("day", lambda t: t.day), 1, 1, "day(x)", "day of the month"),
    "hour": Function(part_of_time("hour", lambda t: t.hour), 1, 1, "hour(x)", "hour, 0 to 23"),
    "minute": Function(part_of_time("minute", lambda t: t.minute), 1, 1, "minute(x)", "minute"),
    "weekday": Function(part_of_time("weekday", lambda t: t.isoweekday()), 1, 1, "weekday(x)", "1 (Monday) to 7"),
}
HELPERS: dict[str, Any] = {
    **{f"_f_{name}": function.call for name, function in FUNCTIONS.items() if function.call},
    "_multiply": multiply,
    "_modulo": modulo,
    "_index": index,
    "_storable": storable,
}
"""Names that generated code uses."""


def failure(error: Exception, operands: list[tuple[str, Any]]) -> tuple[str, str]:
    """Reason and message of a failed operation, from its operands' source and values."""
    if isinstance(error, Rejected):
        return error.reason, error.message
    if isinstance(error, ZeroDivisionError):
        return "division by zero", "division by zero"
    null = [source for source, value in operands if value is None]
    if null:
        field = null[0]
        return (
            f"{field} is null",
            f"{field} is null where a value is needed: write coalesce({field}, 0), or what it shall be",
        )
    kinds = " and ".join(dict.fromkeys(kind(value) for _, value in operands))
    shown = ", ".join(f"{source} is {describe(value)}" for source, value in operands)
    return f"does not work with {kinds}", f"does not work with {kinds}: {shown}"
