from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Key, Output, expressions
from aetherstream.aggregates.columns import ColumnReader, Columns
from aetherstream.aggregates.fold import Folded, Known, fold, fold_all
from aetherstream.aggregates.groups import group_text
from aetherstream.aggregates.judge import Refused
from aetherstream.aggregates.partials import results
from aetherstream.aggregates.windows import Hopping, Session, Tumbling, Window
from aetherstream.testing.accumulators import place

HOUR = Window(0, 3600)
COUNT = Output("n", make("count"))
TOTAL = Output("total", make("sum"), "delay")
MEAN = Output("mean", make("mean"), "delay", "reject")


def aggregate(*outputs: Output, by: str = "carrier", **options: Any) -> Aggregate:
    options.setdefault("windows", Tumbling(3600))
    groups = tuple((name, name) for name in by.split())
    return Aggregate("delays", groups, outputs=outputs or (COUNT,), **options)


def columns(events: Sequence[dict[str, Any]], *aggregates: Aggregate) -> Columns:
    """Events say their time in `t`, and their arrival in `arrived`."""
    values = ColumnReader(expressions(aggregates)).read(events)
    times = [float(event.get("t", 0)) for event in events]
    places = [place(index) for index in range(len(events))]
    return Columns(
        values, times, places, [float(event.get("arrived", time)) for event, time in zip(events, times, strict=True)]
    )


def found(own: Aggregate, folded: Folded) -> dict[tuple[Any, str], dict[str, Any]]:
    """Results by the window's start and the group."""
    return {
        (key.window.start if key.window else None, key.group): results(own, partial)
        for key, partial in folded.partials.items()
    }


def test_events_are_folded_by_window_and_group() -> None:
    own = aggregate(COUNT, TOTAL)
    events = [
        {"carrier": "AA", "delay": 3, "t": 0},
        {"carrier": "UA", "delay": 1.5, "t": 1},
        {"carrier": "AA", "delay": 4, "t": 3599.9},
        {"carrier": "AA", "delay": 5, "t": 3600},
    ]
    assert found(own, fold(own, columns(events, own))) == {
        (0, '["AA"]'): {"n": 2, "total": 7},
        (0, '["UA"]'): {"n": 1, "total": 1.5},
        (3600, '["AA"]'): {"n": 1, "total": 5},
    }


def test_a_partial_is_kept_by_aggregate_window_and_group() -> None:
    own = aggregate(by="carrier origin")
    folded = fold(own, columns([{"carrier": "AA", "origin": "JFK"}], own))
    assert folded.partials == {Key("delays", HOUR, '["AA","JFK"]'): (1,)}


def test_without_groups_everything_is_one() -> None:
    own = Aggregate("all", (), Tumbling(3600), (COUNT,))
    assert found(own, fold(own, columns([{}, {}, {"t": 7200}], own))) == {(0, "[]"): {"n": 2}, (7200, "[]"): {"n": 1}}


def test_groups_and_values_may_be_expressions() -> None:
    own = Aggregate("x", (("route", "origin + '-' + dest"),), Tumbling(60), (Output("s", make("sum"), "a.b * 2"),))
    events = [{"origin": "JFK", "dest": "LAX", "a": {"b": 4}, "t": 1}]
    values = ColumnReader(expressions([own])).read(events)
    assert found(own, fold(own, Columns(values, [1.0]))) == {(0, '["JFK-LAX"]'): {"s": 8}}


def test_events_of_hopping_windows_count_in_each() -> None:
    own = aggregate(windows=Hopping(10, 5))
    assert found(own, fold(own, columns([{"carrier": "AA", "t": 7}, {"carrier": "AA", "t": 12}], own))) == {
        (0, '["AA"]'): {"n": 1},
        (5, '["AA"]'): {"n": 2},
        (10, '["AA"]'): {"n": 1},
    }


def test_sessions_are_kept_by_group() -> None:
    own = aggregate(COUNT, TOTAL, windows=Session(10))
    events = [{"carrier": "AA", "delay": delay, "t": t} for t, delay in ((30, 1), (0, 2), (9, 4), (100, 8))]
    assert fold(own, columns(events, own)).partials == {
        Key("delays", None, '["AA"]'): (
            (0.0, 9.0, (2, (6, 0, False))),
            (30.0, 30.0, (1, (1, 0, False))),
            (100.0, 100.0, (1, (8, 0, False))),
        )
    }


def test_a_value_that_is_unusable_is_left_aside_by_its_output_alone() -> None:
    own = aggregate(COUNT, TOTAL)
    folded = fold(own, columns([{"carrier": "AA", "delay": delay} for delay in (3, None, "x", 4)], own))
    assert (found(own, folded), folded.skipped, folded.refused) == (
        {(0, '["AA"]'): {"n": 4, "total": 7}},
        {"total": 2},
        {},
    )


