"""Groups: their values, made comparable by column, and as canonical text.

Equal numbers are one group (1 and 1.0, written 1); `true` and 1 are two; a missing field groups with null.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import isfinite
from types import NoneType
from typing import Any

import orjson

from ..errors import Rejected
from ..transforms.convert import HIGHEST, LOWEST
from ..transforms.describe import describe
from .scalars import normal

LONGEST_GROUP = 1024
"""Most UTF-8 bytes of one value of a group: it becomes part of keys (DynamoDB: a sort key has up to 1024 bytes)."""


class _Boolean:
    """Stands for a boolean among numbers, which Python holds for equal."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


class _Float(float):
    """A float that orjson leaves to `repr`, whose text is the same with every version."""

    __slots__ = ()


_BOOLEANS = {True: _Boolean(True), False: _Boolean(False)}


def comparable(values: Sequence[Any], unusable: dict[int, Rejected]) -> Sequence[Hashable]:
    """Give values of which those are equal that make one group; note what can be no part of a group.

    Values that are noted stand as null; the caller leaves their events out.
    """
    if _all_short_texts(values):
        return values
    kinds = set(map(type, values))
    if kinds <= {str, NoneType} and _all_short_texts([value for value in values if value is not None]):
        return values
    if kinds <= {int, NoneType} and all(value is None or LOWEST <= value <= HIGHEST for value in values):
        return values
    return [_comparable(index, value, unusable) for index, value in enumerate(values)]


def group_text(parts: Sequence[Hashable]) -> str:
    """Write a group as a JSON array, for example `["AA","JFK"]`: equal groups, equal texts."""
    return orjson.dumps(parts, default=_value).decode()


def group_values(text: str) -> list[Any]:
    """Read what `group_text` wrote."""
    values: list[Any] = orjson.loads(text)
    return values


def _value(part: Any) -> Any:
    if isinstance(part, _Boolean):
        return part.value
    if isinstance(part, _Float):
        return orjson.Fragment(float.__repr__(part))
    raise TypeError(f"{type(part).__name__} is no part of a group")


def _all_short_texts(values: Sequence[Any]) -> bool:
    try:
        "".join(values).encode()
    except (TypeError, UnicodeEncodeError):  # one of them is no text, or none that UTF-8 can write
        return False
    return max(map(len, values), default=0) * 4 <= LONGEST_GROUP


def _comparable(index: int, value: Any, unusable: dict[int, Rejected]) -> Hashable:
    match value:
        case None:
            return None
        case bool():
            return _BOOLEANS[value]
        case str():
            try:
                size = len(value.encode())
            except UnicodeEncodeError:
                unusable[index] = Rejected("not a group", "it is a text that UTF-8 can't write")
                return None
            if size > LONGEST_GROUP:
                unusable[index] = Rejected("too long", f"it has {size} bytes, more than {LONGEST_GROUP}")
                return None
            return value
        case int() if LOWEST <= value <= HIGHEST:
            return value
        case float() if isfinite(value):
            number: int | float = normal(value)
            return number if isinstance(number, int) and LOWEST <= number <= HIGHEST else _Float(value)
        case Rejected():
            unusable[index] = value
        case _:
            unusable[index] = Rejected("not a group", f"it is {describe(value)}: group by texts, numbers, booleans")
    return None
