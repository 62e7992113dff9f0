from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.records import Events
from aetherstream.sinks.opensearch.placement import FixedPlace, IndexNames, Period, index_name

NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC).timestamp()


def events(*times: float) -> Events:
    count = len(times)
    return Events([{} for _ in times], list(range(count)), [0] * count, times=list(times))


@pytest.mark.parametrize(
    ("period", "name"),
    [
        ("hour", "flights-2013.01.01.05"),
        ("day", "flights-2013.01.01"),
        ("month", "flights-2013.01"),
        ("year", "flights-2013"),
    ],
)
def test_an_index_is_named_by_the_period_of_the_event_time(period: Period, name: str) -> None:
    assert IndexNames("search", "flights", period).partition(events(NEW_YEAR + 5 * 3600 + 1), [0]) == ({name: [0]}, {})


def test_events_of_several_periods_are_grouped_in_their_order() -> None:
    times = [NEW_YEAR, NEW_YEAR - 1, NEW_YEAR + 3600, NEW_YEAR - 7200]
    assert IndexNames("search", "flights").partition(events(*times), range(4)) == (
        {"flights-2013.01.01": [0, 2], "flights-2012.12.31": [1, 3]},
        {},
    )


def test_only_the_events_asked_for_are_placed() -> None:
    times = [NEW_YEAR, NEW_YEAR - 1, NEW_YEAR + 3600]
    assert IndexNames("search", "flights").partition(events(*times), [1, 2]) == (
        {"flights-2012.12.31": [1], "flights-2013.01.01": [2]},
        {},
    )


@pytest.mark.parametrize("placement", [IndexNames("search", "flights"), FixedPlace("search", "flights")])
def test_no_events_have_no_places(placement: IndexNames | FixedPlace) -> None:
    assert placement.partition(events(), []) == ({}, {})


def test_a_fixed_place_takes_every_event() -> None:
    assert FixedPlace("search", "flights").partition(events(NEW_YEAR, 0.0), [0, 1]) == ({"flights": [0, 1]}, {})


def test_years_before_1000_have_four_digits() -> None:
    assert index_name("flights", "year", datetime(7, 1, 1, tzinfo=UTC).timestamp()) == "flights-0007"


@given(
    st.lists(st.floats(-62_135_596_800, 253_402_300_799), max_size=20),
    st.sampled_from(["hour", "day", "month", "year"]),
)
def test_a_place_hangs_on_the_event_alone(times: list[float], period: Period) -> None:
    together, refused = IndexNames("search", "x", period).partition(events(*times), range(len(times)))
    alone = [next(iter(IndexNames("search", "x", period).partition(events(time), [0])[0])) for time in times]
    assert refused == {}
    assert {index: name for name, indices in together.items() for index in indices} == dict(enumerate(alone))
    assert alone == [index_name("x", period, time) for time in times]
