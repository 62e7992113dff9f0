from __future__ import annotations

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.accumulators.simple import Extreme
from aetherstream.aggregates.aggregate import Aggregate, Key, Output
from aetherstream.aggregates.partials import dump, load, merge, merge_all, results
from aetherstream.aggregates.serial import UnreadableState
from aetherstream.aggregates.sessions import SessionState
from aetherstream.aggregates.windows import Session, Tumbling, Window

OUTPUTS = (Output("n", make("count")), Output("least", make("min"), "v"))
FIXED = Aggregate("fixed", (), Tumbling(60), OUTPUTS)
SESSIONS = Aggregate("sessions", (), Session(10), OUTPUTS)


def test_states_merge_output_by_output() -> None:
    assert merge(FIXED, (2, Extreme(5, False)), (3, None)) == (5, Extreme(5, False))


def test_a_partial_of_a_third_session_bridges_two() -> None:
    two = (SessionState(0.0, 1.0, (2, None)), SessionState(20.0, 20.0, (1, Extreme(3, False))))
    assert merge(SESSIONS, two, (SessionState(10.5, 10.6, (2, Extreme(4, False))),)) == (
        SessionState(0.0, 20.0, (5, Extreme(3, False))),
    )


def test_partials_of_different_keys_stay_apart() -> None:
    one, two = Key("fixed", Window(0, 60), "[]"), Key("fixed", Window(60, 120), "[]")
    parts = [{one: (1, None)}, {two: (2, None)}, {one: (4, None)}]
    assert merge_all({"fixed": FIXED}, parts) == {one: (5, None), two: (2, None)}


def test_format_1_of_partials_is_written_as_it_was() -> None:
    partial = (SessionState(-1.0, 1.0, (2, None)), SessionState(20.0, 20.5, (1, Extreme(3, False))))
    assert (dump(FIXED, (2, Extreme(5, False))).hex(), dump(SESSIONS, partial).hex()) == (
        "0100020102050100026905",
        "0102bff00000000000003ff0000000000000020102010140340000000000004034800000000000020101050100026903",
    )


def test_partials_of_sessions_and_of_fixed_windows_are_not_mistaken() -> None:
    with pytest.raises(UnreadableState, match="the state of aggregate fixed is damaged"):
        load(FIXED, dump(SESSIONS, (SessionState(0.0, 0.0, (1, None)),)))
    with pytest.raises(UnreadableState, match="the state of aggregate sessions is damaged"):
        load(SESSIONS, dump(FIXED, (1, None)))


def test_a_partial_with_too_little_or_too_much_is_damaged() -> None:
    whole = dump(FIXED, (2, Extreme(5, False)))
    for data in (whole[:-1], whole + b"\x00"):
        with pytest.raises(UnreadableState):
            load(FIXED, data)


def test_results_go_by_the_names_of_the_outputs() -> None:
    assert results(FIXED, (2, Extreme(5, True))) == {"n": 2, "least": 5.0}
