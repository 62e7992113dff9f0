"""The most frequent values in bounded room: Misra and Gries 1982, merged as in Agarwal and others 2012.

Counts are exact until there are more different values than the capacity. Then each time the capacity is passed, the
count of the first value beyond it is taken from all. So a count is too small by at most `error`, and `error` is at most
n / (capacity + 1) for n values, in whatever order and tree they were merged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple


class Heavy(NamedTuple):
    """Counts of the values that were kept. Never changed in place."""

    counts: Mapping[bytes, int]
    error: int
    """0 as long as everything was kept."""


def merged(a: Heavy, b: Heavy, capacity: int) -> Heavy:
    """Add the counts of both, and let go what is beyond the capacity."""
    counts = Counter(a.counts)
    counts.update(b.counts)
    return bounded(Heavy(counts, a.error + b.error), capacity)


def bounded(found: Heavy, capacity: int) -> Heavy:
    """Let go what is beyond the capacity."""
    if len(found.counts) <= capacity:
        return found
    less = sorted(found.counts.values(), reverse=True)[capacity]
    return Heavy({value: count - less for value, count in found.counts.items() if count > less}, found.error + less)
