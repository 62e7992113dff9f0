"""count, min, max."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..column import Column
from ..exact import Number
from ..scalars import normal
from ..serial import Reader, Writer
from ..usable import anything, numbers, present
from .base import Folding


class Count(Folding[int]):
    """The number of events; with a field, of those where it is neither missing nor null."""

    kind = "count"
    max_bytes = 11

    def __init__(self, *, of_field: bool = False) -> None:
        self.takes = of_field
        self.check = present if of_field else anything

    def with_field(self) -> Count:
        """Count where the field is there."""
        return Count(of_field=True)

    def fold(self, column: Column, /) -> int:
        """Count."""
        return len(column.values)

    def merge(self, a: int, b: int, /) -> int:
        """Add."""
        return a + b

    def result(self, acc: int, /) -> int:
        """An integer."""
        return acc

    def dump(self, acc: int, /) -> bytes:
        """Format 1: the count."""
        return Writer(1).uint(acc).done()

    def load(self, data: bytes, /) -> int:
        """Read it."""
        read = Reader(data, self.kind)
        count = read.uint()
        read.end()
        return count


class Extreme(NamedTuple):
    """The least or greatest number so far."""

    value: Number
    """An integer, wherever it is integral."""
    floats: bool
    """Whether any of the values was a float: then the result is one."""


class _Extreme(Folding[Extreme | None]):
    check = staticmethod(numbers)
    max_bytes = 140

    def __init__(self, of: Callable[[Sequence[Number]], Number]) -> None:
        self._of = of

    def fold(self, column: Column, /) -> Extreme | None:
        values = column.values
        if not values:
            return None
        if column.kind is int:
            return Extreme(self._of(values), False)
        return Extreme(normal(self._of(values)), column.kind is float or column.floats)

    def merge(self, a: Extreme | None, b: Extreme | None, /) -> Extreme | None:
        if a is None or b is None:
            return a or b
        return Extreme(self._of((a.value, b.value)), a.floats or b.floats)

    def result(self, acc: Extreme | None, /) -> Number | None:
        if acc is None or not acc.floats:
            return None if acc is None else acc.value
        as_float = float(acc.value)
        return as_float if as_float == acc.value else acc.value  # an integer too long for a double stays one

    def dump(self, acc: Extreme | None, /) -> bytes:
        out = Writer(1)
        return out.done() if acc is None else out.uint(acc.floats).scalar(acc.value).done()

    def load(self, data: bytes, /) -> Extreme | None:
        read = Reader(data, self.kind)
        if len(data) == 1:
            return None
        floats = bool(read.uint())
        value = read.scalar()
        read.end()
        return Extreme(value, floats)


class Min(_Extreme):
    """The least number; null where there is none."""

    kind = "min"

    def __init__(self) -> None:
        super().__init__(min)


class Max(_Extreme):
    """The greatest number; null where there is none."""

    kind = "max"

    def __init__(self) -> None:
        super().__init__(max)
