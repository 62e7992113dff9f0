"""The shipped contract finds the accumulators that break it."""

from __future__ import annotations

from typing import Any

import pytest

from aetherstream.testing.accumulators import AccumulatorContract
from tests.aggregates import support

VALUES = ["a", "abc", "ab", "abc", ""]


def broken(accumulator: Any) -> set[str]:
    """The obligations that it breaks."""

    class Contract(AccumulatorContract):
        def subject(self) -> Any:
            return accumulator

        def values(self) -> list[Any]:
            return VALUES

    found = set()
    for name in dir(Contract):
        if name.startswith("test_"):
            try:
                getattr(Contract(), name)()
            except AssertionError:
                found.add(name)
    return found


class TooLarge(support.Longest):
    max_bytes = 2


class NotJson(support.Longest):
    def result(self, acc: str | None) -> Any:
        return float("nan")


class Forgetful(support.Longest):
    def load(self, data: bytes) -> str | None:
        return None


class FoldsOtherwise(support.Longest):
    def fold(self, column: Any) -> str | None:
        return column.values[0] if column.values else None


@pytest.mark.parametrize(
    ("accumulator", "obligations"),
    [
        (support.Longest(), set()),
        (
            support.LastAdded(),
            {"test_the_order_of_values_does_not_show", "test_the_order_of_merging_does_not_show"},
        ),
        (support.Mutating(), {"test_adding_changes_no_state"}),
        (TooLarge(), {"test_a_state_stays_within_its_bound"}),
        (NotJson(), {"test_results_are_values_of_json", "test_a_state_reads_back"}),
        (Forgetful(), {"test_a_state_reads_back", "test_a_state_that_was_read_goes_on"}),
        (FoldsOtherwise(), {"test_folding_a_column_is_adding_its_values"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_contract_finds_what_is_broken(accumulator: Any, obligations: set[str]) -> None:
    assert broken(accumulator) == obligations