def test_a_value_that_is_rejected_takes_its_event_along() -> None:
    own = aggregate(COUNT, TOTAL, MEAN)
    folded = fold(own, columns([{"carrier": "AA", "delay": delay} for delay in (3, None, "x", True, 4)], own))
    assert (found(own, folded), folded.skipped) == ({(0, '["AA"]'): {"n": 2, "total": 7, "mean": 3.5}}, {})
    unusable = "delay is unusable: "
    assert folded.refused == {
        1: Refused("aggregates.delays.mean", unusable + "missing", "delay: it is missing or null"),
        2: Refused(
            "aggregates.delays.mean", unusable + "not a number", "delay: it is the text 'x', not a finite number"
        ),
        3: Refused("aggregates.delays.mean", unusable + "not a number", "delay: it is true, not a finite number"),
    }


def test_a_field_decides_what_is_counted_and_a_window_how_long_it_is() -> None:
    outputs = (
        Output("known", make("count"), "delay"),
        Output("rate", make("rate", per=60)),
        Output("minutes", make("rate", per=3600), "delay"),
    )
    events = [{"carrier": "AA", "delay": delay, "t": t} for t, delay in ((0, 3), (30, None), (60, 9))]
    fixed, sessions = aggregate(*outputs), aggregate(*outputs, windows=Session(100))
    assert found(fixed, fold(fixed, columns(events, fixed))) == {
        (0, '["AA"]'): {"known": 2, "rate": 0.05, "minutes": 12.0}
    }
    ((session,),) = fold(sessions, columns(events, sessions)).partials.values()
    assert results(sessions, session.accs) == {"known": 2, "rate": 3.0, "minutes": 720.0}


def test_an_expression_that_fails_is_an_unusable_value() -> None:
    own = aggregate(Output("s", make("sum"), "delay * 2", "reject"))
    folded = fold(own, columns([{"carrier": "AA", "delay": 1}, {"carrier": "AA"}], own))
    assert (found(own, folded), list(folded.refused)) == ({(0, '["AA"]'): {"s": 2}}, [1])
    assert folded.refused[1].message.startswith("delay * 2: ")


def test_groups_tell_truth_from_one_and_take_equal_numbers_together() -> None:
    own = aggregate()
    events = [{"carrier": value} for value in (1, 1.0, True, "1", None, False, 0, -0.0, 2.5, 1e300)] + [{}]
    assert found(own, fold(own, columns(events, own))) == {
        (0, "[1]"): {"n": 2}, (0, "[true]"): {"n": 1}, (0, '["1"]'): {"n": 1}, (0, "[null]"): {"n": 2},
        (0, "[false]"): {"n": 1}, (0, "[0]"): {"n": 2}, (0, "[2.5]"): {"n": 1}, (0, "[1e+300]"): {"n": 1},
    }  # fmt: skip


@pytest.mark.parametrize("values", [["A", None, "A"], [3, None, 3], [2**63, -(2**63), 2**63]])
def test_groups_of_one_type_and_null_are_told_apart(values: list[Any]) -> None:
    own = aggregate()
    counts = {
        key.group: partial
        for key, partial in fold(own, columns([{"carrier": v} for v in values], own)).partials.items()
    }
    assert counts == {group_text([values[0]]): (2,), group_text([values[1]]): (1,)}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1], "not a group"),
        ({}, "not a group"),
        (float("nan"), "not a group"),
        (2**64, "not a group"),
        ("\ud800", "not a group"),
        ("x" * 1025, "too long"),
    ],
)
def test_what_can_be_no_group_is_refused(value: Any, reason: str) -> None:
    own = aggregate()
    folded = fold(own, columns([{"carrier": "AA"}, {"carrier": value}], own))
    assert found(own, folded) == {(0, '["AA"]'): {"n": 1}}
    assert {index: (one.where, one.reason) for index, one in folded.refused.items()} == {
        1: ("aggregates.delays.group_by.carrier", f"carrier can be no part of a group: {reason}")
    }


def test_a_group_whose_expression_fails_is_refused() -> None:
    own = Aggregate("x", (("g", "a + 1"),), Tumbling(60), (COUNT,))
    folded = fold(own, columns([{"a": 1}, {"a": None}], own))
    assert (found(own, folded), list(folded.refused)) == ({(0, "[2]"): {"n": 1}}, [1])


def test_late_events_are_told_and_left_out() -> None:
    own = aggregate(lateness=100)
    events = [{"carrier": "AA", "t": 10}, {"carrier": "AA", "t": 3600}]
    folded = fold(own, columns(events, own), watermark=3700)
    assert (found(own, folded), folded.late) == ({(3600, '["AA"]'): {"n": 1}}, {0: (HOUR,)})


