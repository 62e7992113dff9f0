from __future__ import annotations

from typing import Any

import pytest

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.windows import Window
from aetherstream.errors import UsageError
from aetherstream.managed import combine
from aetherstream.managed.rows import rows_of
from aetherstream.managed.state import WindowState
from aetherstream.results.rows import document
from aetherstream.testing.builders import START

from .support import AIRCRAFT, COUNT, DELAY, WINDOW, aggregate, batch, folded

OWN = aggregate(COUNT, DELAY, AIRCRAFT)
ONE = {"carrier": "AA", "delay": 1, "tail": "N1"}
TWO = {"carrier": "AA", "delay": 2, "tail": "N2"}
UA = {"carrier": "UA", "delay": 4, "tail": "N1"}


def part(*events: Any, shard: str = "a", first: int = 100) -> WindowState:
    return folded(OWN, batches=[batch(*events, first=first, shard=shard)]).state


def documents(
    state: WindowState, shard: str = "a", own: Aggregate = OWN, window: Window = WINDOW
) -> list[dict[str, Any]]:
    return [document(row) for row in rows_of(own, state, window, shard, early=False)]


def test_shards_and_parts_are_united_exactly() -> None:
    stored = [
        *documents(part(ONE, TWO)),
        *documents(part(ONE, first=900)),
        *documents(part(TWO, UA, shard="b"), "b"),
    ]
    window = {"aggregate": "delays", "window_start": "2025-11-21T08:00:00Z", "window_end": "2025-11-21T08:01:00Z"}
    united = [
        {**window, "carrier": "AA", "n": 4, "delay": 6, "aircraft": 2, "parts": 3},
        {**window, "carrier": "UA", "n": 1, "delay": 4, "aircraft": 1, "parts": 1},
    ]
    assert combine(OWN, stored) == united
    assert combine(OWN, reversed(stored)) == united


def test_of_one_part_the_greatest_version_counts() -> None:
    small, grown = part(ONE), part(ONE, TWO)
    stored = [*documents(grown), *documents(small), *documents(grown)]
    assert [row["n"] for row in combine(OWN, stored)] == [2]


def test_windows_stay_apart() -> None:
    later = Window(START + 60, START + 120)
    stored = [*documents(part(ONE), window=later), *documents(part(ONE, TWO, first=500))]
    assert [(row["window_start"][11:16], row["n"]) for row in combine(OWN, stored)] == [("08:00", 2), ("08:01", 1)]


def test_a_row_of_another_declaration_is_refused() -> None:
    with pytest.raises(UsageError, match="none of the aggregate delays as it is declared now"):
        combine(aggregate(COUNT), documents(part(ONE)))


def test_a_row_without_a_merge_state_is_refused() -> None:
    (row,) = documents(part(ONE))
    with pytest.raises(UsageError, match="merge state"):
        combine(OWN, [{name: value for name, value in row.items() if name != "state"}])
