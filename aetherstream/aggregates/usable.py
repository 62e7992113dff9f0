"""Which values an accumulator can use: found by column, quickly where all are as they should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from types import NoneType
from typing import Any

from ..errors import Rejected
from ..transforms.describe import describe
from .exact import LIMIT

LONGEST_TEXT = 256
"""Most UTF-8 bytes of a text that a state keeps (first, last, top_k): a state must stay small."""

Unusable = dict[int, Rejected]
"""Index → why the value there can't be used."""
Check = Callable[[Sequence[Any]], Unusable]
"""Finds what can't be used; the reasons name no field, the fold does."""


def anything(values: Sequence[Any], /) -> Unusable:  # noqa: ARG001 - a Check
    """Every event counts, whatever its values are."""
    return {}


def present(values: Sequence[Any], /) -> Unusable:
    """Take every value that is there."""
    failed = {NoneType, Rejected} & set(map(type, values))
    return {index: found for index, value in enumerate(values) if (found := _absent(value))} if failed else {}


def numbers(values: Sequence[Any], /) -> Unusable:
    """Take finite numbers within a double's range; a boolean is none."""
    kinds = set(map(type, values))
    if kinds <= {int, float, NoneType}:
        there = [value for value in values if value is not None] if NoneType in kinds else values
        if _all_finite(there, int in kinds):
            return present(values) if NoneType in kinds else {}
    return {index: found for index, value in enumerate(values) if (found := _no_number(value))}


def scalars(values: Sequence[Any], /) -> Unusable:
    """Take texts, numbers and booleans."""
    if set(map(type, values)) <= {str, int, bool}:
        return {}
    return {index: found for index, value in enumerate(values) if (found := _no_scalar(value))}


def short_scalars(values: Sequence[Any], /) -> Unusable:
    """Take scalars, texts up to `LONGEST_TEXT` bytes of UTF-8, numbers within a double's range."""
    kinds = set(map(type, values))
    if kinds <= {str} and len(max(values, key=len, default="")) * 4 <= LONGEST_TEXT:
        return {}
    return {index: found for index, value in enumerate(values) if (found := _no_short_scalar(value))}


def _all_finite(values: Sequence[Any], integers: bool) -> bool:
    try:
        return isfinite(sum(values)) and (not integers or (min(values) > -LIMIT and max(values) < LIMIT))
    except OverflowError:
        return False


def _absent(value: Any) -> Rejected | None:
    if value is None:
        return Rejected("missing", "it is missing or null")
    return value if isinstance(value, Rejected) else None


def _no_number(value: Any) -> Rejected | None:
    kind = value.__class__
    if (kind is int and -LIMIT < value < LIMIT) or (kind is float and isfinite(value)):
        return None
    return _absent(value) or Rejected("not a number", f"it is {describe(value)}, not a finite number")


def _no_scalar(value: Any) -> Rejected | None:
    if isinstance(value, str | int) or (isinstance(value, float) and isfinite(value)):
        return None
    return _absent(value) or Rejected("not a scalar", f"it is {describe(value)}, not a text, number or boolean")


def _no_short_scalar(value: Any) -> Rejected | None:
    if isinstance(value, str) and len(value) * 4 > LONGEST_TEXT:
        size = len(value.encode("utf-8", "surrogatepass"))
        return Rejected("too long", f"it has {size} bytes, more than {LONGEST_TEXT}") if size > LONGEST_TEXT else None
    if value.__class__ is int:
        return _no_number(value)
    return _no_scalar(value)