def test_an_event_that_is_refused_is_not_late_as_well() -> None:
    own = aggregate(MEAN)
    folded = fold(own, columns([{"carrier": "AA", "delay": "x", "t": 10}], own), watermark=3600)
    assert (folded.partials, list(folded.refused), folded.late) == ({}, [0], {})


def test_nothing_is_late_before_the_watermark_has_passed_the_lateness() -> None:
    own = aggregate(lateness=100)
    folded = fold(own, columns([{"carrier": "AA", "t": 10}], own), watermark=3699.9)
    assert (found(own, folded), folded.late) == ({(0, '["AA"]'): {"n": 1}}, {})


def test_late_events_that_correct_are_told_and_folded() -> None:
    own = aggregate(correct=True)
    folded = fold(own, columns([{"carrier": "AA", "t": 10}], own), watermark=3600)
    assert (found(own, folded), folded.late) == ({(0, '["AA"]'): {"n": 1}}, {0: (HOUR,)})


def test_an_event_counts_in_those_of_its_hopping_windows_that_are_open() -> None:
    own = aggregate(windows=Hopping(10, 5))
    folded = fold(own, columns([{"carrier": "AA", "t": 12}], own), watermark=15)
    assert (found(own, folded), folded.late) == ({(10, '["AA"]'): {"n": 1}}, {0: (Window(5, 15),)})


def test_an_event_of_a_closed_session_is_late() -> None:
    own = aggregate(windows=Session(10))
    folded = fold(own, columns([{"carrier": "AA", "t": 12}, {"carrier": "AA", "t": 15}], own), watermark=15)
    assert ([key.group for key in folded.partials], folded.late) == (['["AA"]'], {0: (Window(12, 22),)})


def test_events_from_the_future_are_refused_and_do_not_move_the_watermark() -> None:
    own = aggregate(future=60)
    events = [{"carrier": "AA", "t": 160, "arrived": 100}, {"carrier": "AA", "t": 160.5, "arrived": 100}]
    folded = fold(own, columns(events, own))
    assert (found(own, folded), folded.newest) == ({(0, '["AA"]'): {"n": 1}}, 160.0)
    assert folded.refused == {
        1: Refused(
            "aggregates.delays",
            "event time in the future",
            "event time 1970-01-01T00:02:40.500000Z is more than 60 s after the arrival 1970-01-01T00:01:40Z",
        )
    }


def test_a_window_takes_no_more_groups_than_it_may_have() -> None:
    own = aggregate(max_groups=2)
    folded = fold(own, columns([{"carrier": name} for name in "ABCACB"], own))
    assert (found(own, folded), sorted(folded.refused)) == ({(0, '["A"]'): {"n": 2}, (0, '["B"]'): {"n": 2}}, [2, 4])
    assert folded.refused[2] == Refused(
        "aggregates.delays",
        "too many groups",
        'the group ["C"] would be one more than max_groups (2) in the window 1970-01-01T00:00:00Z: group by something '
        "with fewer values, or raise max_groups",
    )


def test_the_groups_that_a_window_has_already_count() -> None:
    own = aggregate(max_groups=2)
    folded = fold(own, columns([{"carrier": name} for name in "ABC"], own), known={HOUR: {'["B"]', '["Z"]'}})
    assert (found(own, folded), sorted(folded.refused)) == ({(0, '["B"]'): {"n": 1}}, [0, 2])


def test_a_window_that_is_full_already_takes_no_single_group_more() -> None:
    own = aggregate(max_groups=2)
    folded = fold(own, columns([{"carrier": "A"}], own), known={HOUR: {'["B"]', '["Z"]'}})
    assert (folded.partials, list(folded.refused)) == ({}, [0])


def test_each_window_has_room_of_its_own() -> None:
    own = aggregate(max_groups=1)
    folded = fold(own, columns([{"carrier": "A"}, {"carrier": "B", "t": 3600}], own))
    assert (len(folded.partials), folded.refused) == (2, {})


def test_an_event_of_a_full_hopping_window_opens_no_group_in_another() -> None:
    own = aggregate(windows=Hopping(10, 5), max_groups=1)
    events = [{"carrier": "A", "t": 7}, {"carrier": "B", "t": 12}, {"carrier": "C", "t": 16}]
    folded = fold(own, columns(events, own))
    assert sorted(key.group for key in folded.partials) == ['["A"]', '["A"]', '["C"]', '["C"]']
    assert list(folded.refused) == [1]


def test_sessions_have_a_cap_of_groups_too() -> None:
    own = aggregate(windows=Session(10), max_groups=1)
    folded = fold(own, columns([{"carrier": "A"}, {"carrier": "B"}], own), known={None: {'["A"]'}})
    assert ([key.group for key in folded.partials], list(folded.refused)) == (['["A"]'], [1])


