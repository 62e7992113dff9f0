from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aetherstream.aggregates.windows import (
    Hopping,
    Session,
    Tumbling,
    Window,
    closed,
    time_text,
    too_late,
    watermark_of,
)
from aetherstream.errors import ConfigurationError

TIMES = st.floats(-6e10, 2.5e11) | st.integers(-100, 100).map(float) | st.floats(-100, 100)
SIZES = st.integers(1, 40)
OFFSETS = st.integers(-50, 50)


def containing(time: float, size: int, every: int, offset: int) -> list[Window]:
    """Brute force: try every start near the time, in exact arithmetic."""
    near = int(time) - size - 2
    starts = range(near, int(time) + 3)
    return [
        Window(start, start + size)
        for start in starts
        if (start - offset) % every == 0 and Fraction(start) <= Fraction(time) < start + size
    ]


@given(TIMES, SIZES, OFFSETS)
@example(-1e-20, 3600, 3600)
@example(-1e-20, 3600, 0)
@example(0.0, 3600, 0)
@example(3600.0, 3600, 0)
def test_a_time_belongs_to_the_one_tumbling_window_around_it(time: float, size: int, offset: int) -> None:
    assert list(Tumbling(size, offset).assign(time)) == containing(time, size, size, offset)


@given(TIMES, SIZES, SIZES, OFFSETS)
@example(9.999999999999999e-21, 7, 3, 0)
def test_a_time_belongs_to_all_hopping_windows_around_it(time: float, size: int, every: int, offset: int) -> None:
    windows = Hopping(max(size, every), min(size, every), offset)
    assert list(windows.assign(time)) == containing(time, max(size, every), min(size, every), offset)


@given(TIMES, st.integers(1, 20), st.integers(1, 30), st.integers(-100, 100))
def test_times_of_one_pane_belong_to_the_same_windows(time: float, count: int, every: int, offset: int) -> None:
    windows = Hopping(count * every, every, offset)
    assert windows.panes is not None
    assert windows.assign(time) == windows.assign(windows.panes.starts([time])[0])


def test_windows_that_do_not_begin_and_end_together_have_no_panes() -> None:
    assert Hopping(10, 4).panes is None


@given(st.lists(TIMES), SIZES, OFFSETS)
def test_starts_by_column_are_those_one_by_one(times: list[float], size: int, offset: int) -> None:
    windows = Tumbling(size, offset)
    assert windows.starts(times) == [windows.assign(time)[0].start for time in times]


def test_days_may_begin_with_an_offset() -> None:
    assert Tumbling(86_400, -3600).assign(1_356_994_800.0) == (Window(1_356_994_800, 1_357_081_200),)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (1_357_034_400, "2013-01-01T10:00:00Z"),
        (-3600, "1969-12-31T23:00:00Z"),
        (1_357_034_400.25, "2013-01-01T10:00:00.250000Z"),
        (-62_135_596_800, "0001-01-01T00:00:00Z"),
        (-62_135_596_801, "-62135596801"),
    ],
)
def test_a_window_is_called_by_its_start(time: float, text: str) -> None:
    assert (Window(time, time + 1).id, time_text(time)) == (text, text)


@pytest.mark.parametrize(
    ("watermark", "expected"), [(None, False), (3599, False), (3600, False), (3659.9, False), (3660, True)]
)
def test_a_window_is_closed_when_the_watermark_passed_its_end_by_the_lateness(
    watermark: float | None, expected: bool
) -> None:
    assert closed(Window(0, 3600), watermark, 60) is expected


def test_an_event_is_late_for_those_of_its_windows_that_are_closed() -> None:
    windows = Hopping(10, 5)
    assert too_late(12.0, windows, 15.0, 0) == (Window(5, 15),)
    assert too_late(12.0, windows, 14.9, 0) is None
    assert too_late(12.0, windows, 20.0, 0) == (Window(5, 15), Window(10, 20))
    assert too_late(12.0, windows, None, 0) is None


def test_an_event_of_a_session_is_late_when_it_lies_behind_the_watermark() -> None:
    assert too_late(89.9, Session(30), 100.0, 10) == (Window(89.9, 119.9),)
    assert too_late(90.0, Session(30), 100.0, 10) is None


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 20), st.integers(1, 30))
def test_an_event_that_is_not_late_never_reaches_into_a_closed_session(
    last: float, time: float, lateness: float, gap: int
) -> None:
    """Sessions closed at the least watermark for which the event is still in time."""
    watermark = time + lateness
    session = Window(last, last + gap)
    if too_late(time, Session(gap), watermark, lateness) is None and closed(session, watermark, lateness):
        assert time >= session.end - 1e-9


@pytest.mark.parametrize(
    ("live", "expected"),
    [([], None), ([5.0], 5.0), ([5.0, 3.0], 3.0), ([5.0, None], None), ([None], None)],
)
def test_the_watermark_is_the_least_of_the_live_shards(live: list[float | None], expected: float | None) -> None:
    assert watermark_of(live) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tumbling(0), "size of a window is 0 s: it must be 1 or more"),
        (lambda: Session(-1), "gap of a window is -1 s"),
        (lambda: Hopping(5, 0), "every of a window is 0 s"),
        (lambda: Hopping(5, 6), "a hopping window of 5 s every 6 s would leave events out"),
        (lambda: Hopping(601, 2), "puts each event into 301 windows: 300 are the most"),
    ],
)
def test_windows_that_cannot_work_say_why(make: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()  # type: ignore[operator]
