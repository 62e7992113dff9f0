"""The accumulators, and how one is made from its name and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import ConfigurationError
from ...transforms.mistakes import nearest
from .base import Accumulator, Folding
from .custom import Custom
from .distinct import Distinct
from .ends import First, Last
from .simple import Count, Max, Min
from .sums import Mean, Rate, StdDev, Sum, Variance
from .top_k import TopK

__all__ = ["KINDS", "Accumulator", "Folding", "make"]


def _quantiles(**options: Any) -> Folding[Any]:
    from .quantiles import Quantiles  # brings a library along: 12 ms for those who want quantiles

    return Quantiles(**options)


KINDS: Mapping[str, Callable[..., Folding[Any]]] = {
    "count": Count,
    "sum": Sum,
    "min": Min,
    "max": Max,
    "mean": Mean,
    "variance": Variance,
    "stddev": StdDev,
    "first": First,
    "last": Last,
    "distinct": Distinct,
    "quantiles": _quantiles,
    "top_k": TopK,
    "rate": Rate,
    "custom": Custom,
}
"""Name in the pipeline file → what makes it."""


def make(kind: str, **options: Any) -> Folding[Any]:
    """Make an accumulator.

    Raises:
        ConfigurationError: there is no such kind, or it doesn't take these options.
    """
    if kind not in KINDS:
        raise ConfigurationError(f"there is no accumulator {kind!r}{nearest(kind, KINDS)}")
    try:
        return KINDS[kind](**options)
    except TypeError as error:
        raise ConfigurationError(f"{kind} does not take these options ({', '.join(options)}): {error}") from error