def test_only_the_prefix_is_folded() -> None:
    own = aggregate(COUNT, TOTAL, future=60)
    events: list[dict[str, Any]] = [
        {"carrier": "A", "delay": 1},
        {"carrier": "A", "delay": "x"},
        {"carrier": "B", "t": 1e9, "arrived": -1e9},
    ]
    folded = fold(own, columns(events, own), upto=1)
    assert folded == Folded({Key("delays", HOUR, '["A"]'): (1, (1, 0, False))}, {}, {}, {}, 0.0)


def test_an_empty_prefix_folds_nothing() -> None:
    own = aggregate(COUNT, TOTAL, MEAN, future=1)
    assert fold(own, columns([{"carrier": "A"}], own), upto=0, watermark=5) == Folded()


def test_events_that_are_left_out_are_neither_folded_nor_told() -> None:
    own = aggregate(COUNT, MEAN)
    events = [{"carrier": "A", "delay": 1}, {"carrier": "A", "t": 9999}, {"carrier": "B", "delay": 2, "t": 9999}]
    folded = fold(own, columns(events, own), watermark=5000, without={0, 1})
    assert (found(own, folded), folded.refused, folded.late) == ({(7200, '["B"]'): {"n": 1, "mean": 2.0}}, {}, {})


def test_what_one_aggregate_refuses_no_other_counts() -> None:
    strict, lax = aggregate(MEAN), Aggregate("all", (), Tumbling(3600), (COUNT,))
    events: list[dict[str, Any]] = [{"carrier": "A", "delay": 1}, {"carrier": "A", "delay": "x"}]
    both, refused = fold_all([lax, strict], columns(events, lax, strict))
    assert (found(lax, both["all"]), found(strict, both["delays"]), list(refused)) == (
        {(0, "[]"): {"n": 1}},
        {(0, '["A"]'): {"mean": 1.0}},
        [1],
    )


def test_folding_changes_none_of_its_arguments() -> None:
    own = aggregate(COUNT, TOTAL, MEAN, max_groups=1)
    events: list[dict[str, Any]] = [
        {"carrier": "A", "delay": 1},
        {"carrier": "B", "delay": 2},
        {"carrier": True, "delay": None},
    ]
    brought = columns(events, own)
    known: Known = {HOUR: {'["A"]'}}
    fold(own, brought, watermark=1, known=known, without=[0])
    assert (brought, known) == (columns(events, own), {HOUR: {'["A"]'}})


def test_a_bug_in_a_users_accumulator_refuses_its_events() -> None:
    own = aggregate(COUNT, Output("x", make("custom", reference="tests.aggregates.support:Buggy"), "v", "reject"))
    events = [{"carrier": "A", "v": value} for value in ("a", "bb", "B", "no", "", 3)]
    folded = fold(own, columns(events, own))
    assert found(own, folded) == {(0, '["A"]'): {"n": 2, "x": "bb"}}
    assert {index: (one.reason, one.message) for index, one in folded.refused.items()} == {
        2: (
            "x failed: TypeError",
            """x failed with the text 'B': TypeError('can only concatenate str (not "int") to str')""",
        ),
        3: ("not that", "it is no"),
        4: ("v is unusable: check failed: ValueError", "v: its check failed: ValueError('empty')"),
        5: (
            "x failed: AttributeError",
            """x failed with the number 3: AttributeError("'int' object has no attribute 'islower'")""",
        ),
    }


def test_a_bug_that_no_single_event_shows_is_raised() -> None:
    own = aggregate(Output("x", make("custom", reference="tests.aggregates.support:FailsTogether"), "v"))
    with pytest.raises(ZeroDivisionError):
        fold(own, columns([{"carrier": "A", "v": "a"}, {"carrier": "A", "v": "b"}], own))


def test_first_and_last_take_the_places_of_the_batch() -> None:
    own = aggregate(Output("a", make("first"), "v"), Output("z", make("last"), "v"))
    events = [{"carrier": "A", "v": value, "t": t} for value, t in (("x", 5), ("y", 5), (None, 9), ("w", 5))]
    assert found(own, fold(own, columns(events, own))) == {(0, '["A"]'): {"a": "x", "z": "w"}}


def test_parts_of_a_batch_are_put_together() -> None:
    own = aggregate(TOTAL)
    reader = ColumnReader(expressions([own]))
    brought = Columns({}, [])
    for delay in (1, 2):
        brought.extend(reader.read([{"carrier": "A", "delay": delay}]), [0.0])
    assert found(own, fold(own, brought)) == {(0, '["A"]'): {"total": 3}}
