"""The watermark: what holds it back, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aetherstream.delivery.aggregates.watermark import (
    ShardTime,
    advanced,
    closes_upto,
    sessions_floor,
    sessions_upto,
    watermark,
)
from tests.delivery.aggregate_support import HOURLY, VISITS


def live(committed: float | None) -> ShardTime:
    return ShardTime("s", committed)


def idle(committed: float | None) -> ShardTime:
    return ShardTime("s", committed, behind=False)


@pytest.mark.parametrize(
    ("shards", "expected"),
    [
        ([], None),
        ([live(10.0)], 10.0),
        ([live(10.0), live(20.0)], 10.0),
        ([idle(10.0), live(20.0)], 20.0),
        ([idle(30.0), live(20.0)], 20.0),
        ([idle(None), live(20.0)], 20.0),
        ([live(None), live(20.0)], None),
        ([live(None), idle(20.0)], None),
        ([idle(10.0), idle(20.0)], 20.0),
        ([idle(None), idle(20.0)], 20.0),
        ([idle(None)], None),
    ],
    ids=[
        "no shards",
        "one",
        "the least of the live ones",
        "an idle one does not hold it back",
        "an idle one does not push it",
        "one that never had anything",
        "one that has committed nothing yet",
        "the only live one has committed nothing yet",
        "all idle: the latest",
        "all idle, one never had anything",
        "nothing was ever there",
    ],
)
def test_the_watermark_is_the_least_time_of_the_live_shards(shards: list[ShardTime], expected: float | None) -> None:
    assert watermark(shards) == expected


@pytest.mark.parametrize(
    ("shard", "expected"),
    [
        (ShardTime("s", 1.0, behind=False), True),
        (ShardTime("s", 1.0), False),
        (ShardTime("s", 1.0, behind=True), False),
        (ShardTime("s", 1.0, behind=False, claimed=True), False),
        (ShardTime("s", 1.0, behind=False, lease=True), False),
    ],
    ids=["nothing behind it", "nobody found out", "blocked", "an attempt is at work", "it is redriven"],
)
def test_a_shard_is_idle_where_nothing_is_to_be_expected_of_it(shard: ShardTime, *, expected: bool) -> None:
    assert shard.idle is expected


@pytest.mark.parametrize(
    ("before", "newest", "expected"),
    [(None, None, None), (None, 5.0, 5.0), (7.0, 5.0, 7.0), (5.0, 7.0, 7.0), (5.0, None, 5.0)],
)
def test_a_shards_time_never_goes_back(before: float | None, newest: float | None, expected: float | None) -> None:
    assert advanced(before, newest) == expected


def test_windows_are_due_when_the_watermark_has_passed_them_by_the_lateness() -> None:
    late = replace(HOURLY, lateness=600.0)
    assert (closes_upto(late, 7800.0), closes_upto(late, None)) == (7200.0, None)


@pytest.mark.parametrize(
    ("shards", "since_arrival", "expected"),
    [
        ([idle(10.0), idle(20.0)], 59.0, 20.0),
        ([idle(10.0), idle(20.0)], 60.0, 80.0),
        ([idle(10.0), live(20.0)], 3600.0, 20.0),
        ([idle(None)], 3600.0, None),
    ],
    ids=["it may only pause", "it has stopped", "one shard goes on", "nothing was ever there"],
)
def test_the_watermark_of_a_stream_that_stops_goes_on_with_the_clock(
    shards: list[ShardTime], since_arrival: float, expected: float | None
) -> None:
    assert watermark(shards, since_arrival) == expected


@pytest.mark.parametrize(
    ("upto", "newest", "expected"),
    [(1000.0, 5000.0, 1000.0), (5040.0, 5000.0, 5040.0), (9000.0, 5000.0, 5060.0)],
    ids=["behind the events", "just ahead", "far ahead: no session that is there ends later"],
)
def test_no_session_is_closed_before_it_is_there(upto: float, newest: float, expected: float) -> None:
    assert sessions_upto(VISITS, upto, newest) == expected


@pytest.mark.parametrize(("upto", "newest", "expected"), [(7200.0, 9000.0, 3600.0), (9000.0, 7200.0, 3600.0)])
def test_sessions_are_kept_for_a_while_after_they_were_closed(upto: float, newest: float, expected: float) -> None:
    assert sessions_floor(upto, newest, 3600.0) == expected
