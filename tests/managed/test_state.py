from __future__ import annotations

import json
from typing import Any

import pytest

from aetherstream.aggregates.serial import UnreadableState
from aetherstream.managed.state import WindowState, read_state

from .support import AIRCRAFT, COUNT, aggregate, batch, folded

OWN = aggregate()
OTHER = aggregate(COUNT, AIRCRAFT, name="aircraft", by="")


def made() -> WindowState:
    events = [{"carrier": "AA", "delay": 3, "tail": "N1"}, {"carrier": 'Ü"\n', "delay": 4, "tail": "N2"}]
    return folded(OWN, OTHER, batches=[batch(*events)]).state


def test_a_state_survives_the_way_through_json() -> None:
    state = made()
    assert read_state(json.loads(json.dumps(state.written([OWN, OTHER]))), [OWN, OTHER]) == state


def test_nothing_is_written_as_nothing() -> None:
    assert WindowState().written([OWN]) == {}
    assert read_state({}, [OWN]) == WindowState()


def test_its_size_is_that_of_any_json_text_without_spaces() -> None:
    written = made().written([OWN, OTHER])
    assert made().size([OWN, OTHER]) == len(json.dumps(written, separators=(",", ":")))


def test_the_same_content_has_the_same_bytes() -> None:
    events = [{"carrier": "AA", "delay": 3}, {"carrier": "UA", "delay": 4}]
    one = folded(OWN, batches=[batch(*events)]).state
    other = folded(OWN, batches=[batch(events[1]), batch(events[0], first=110)]).state
    assert json.dumps(one.written([OWN])) == json.dumps(WindowState("100", "110", 2, other.groups).written([OWN]))


def test_an_aggregate_that_is_declared_otherwise_now_is_lost_and_told() -> None:
    written = made().written([OWN, OTHER])
    changed = aggregate(COUNT)
    state = read_state(written, [changed, OTHER])
    assert state.lost == {"delays": 2}
    assert list(state.groups) == ["aircraft"]


def test_an_aggregate_that_is_declared_no_more_is_lost_and_told() -> None:
    assert read_state(made().written([OWN, OTHER]), [OWN]).lost == {"aircraft": 1}


def test_a_later_format_is_refused_by_name() -> None:
    with pytest.raises(UnreadableState, match="has format 2, and this version reads 1"):
        read_state({"format": 2}, [OWN])


@pytest.mark.parametrize(
    "damage",
    [
        {"aggregates": None},
        {"aggregates": {"delays": {}}},
        {"aggregates": {"delays": {"declared": "x", "groups": "%"}}},
        {"aggregates": {"delays": {"declared": "x", "groups": "AQI="}}},
        {"records": "many"},
    ],
)
def test_a_damaged_state_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(UnreadableState, match="damaged"):
        read_state({**made().written([OWN, OTHER]), **damage}, [OWN])
