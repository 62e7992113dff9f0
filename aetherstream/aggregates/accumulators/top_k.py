"""top_k: the most frequent values; exact up to a capacity, then within an error that is told."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...errors import ConfigurationError
from ..column import Column
from ..scalars import canonical, decode_scalar
from ..serial import Reader, Writer
from ..sketches.heavy import Heavy, bounded, merged
from ..usable import short_scalars
from .base import Folding


class TopK(Folding[Heavy]):
    """The most frequent values with their counts, the most frequent first; of equal counts the lesser bytes first.

    `[{"value": "JFK-LAX", "count": 30}]`. Exact while there are at most `capacity` different values in the window.
    Beyond that each entry has an `error`: its true count is `count` to `count + error`, and `error` is at most n /
    (capacity + 1) for n values. A value that is more frequent than that is never missing.

    Args:
        k: How many are delivered.
        capacity: How many are kept; by default ten times `k`, 256 at least. A value takes up to 269 bytes.

    Raises:
        ConfigurationError: an argument is out of its bounds.
    """

    kind = "top_k"
    check = staticmethod(short_scalars)

    def __init__(self, k: int = 10, capacity: int | None = None) -> None:
        self._k = k
        self._capacity = min(max(10 * k, 256), 1000) if capacity is None else capacity
        if not 1 <= k <= self._capacity <= 1000:
            raise ConfigurationError(
                f"top_k: k is {k}, capacity {self._capacity}; k can be 1 to 1000, "
                "and capacity k to 1000 (10 × k by default, 256 at least)"
            )
        self.max_bytes = 16 + 269 * self._capacity

    @property
    def spec(self) -> str:
        """How many are delivered does not matter."""
        return f"{self.kind}({self._capacity})"

    def fold(self, column: Column, /) -> Heavy:
        """Count."""
        values = column.values
        # Python holds True and 1 for equal, so they are written down before equal ones are taken together.
        if column.kind is bool or (column.kind is None and bool in set(map(type, values))):
            return bounded(Heavy(Counter(map(canonical, values)), 0), self._capacity)
        counts = {canonical(value): count for value, count in Counter(values).items()}
        return bounded(Heavy(counts, 0), self._capacity)

    def merge(self, a: Heavy, b: Heavy, /) -> Heavy:
        """Add up."""
        return merged(a, b, self._capacity)

    def result(self, acc: Heavy, /) -> list[dict[str, Any]]:
        """Ranked."""
        ranked = sorted(acc.counts.items(), key=lambda item: (-item[1], item[0]))[: self._k]
        told = {"error": acc.error} if acc.error else {}
        return [{"value": decode_scalar(value), "count": count, **told} for value, count in ranked]

    def error(self, acc: Heavy, /) -> float:
        """By how much each count may be too small."""
        return float(acc.error)

    def dump(self, acc: Heavy, /) -> bytes:
        """Format 1: the error, then the sorted values with their counts."""
        out = Writer(1).uint(acc.error).uint(len(acc.counts))
        for value in sorted(acc.counts):
            out.blob(value).uint(acc.counts[value])
        return out.done()

    def load(self, data: bytes, /) -> Heavy:
        """Read it."""
        read = Reader(data, self.kind)
        error = read.uint()
        counts = {read.blob(): read.uint() for _ in range(read.uint())}
        read.end()
        return Heavy(counts, error)
