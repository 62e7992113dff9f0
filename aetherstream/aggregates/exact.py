"""Sums of integers and floats without any rounding, so that the order of adding can't show.

Every finite double is an integer divided by a power of two, and so is every sum of them: that quotient, cancelled, is
the state. It is unique for its value, hence canonical, and small: its bits span from the largest value to the smallest
digit. Rounding happens once, when a result is asked for, to the nearest double.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum
from typing import NamedTuple

from .serial import Reader, Writer

Number = int | float

LIMIT = 1 << 1023
"""Integers of this size and more are no usable numbers: they would make states of any size."""
EXACT_BYTES = 300
"""Most bytes of a sum: 1024 bits before the point, 1074 behind it, 64 for the number of values, and the lengths."""
SQUARES_BYTES = 560
"""Most bytes of a sum of squares."""


class Exact(NamedTuple):
    """`mantissa / 2**shift`, cancelled."""

    mantissa: int
    shift: int
    floats: bool
    """Whether any of the values was a float: then the result is one, also where it is integral."""


ZERO = Exact(0, 0, False)


def total(values: Sequence[Number], kind: type | None = None) -> Exact:
    """Add up finite numbers, all of one kind (int, float) where the caller knows it."""
    if kind is None:
        kinds = set(map(type, values))
        kind = kinds.pop() if len(kinds) == 1 else None if kinds else int
    if kind is int:
        return Exact(sum(values), 0, False)  # type: ignore[arg-type]
    if kind is float:
        return _of_floats(values)
    whole = sum(value for value in values if value.__class__ is int)
    part = _of_floats([value for value in values if value.__class__ is float])
    return plus(part, Exact(int(whole), 0, False))


def total_of_squares(values: Sequence[Number]) -> Exact:
    """Add up the squares of finite numbers."""
    ratios = [value.as_integer_ratio() for value in values]
    common = max((denominator for _, denominator in ratios), default=1)
    floats = float in set(map(type, values))
    squares = sum((numerator * (common // denominator)) ** 2 for numerator, denominator in ratios)
    return _cancelled(squares, 2 * (common.bit_length() - 1), floats)


def plus(a: Exact, b: Exact) -> Exact:
    """Add two sums."""
    if a.shift == b.shift == 0:
        return Exact(a.mantissa + b.mantissa, 0, a.floats or b.floats)
    shift = max(a.shift, b.shift)
    mantissa = (a.mantissa << (shift - a.shift)) + (b.mantissa << (shift - b.shift))
    return _cancelled(mantissa, shift, a.floats or b.floats)


def rounded(sum_: Exact) -> Number | None:
    """Give a sum as an integer, if all its values were; else as the nearest double, or None beyond the largest."""
    return quotient(sum_.mantissa, 1 << sum_.shift) if sum_.floats else sum_.mantissa


def quotient(numerator: int, denominator: int) -> float | None:
    """Divide integers of any size, rounded once, to the nearest double; None beyond the largest."""
    try:
        return numerator / denominator
    except OverflowError:
        return None


def put_exact(out: Writer, sum_: Exact) -> Writer:
    """Write a sum."""
    return out.uint(sum_.shift << 1 | sum_.floats).sint(sum_.mantissa)


def get_exact(data: Reader) -> Exact:
    """Read a sum."""
    head = data.uint()
    return Exact(data.sint(), head >> 1, bool(head & 1))


def _of_floats(values: Sequence[float]) -> Exact:
    try:
        first = fsum(values)
        # fsum is exact but for one rounding, at its end. What that left over is the next part; two usually are all.
        second = fsum([-first, *values])
        if second:
            parts = [first, second]
            negative = [-first, -second]
            while rest := fsum([*negative, *values]):
                parts.append(rest)
                negative.append(-rest)
    except OverflowError:  # on the way, or at the end
        return _of_ratios(values)
    numerator, denominator = first.as_integer_ratio()
    if not second:
        return Exact(numerator, denominator.bit_length() - 1, True)
    if len(parts) == 2:
        other, finer = second.as_integer_ratio()
        # What is left over is less than the last digit of the first. Its numerator is odd, so the sum's is: nothing to
        # cancel.
        if finer > denominator:
            return Exact(numerator * (finer // denominator) + other, finer.bit_length() - 1, True)
    return _of_ratios(parts)


def _of_ratios(values: Iterable[float]) -> Exact:
    mantissa = shift = 0
    for value in values:
        numerator, denominator = value.as_integer_ratio()
        places = denominator.bit_length() - 1
        if places > shift:
            mantissa <<= places - shift
            shift = places
        mantissa += numerator << (shift - places)
    return _cancelled(mantissa, shift, True)


def _cancelled(mantissa: int, shift: int, floats: bool) -> Exact:
    if not shift:
        return Exact(mantissa, 0, floats)
    zeros = (mantissa & -mantissa).bit_length() - 1 if mantissa else shift
    cut = min(zeros, shift)
    return Exact(mantissa >> cut, shift - cut, floats)
