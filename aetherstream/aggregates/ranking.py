"""Ranking across groups at close: the five busiest of a day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import Any


def ranked(
    results: Iterable[tuple[str, Mapping[str, Any]]], by: str, most: int, *, ascending: bool = False
) -> list[tuple[str, Mapping[str, Any]]]:
    """The first groups by one of their results; equal ones by the text of the group, so that no order shows.

    Args:
        results: Group and results of everything in one window. Groups without a number there are left out.
        by: Name of the output.
        most: How many.
        ascending: The least first; else the greatest.
    """
    sign = 1 if ascending else -1
    numbers = [
        (group, row) for group, row in results if isinstance(row[by], int | float) and not isinstance(row[by], bool)
    ]
    return nsmallest(most, numbers, key=lambda item: (sign * item[1][by], item[0]))
