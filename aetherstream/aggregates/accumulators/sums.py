"""sum, mean, variance, stddev, rate: on exact sums, so each result is the true one, rounded once."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from ..column import Column
from ..exact import (
    EXACT_BYTES,
    SQUARES_BYTES,
    Exact,
    Number,
    get_exact,
    plus,
    put_exact,
    quotient,
    rounded,
    total,
    total_of_squares,
)
from ..serial import Reader, Writer
from ..usable import anything, numbers
from .base import Folding


class Sum(Folding[Exact | None]):
    """The sum of the numbers: an integer of any size if all are, else the nearest double; null of no numbers."""

    kind = "sum"
    check = staticmethod(numbers)
    max_bytes = EXACT_BYTES

    def fold(self, column: Column, /) -> Exact | None:
        """Add up."""
        return column.total if len(column) else None

    def merge(self, a: Exact | None, b: Exact | None, /) -> Exact | None:
        """Add."""
        if a is None or b is None:
            return a or b
        return plus(a, b)

    def result(self, acc: Exact | None, /) -> Number | None:
        """The sum."""
        return None if acc is None else rounded(acc)

    def dump(self, acc: Exact | None, /) -> bytes:
        """Format 1: nothing, or the sum."""
        out = Writer(1)
        return out.done() if acc is None else put_exact(out, acc).done()

    def load(self, data: bytes, /) -> Exact | None:
        """Read it."""
        read = Reader(data, self.kind)
        if len(data) == 1:
            return None
        found = get_exact(read)
        read.end()
        return found


class Counted(NamedTuple):
    """How many numbers, and their sum."""

    numbers: int
    sum: Exact


class Mean(Folding[Counted]):
    """The arithmetic mean, a float; null of no numbers."""

    kind = "mean"
    check = staticmethod(numbers)
    max_bytes = 10 + EXACT_BYTES

    def fold(self, column: Column, /) -> Counted:
        """Count and add up."""
        return Counted(len(column.values), column.total)

    def merge(self, a: Counted, b: Counted, /) -> Counted:
        """Add."""
        return Counted(a.numbers + b.numbers, plus(a.sum, b.sum))

    def result(self, acc: Counted, /) -> float | None:
        """The mean."""
        return quotient(acc.sum.mantissa, acc.numbers << acc.sum.shift) if acc.numbers else None

    def dump(self, acc: Counted, /) -> bytes:
        """Format 1: the count, the sum."""
        return put_exact(Writer(1).uint(acc.numbers), acc.sum).done()

    def load(self, data: bytes, /) -> Counted:
        """Read it."""
        read = Reader(data, self.kind)
        found = Counted(read.uint(), get_exact(read))
        read.end()
        return found


class Moments(NamedTuple):
    """How many numbers, their sum, and that of their squares."""

    numbers: int
    sum: Exact
    squares: Exact


class Variance(Folding[Moments]):
    """The variance, a float: of the sample (divided by n - 1; null below two numbers), or of the population (by n)."""

    kind = "variance"
    check = staticmethod(numbers)
    max_bytes = 10 + EXACT_BYTES + SQUARES_BYTES

    def __init__(self, *, population: bool = False) -> None:
        self._less = 0 if population else 1

    def fold(self, column: Column, /) -> Moments:
        """Count, add up, add up the squares."""
        return Moments(len(column), column.total, total_of_squares(column.values))

    def merge(self, a: Moments, b: Moments, /) -> Moments:
        """Add."""
        return Moments(a.numbers + b.numbers, plus(a.sum, b.sum), plus(a.squares, b.squares))

    def result(self, acc: Moments, /) -> float | None:
        """(n Σx² - (Σx)²) / (n (n - less)), in integers up to the division, so nothing is cancelled out."""
        count = acc.numbers
        if count <= self._less:
            return None
        shift = max(2 * acc.sum.shift, acc.squares.shift)
        squares = count * acc.squares.mantissa << (shift - acc.squares.shift)
        square = acc.sum.mantissa**2 << (shift - 2 * acc.sum.shift)
        return quotient(squares - square, count * (count - self._less) << shift)

    def dump(self, acc: Moments, /) -> bytes:
        """Format 1: the count, the sum, the sum of the squares."""
        return put_exact(put_exact(Writer(1).uint(acc.numbers), acc.sum), acc.squares).done()

    def load(self, data: bytes, /) -> Moments:
        """Read it."""
        read = Reader(data, self.kind)
        found = Moments(read.uint(), get_exact(read), get_exact(read))
        read.end()
        return found


class StdDev(Variance):
    """The square root of the variance."""

    kind = "stddev"

    def result(self, acc: Moments, /) -> float | None:
        """The standard deviation."""
        variance = super().result(acc)
        return None if variance is None else sqrt(variance)


class Rated(NamedTuple):
    """What happened, and between which event times."""

    sum: Exact
    first: float
    last: float


class Rate(Folding[Rated | None]):
    """Events, or the sum of a field, for each unit of time of the window.

    Args:
        of_field: Whether numbers are added up; else events are counted.
        per: The unit of time, seconds.
        length: Seconds of the window; None for a session, whose own length counts: from its first event to its last.
    """

    kind = "rate"
    max_bytes = 16 + EXACT_BYTES

    def __init__(self, *, of_field: bool = False, per: float = 1.0, length: float | None = None) -> None:
        self.takes = of_field
        self.check = numbers if of_field else anything
        self._of_field, self._per, self._length = of_field, per, length

    def with_field(self) -> Rate:
        """Add the field up."""
        return Rate(of_field=True, per=self._per, length=self._length)

    def within(self, length: float | None, /) -> Rate:
        """Take the windows' length."""
        return Rate(of_field=self._of_field, per=self._per, length=length)

    @property
    def spec(self) -> str:
        """What is added up decides."""
        return f"{self.kind}({'field' if self._of_field else 'events'})"

    def fold(self, column: Column, /) -> Rated | None:
        """Add up, and note the ends."""
        if not len(column):
            return None
        times = column.times
        return Rated(column.total if self._of_field else Exact(len(column), 0, False), min(times), max(times))

    def merge(self, a: Rated | None, b: Rated | None, /) -> Rated | None:
        """Add."""
        if a is None or b is None:
            return a or b
        return Rated(plus(a.sum, b.sum), min(a.first, b.first), max(a.last, b.last))

    def result(self, acc: Rated | None, /) -> float | None:
        """A float; null of no events, and of a session in which no time passed."""
        if acc is None:
            return None
        length = acc.last - acc.first if self._length is None else self._length
        if not length:
            return None
        per, seconds = total((self._per,)), total((length,))
        return quotient(
            acc.sum.mantissa * per.mantissa << seconds.shift, seconds.mantissa << (acc.sum.shift + per.shift)
        )

    def dump(self, acc: Rated | None, /) -> bytes:
        """Format 1: nothing, or the first time, the last, and the sum."""
        out = Writer(1)
        return out.done() if acc is None else put_exact(out.double(acc.first).double(acc.last), acc.sum).done()

    def load(self, data: bytes, /) -> Rated | None:
        """Read it."""
        read = Reader(data, self.kind)
        if len(data) == 1:
            return None
        first, last = read.double(), read.double()
        found = Rated(get_exact(read), first, last)
        read.end()
        return found
