"""DDSketch's bins: every value falls into a bin so narrow that the bin's representative is within the relative error.

Masson, Rim, Lee 2019 ("DDSketch"). The bins' bounds are Datadog's own (`ddsketch.mapping`). The bins are kept here: as
integers and sparse, hence canonical, and bounded by UDDSketch's uniform collapse (Epicoco and others 2020): with too
many bins each two neighbours become one. How far a sketch has collapsed follows from the set of its finest bins alone,
so no order of merging shows, and one absurd value costs one bin instead of the accuracy of all others.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from ddsketch.mapping import CubicallyInterpolatedMapping

Bins = Mapping[int, int]
"""Key → how many values."""


class Sketch(NamedTuple):
    """Values by sign and magnitude. Never changed in place."""

    level: int
    """How often all bins were halved in number: each doubles the error (at first; it stays below 1)."""
    negative: Bins
    zeros: int
    positive: Bins

    @property
    def size(self) -> int:
        """How many values."""
        return sum(self.negative.values()) + self.zeros + sum(self.positive.values())


class Relative:
    """Makes, merges and asks sketches of one accuracy.

    Args:
        accuracy: Relative error of any quantile as long as the bins suffice; 0.01 is 1 %.
        max_bins: Most bins.
    """

    def __init__(self, accuracy: float, max_bins: int) -> None:
        # Arithmetic alone, unlike the logarithm's mapping: the same keys with every C library.
        self._mapping = CubicallyInterpolatedMapping(accuracy)
        self._gamma: float = self._mapping.gamma
        self._smallest: float = self._mapping.min_possible
        self._max_bins = max_bins

    def sketch(self, values: Iterable[float]) -> Sketch:
        """Make the sketch of finite numbers; what is closer to zero than 2.3e-308 counts as zero."""
        key, smallest = self._mapping.key, self._smallest
        counts = Counter(map(float, values))
        negative: Counter[int] = Counter()
        positive: Counter[int] = Counter()
        zeros = 0
        for value, times in counts.items():
            if value >= smallest:
                positive[key(value)] += times
            elif value <= -smallest:
                negative[key(-value)] += times
            else:
                zeros += times
        return self._bounded(Sketch(0, dict(negative), zeros, dict(positive)))

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Make the sketch of the values of both."""
        level = max(a.level, b.level)
        a, b = _at(level, a), _at(level, b)
        return self._bounded(
            Sketch(level, _both(a.negative, b.negative), a.zeros + b.zeros, _both(a.positive, b.positive))
        )

    def at_ranks(self, found: Sketch, ranks: Sequence[int]) -> list[float]:
        """Give the values of these ranks (0: the least), ascending."""
        level = found.level
        steps = [(-self._value(key, level), found.negative[key]) for key in sorted(found.negative, reverse=True)]
        steps.append((0.0, found.zeros))
        steps += [(self._value(key, level), found.positive[key]) for key in sorted(found.positive)]
        values = []
        below = 0
        remaining = iter(ranks)
        rank = next(remaining, inf)
        for value, count in steps:
            below += count
            while rank < below:
                values.append(value)
                rank = next(remaining, inf)
        return values

    def accuracy(self, level: int) -> float:
        """Relative error of a sketch that has collapsed so often."""
        ratio: float = self._gamma ** -(2.0**level)
        return (1 - ratio) / (1 + ratio)

    def _bounded(self, found: Sketch) -> Sketch:
        while len(found.negative) + len(found.positive) > self._max_bins:
            found = _at(found.level + 1, found)
        return found

    def _value(self, key: int, level: int) -> float:
        """The value with the least relative distance to both bounds of a bin."""
        upper, lower = self._bound(key << level), self._bound((key - 1) << level)
        return lower * (2 / (1 + lower / upper))

    def _bound(self, key: int) -> float:
        """The upper bound of a finest bin."""
        try:
            value: float = self._mapping.value(key) * ((1 + self._gamma) / 2)
        except OverflowError:
            return sys.float_info.max
        return min(max(value, sys.float_info.min), sys.float_info.max)


def _at(level: int, found: Sketch) -> Sketch:
    """Join bins until the level is reached: the finest bin `key` reaches up to gamma**key, so 2n - 1 and 2n make n."""
    by = level - found.level
    if not by:
        return found
    return Sketch(level, _joined(found.negative, by), found.zeros, _joined(found.positive, by))


def _joined(bins: Bins, by: int) -> Bins:
    out: dict[int, int] = {}
    for key, count in bins.items():
        key = -(-key >> by)
        out[key] = out.get(key, 0) + count
    return out


def _both(a: Bins, b: Bins) -> Bins:
    out = dict(a)
    for key, count in b.items():
        out[key] = out.get(key, 0) + count
    return out
