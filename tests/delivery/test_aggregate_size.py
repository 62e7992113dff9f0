"""How large states may be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Output
from aetherstream.aggregates.size import MOST_SESSIONS, MOST_STATE, check_size
from aetherstream.delivery.aggregates.size import FULL, oversized
from aetherstream.errors import ConfigurationError
from tests.delivery.aggregate_support import HOURLY, VISITS, partials


def test_a_part_that_is_not_full_has_room_for_what_a_batch_brings() -> None:
    assert FULL + MOST_SESSIONS < MOST_STATE


def test_a_state_has_room_in_an_item_of_dynamodb_with_the_longest_names() -> None:
    assert 2048 + 1024 + 20_000 + MOST_STATE < 400 * 1024


@pytest.mark.parametrize("kind", ["count", "first", "last", "distinct", "quantiles", "top_k"])
def test_every_accumulator_fits_as_it_comes(kind: str) -> None:
    outputs = (Output("one", make(kind), "v"),)
    check_size(replace(HOURLY, outputs=outputs))
    check_size(replace(VISITS, outputs=outputs))


def test_the_largest_top_k_fits_into_a_window_and_not_into_a_session() -> None:
    outputs = (Output("routes", make("top_k", capacity=1000), "v"),)
    check_size(replace(HOURLY, outputs=outputs))
    with pytest.raises(
        ConfigurationError,
        match=r"aggregate visits: the state of a session may take 269,\d+ bytes \(routes 269,016\), and 150,000 are",
    ):
        check_size(replace(VISITS, outputs=outputs))


def test_an_aggregate_that_may_not_fit_is_refused_with_what_each_output_takes() -> None:
    outputs = tuple(Output(f"routes{number}", make("top_k"), "v") for number in range(6))
    with pytest.raises(
        ConfigurationError, match=r"aggregate hourly: the state of a group may take [\d,]+ bytes \(routes0"
    ):
        check_size(replace(HOURLY, outputs=outputs))


def test_a_group_with_too_many_sessions_in_a_batch_is_found() -> None:
    many = partials([("AA", number * 100, 1) for number in range(9000)] + [("UA", 0, 1)], VISITS)
    [found] = oversized(VISITS, many).items()
    assert (found[0].group, found[1] > MOST_SESSIONS) == ('["AA"]', True)


def test_only_partials_of_the_aggregate_are_looked_at() -> None:
    many = partials([("AA", number * 100, 1) for number in range(9000)], VISITS)
    assert oversized(HOURLY, many) == {}
