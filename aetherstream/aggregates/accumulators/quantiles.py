"""quantiles: by a DDSketch whose relative error is stated, and known at any time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ...errors import ConfigurationError
from ..column import Column
from ..serial import Reader, Writer
from ..sketches.relative import Bins, Relative, Sketch
from ..usable import numbers
from .base import Folding


class Quantiles(Folding[Sketch]):
    """Quantiles of the numbers: `{"p50": 12.0, "p95": 61.3}`, null of no numbers.

    The q-quantile of n numbers is the one with rank floor(q (n - 1)), counted from 0. Each answer is within the
    relative error of that number: `accuracy` as long as the bins suffice (1024 bins of 1 % hold positive numbers from 1
    to 600,000,000), then `error` says which.

    Args:
        at: The quantiles, 0 to 1.
        accuracy: Relative error.
        max_bins: Most bins; a bin takes 2 to 5 bytes, 13 at most.

    Raises:
        ConfigurationError: an argument is out of its bounds.
    """

    kind = "quantiles"
    check = staticmethod(numbers)

    def __init__(self, at: Sequence[float] = (0.5, 0.95, 0.99), accuracy: float = 0.01, max_bins: int = 1024) -> None:
        if not at or not all(0 <= q <= 1 for q in at):
            raise ConfigurationError(f"quantiles: at is {list(at)}; name one or more numbers from 0 to 1")
        if not 0.001 <= accuracy <= 0.1:
            raise ConfigurationError(f"quantiles: accuracy is {accuracy}; it can be 0.001 to 0.1")
        if not 64 <= max_bins <= 8192:
            raise ConfigurationError(f"quantiles: max_bins is {max_bins}; it can be 64 to 8192")
        self._at = {label(q): Fraction(str(q)) for q in sorted(at)}
        self._accuracy, self._max_bins = accuracy, max_bins
        self._bins = Relative(accuracy, max_bins)
        self.max_bytes = 32 + 13 * max_bins

    @property
    def spec(self) -> str:
        """Which quantiles are asked for does not matter."""
        return f"{self.kind}({self._accuracy!r},{self._max_bins})"

    def fold(self, column: Column, /) -> Sketch:
        """Find each number's bin."""
        return self._bins.sketch(column.values)

    def merge(self, a: Sketch, b: Sketch, /) -> Sketch:
        """Add up the bins."""
        return self._bins.merge(a, b)

    def result(self, acc: Sketch, /) -> dict[str, float | None]:
        """Each quantile by its label."""
        count = acc.size
        if not count:
            return dict.fromkeys(self._at)
        ranks = [int(q * (count - 1)) for q in self._at.values()]
        return dict(zip(self._at, self._bins.at_ranks(acc, ranks), strict=True))

    def error(self, acc: Sketch, /) -> float:
        """Relative error of every quantile."""
        return self._bins.accuracy(acc.level)

    def dump(self, acc: Sketch, /) -> bytes:
        """Format 1: level, zeros, then the negative and the positive bins: first key, distances and counts."""
        out = Writer(1).uint(acc.level).uint(acc.zeros)
        for bins in (acc.negative, acc.positive):
            out.uint(len(bins))
            before = None
            for key in sorted(bins):
                out = out.sint(key) if before is None else out.uint(key - before)
                out.uint(bins[key])
                before = key
        return out.done()

    def load(self, data: bytes, /) -> Sketch:
        """Read it."""
        read = Reader(data, self.kind)
        level, zeros = read.uint(), read.uint()
        negative, positive = _bins(read), _bins(read)
        read.end()
        return Sketch(level, negative, zeros, positive)


def label(q: float) -> str:
    """Name a quantile: `p95`, `p99_9`; fields with a dot would be paths in OpenSearch."""
    percent = Fraction(str(q)) * 100
    return "p" + (str(int(percent)) if percent.denominator == 1 else str(float(percent)).replace(".", "_"))


def _bins(read: Reader) -> Bins:
    bins: dict[int, int] = {}
    key: int | None = None
    for _ in range(read.uint()):
        key = read.sint() if key is None else key + read.uint()
        bins[key] = read.uint()
    return bins
