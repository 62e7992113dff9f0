from typing import Any

import pytest

from aetherstream.eventtime import Bounds, EventTime, field_reader, parser
from aetherstream.records import Event, Events, Rejection
from aetherstream.testing.builders import START


def judged(values: list[Event], field: str | None = "at", kind: str = "iso8601", **bounds: float) -> tuple[Any, Any]:
    events = Events(values, list(range(len(values))), [0] * len(values))
    rejections: list[Rejection] = []
    EventTime(field, kind, Bounds(**bounds)).apply(events, [START] * len(values), rejections)
    return events.times, [(r.record, r.stage, r.reason, r.message) for r in rejections]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("iso8601", "2025-11-21T08:00:00Z", START),
        ("iso8601", "2025-11-21T09:00:00+01:00", START),
        ("iso8601", "2025-11-21T08:00:00", START),
        ("iso8601", "2025-11-21", START - 8 * 3600),
        ("iso8601", "2025-11-21T08:00:00.250Z", START + 0.25),
        ("epoch_s", 1763712000, START),
        ("epoch_s", 1763712000.5, START + 0.5),
        ("epoch_ms", 1763712000250, START + 0.25),
        ("%d.%m.%Y %H:%M", "21.11.2025 08:00", START),
        ("%Y-%m-%dT%H:%M:%S%z", "2025-11-21T09:00:00+0100", START),
    ],
)
def test_a_time_stamp_reads_as_epoch_seconds(kind: str, value: object, expected: float) -> None:
    assert parser(kind)(value) == expected


def test_without_a_field_the_arrival_is_the_event_time() -> None:
    assert judged([{"n": 1}], None) == ([START], [])


def test_a_nested_field_is_read_by_its_path() -> None:
    assert field_reader("a.b.c")({"a": {"b": {"c": 7}}}) == 7


@pytest.mark.parametrize("value", [{}, {"at": None}])
def test_a_missing_time_is_rejected(value: Event) -> None:
    why = (0, "event_time", "event time is missing", "event time: the field 'at' is missing or null")
    assert judged([value]) == ([], [why])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("iso8601", "yesterday"),
        ("iso8601", 7),
        ("iso8601", ["2025-11-21"]),
        ("epoch_s", "1763712000"),
        ("epoch_s", True),
        ("epoch_ms", None.__class__),
        ("%Y", "twenty"),
        ("epoch_s", 1e18),
        ("epoch_s", -1e18),
        ("epoch_s", 10**400),
        ("epoch_s", float("nan")),
        ("epoch_s", float("inf")),
        ("iso8601", "0001-01-01T00:00:00+23:00"),
        ("iso8601", "9999-12-31T23:59:59-23:00"),
    ],
)
def test_an_unreadable_time_is_rejected(kind: str, value: object) -> None:
    times, rejections = judged([{"at": value}], kind=kind)
    assert (times, [(record, stage, reason) for record, stage, reason, _ in rejections]) == (
        [],
        [(0, "event_time", "event time is unreadable")],
    )


def test_one_bad_time_leaves_its_neighbours() -> None:
    good = {"at": "2025-11-21T08:00:00Z"}
    times, rejections = judged([good, {"at": "?"}, good, {}, good])
    assert (times, [(record, reason) for record, _, reason, _ in rejections]) == (
        [START] * 3,
        [(1, "event time is unreadable"), (3, "event time is missing")],
    )


def test_bounds_are_inclusive_below_and_exclusive_above() -> None:
    values = [{"at": n} for n in (99, 100, 199, 200)]
    times, rejections = judged(values, kind="epoch_s", not_before=100, not_after=200)
    assert (times, [(record, reason) for record, _, reason, _ in rejections]) == (
        [100, 199],
        [(0, "event time before its bound"), (3, "event time after its bound")],
    )


def test_relative_bounds_count_from_the_arrival() -> None:
    values = [{"at": START + n} for n in (-61, -60, 0, 10, 11)]
    times, rejections = judged(values, kind="epoch_s", max_age=60, max_ahead=10)
    assert (times, [(record, reason) for record, _, reason, _ in rejections]) == (
        [START - 60, START, START + 10],
        [(0, "event time before its bound"), (4, "event time after its bound")],
    )


def test_the_message_names_the_time_and_the_bound() -> None:
    _, ((_, _, _, message),) = judged([{"at": 0}], kind="epoch_s", not_before=START)
    expected = "event time: at is 1970-01-01T00:00:00+00:00, before the pipeline's bound 2025-11-21T08:00:00+00:00"
    assert message == expected


def test_a_record_of_which_one_event_has_no_time_is_rejected_whole() -> None:
    events = Events([{"at": 100}, {}, {"at": 300}], [0, 0, 1], [0, 0, 0], nths=[0, 1, 0])
    rejections: list[Rejection] = []
    EventTime("at", "epoch_s").apply(events, [START, START], rejections)
    assert (events.values, events.times, [(r.record, r.sub) for r in rejections]) == ([{"at": 300}], [300], [(0, 0)])


def test_a_record_of_which_several_events_have_no_time_is_rejected_once() -> None:
    events = Events(values=[{}, {"at": 7}], records=[0, 0], subs=[0, 0], nths=[0, 1])
    rejections: list[Rejection] = []
    EventTime("at").apply(events, [START], rejections)
    assert [(each.record, each.sub, each.reason) for each in rejections] == [(0, 0, "event time is missing")]
