from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherstream.records import Events, Rejection
from aetherstream.transforms.determinism import check_determinism

from .support import compiled, run

Record = dict[str, Any]


def test_no_steps_change_nothing() -> None:
    result = run([], {"a": 1})
    assert (result.values, result.rejected, result.dropped) == ([{"a": 1}], [], 0)


def test_an_empty_batch_stays_empty() -> None:
    result = run([{"split": {"field": "x"}}, {"filter": "a"}, {"select": ["a"]}])
    assert (result.values, result.rejected, result.dropped, result.events.nths) == ([], [], 0, None)


def test_a_batch_of_which_everything_is_rejected_reaches_no_later_step() -> None:
    result = run([{"cast": {"a": "int"}}, {"set": {"b": "1 / 0"}}], {"a": "x"}, {"a": "y"})
    assert (result.values, [where for _, where, _ in result.rejected]) == ([], ["transforms[0].cast"] * 2)


def test_the_time_of_each_step_is_added_under_its_name() -> None:
    timings: dict[str, float] = {"transforms[0].drop": 1000.0}
    transform = compiled([{"drop": ["a"]}, {"filter": "b"}])
    transform.apply(Events([{"b": 1}], [0], [0]), [], timings)
    assert sorted(timings) == ["transforms[0].drop", "transforms[1].filter"]
    assert timings["transforms[0].drop"] > 1000.0


def test_events_that_come_numbered_are_numbered_anew() -> None:
    events = Events([{"a": 0}, {"a": 1}, {"a": 2}], [0, 0, 1], [0, 0, 0], nths=[0, 1, 0])
    dropped = compiled([{"filter": "a"}]).apply(events, [])
    assert (events.values, events.nths, dropped) == ([{"a": 1}, {"a": 2}], None, 0)


STEPS: list[dict[str, Any]] = [
    {"split": {"field": "x", "empty": "drop"}},
    {"filter": "x != 0"},
    {"set": {"y": "10 / (x - 3)"}},
    {"python": "tests.transforms.steps:change"},
    {"split": {"field": "z", "empty": "keep"}},
    {"cast": {"z": "int"}},
    {"filter": "z != 5"},
]


def oracle(record: Record) -> tuple[str, list[Record]]:
    """What the steps make of one record, written naively: what it is, and its events."""
    made = []
    for x in record["x"] or []:
        if x == 0:
            continue
        event = {**record, "x": x}
        if x is None or x == 3:
            return "rejected", []
        event["y"] = 10 / (x - 3)
        event["changed"] = True
        made.append(event)
    final = []
    for event in made:
        if isinstance(event["z"], str):
            return "rejected", []
        for z in event["z"] or [event["z"]]:
            if isinstance(z, str) and not z.isdigit():
                return "rejected", []
            final.append({**event, "z": int(z) if isinstance(z, str) else z})
    # An empty list is kept as it is, and is no integer.
    if any(event["z"] == [] for event in final):
        return "rejected", []
    final = [event for event in final if event["z"] != 5]
    return ("passed" if final else "dropped"), final


records = st.fixed_dictionaries(
    {
        "x": st.none() | st.lists(st.sampled_from([0, 1, 2, 3, None]), max_size=4),
        "z": st.none() | st.just("text") | st.lists(st.sampled_from([4, 5, "6", "bad"]), max_size=3),
    }
)


@settings(deadline=None)
@given(st.lists(st.tuples(records, st.integers(1, 3)), max_size=6))
def test_any_batch_comes_out_as_record_by_record(batch: list[tuple[Record, int]]) -> None:
    keys = [(number, sub) for number, (_, subs) in enumerate(batch) for sub in range(subs)]
    values = [copy.deepcopy(batch[number][0]) for number, _ in keys]
    events = Events(values, [record for record, _ in keys], [sub for _, sub in keys])
    rejections: list[Rejection] = []
    dropped = compiled(STEPS).apply(events, rejections)

    expected = {key: oracle(batch[key[0]][0]) for key in keys}
    passed = [(key, n, event) for key in keys for n, event in enumerate(expected[key][1])]
    nths = events.nths or [0] * len(events)
    came = list(zip(zip(events.records, events.subs, strict=True), nths, events.values, strict=True))
    assert came == passed
    assert sorted((r.record, r.sub) for r in rejections) == [key for key in keys if expected[key][0] == "rejected"]
    assert dropped == sum(kind == "dropped" for kind, _ in expected.values())
    assert (events.nths is None) == all(n == 0 for n in nths)


@settings(deadline=None)
@given(st.lists(records, max_size=8), st.integers(0, 8))
def test_a_batch_can_be_cut_anywhere(batch: list[Record], cut: int) -> None:
    def outcome(parts: list[list[tuple[int, Record]]]) -> tuple[list[Any], int]:
        made: list[Any] = []
        dropped = 0
        for part in parts:
            events = Events([copy.deepcopy(value) for _, value in part], [n for n, _ in part], [0] * len(part))
            rejections: list[Rejection] = []
            dropped += compiled(STEPS).apply(events, rejections)
            made += zip(events.records, events.nths or [0] * len(events), events.values, strict=True)
            made += sorted((r.record, r.where, r.reason) for r in rejections)
        return sorted(made, key=repr), dropped

    numbered = list(enumerate(batch))
    assert outcome([numbered]) == outcome([numbered[:cut], numbered[cut:]])


def test_deterministic_steps_pass_the_check() -> None:
    values: list[Record] = [{"x": [1, 0, None], "z": None}, {"x": [1], "z": ["6"]}, {"x": None, "z": None}]
    assert check_determinism(compiled(STEPS), values) == []


@pytest.mark.parametrize("name", ["counting", "alternating"])
def test_a_step_that_keeps_something_from_one_event_to_the_next_is_found(name: str) -> None:
    found = check_determinism(compiled([{"python": f"tests.transforms.steps:{name}"}]), [{"n": 1}, {"n": 0}, {"n": 1}])
    assert found
    assert found[0].startswith("event ")
