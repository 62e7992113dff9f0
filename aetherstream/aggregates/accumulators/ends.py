"""first and last: by event time; of equal times the place in the stream decides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..column import Column, Place
from ..scalars import Scalar, decode_scalar, encode_scalar
from ..serial import Reader, Writer
from ..usable import short_scalars
from .base import Folding


class End(NamedTuple):
    """One value, and when and where it came; compares by that."""

    time: float
    place: Place
    data: bytes
    """The value as `encode_scalar` writes it."""


class _End(Folding[End | None]):
    check = staticmethod(short_scalars)
    max_bytes = 700
    """A shard id and a sequence number have up to 128 and 129 characters (AWS), the value 257 bytes."""

    def fold(self, column: Column, /) -> End | None:
        if not len(column):
            return None
        times = column.times
        time = self._of(times)
        found: End = self._of(
            End(time + 0.0, column.place(index), encode_scalar(column.values[index]))
            for index, when in enumerate(times)
            if when == time
        )
        return found

    def merge(self, a: End | None, b: End | None, /) -> End | None:
        if a is None or b is None:
            return a or b
        found: End = self._of((a, b))
        return found

    def result(self, acc: End | None, /) -> Scalar:
        return None if acc is None else decode_scalar(acc.data)

    def dump(self, acc: End | None, /) -> bytes:
        out = Writer(1)
        if acc is None:
            return out.done()
        shard, sequence, sub, nth = acc.place
        return out.double(acc.time).text(shard).text(sequence).uint(sub).uint(nth).blob(acc.data).done()

    def load(self, data: bytes, /) -> End | None:
        read = Reader(data, self.kind)
        if len(data) == 1:
            return None
        time = read.double()
        found = End(time, (read.text(), read.text(), read.uint(), read.uint()), read.blob())
        read.end()
        return found

    def _of(self, values: Iterable[Any]) -> Any:
        raise NotImplementedError


class First(_End):
    """The value of the earliest event; null where there is none."""

    kind = "first"

    def _of(self, values: Iterable[Any]) -> Any:
        return min(values)


class Last(_End):
    """The value of the latest event; null where there is none."""

    kind = "last"

    def _of(self, values: Iterable[Any]) -> Any:
        return max(values)
