from __future__ import annotations

from typing import Any

import pytest

from aetherstream.errors import Retryable

from .support import mistakes, run


def step(name: str, **fixed: Any) -> list[dict[str, Any]]:
    call = f"tests.transforms.steps:{name}"
    return [{"python": {"call": call, "with": fixed} if fixed else call}]


def test_a_function_changes_the_event() -> None:
    assert run(step("change"), {"n": 1}).values == [{"n": 1, "changed": True}]


def test_none_drops_the_event() -> None:
    result = run(step("drop_odd"), {"n": 1}, {"n": 2}, {"n": 3})
    assert (result.values, result.events.records, result.dropped) == ([{"n": 2}], [1], 2)


def test_a_generator_makes_several_events() -> None:
    result = run(step("repeat"), {"n": 2}, {"n": 0}, {"n": 1})
    assert result.values == [{"n": 2, "index": 0}, {"n": 2, "index": 1}, {"n": 1, "index": 0}]
    assert (result.events.records, result.events.nths, result.dropped) == ([0, 0, 2], [0, 1, 0], 1)


def test_fixed_arguments_are_passed_by_name() -> None:
    result = run(step("limit", most=2), {"n": 2}, {"n": 3})
    assert (result.values, result.rejected) == ([{"n": 2}], [(1, "transforms[0].python", "too large")])
    assert result.messages == ["3 is more than 2"]


def test_a_bug_is_a_rejection_of_that_record_with_the_line() -> None:
    result = run(step("buggy"), {"n": 5}, {"n": 0}, {}, {"n": 2})
    assert result.values == [{"n": 5, "half": 2.0}, {"n": 2, "half": 5.0}]
    assert result.rejected == [
        (1, "transforms[0].python", "ZeroDivisionError in tests.transforms.steps:buggy"),
        (2, "transforms[0].python", "KeyError in tests.transforms.steps:buggy"),
    ]
    assert '`event["half"] = 10 / event["n"]`: division by zero' in result.messages[0]
    assert "steps.py line " in result.messages[0]


def test_a_bug_in_a_generator_takes_its_events_along() -> None:
    result = run(step("buggy_generator"), {"n": 1})
    assert (result.values, result.rejected) == (
        [],
        [(0, "transforms[0].python", "KeyError in tests.transforms.steps:buggy_generator")],
    )


def test_stop_iteration_does_not_cut_the_batch() -> None:
    result = run(step("stops"), {"n": 1}, {"n": 0}, {"n": 2})
    assert (result.values, [record for record, _, _ in result.rejected]) == ([{"n": 1}, {"n": 2}], [1])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no_memory", MemoryError),
        ("interrupted", KeyboardInterrupt),
        ("exits", SystemExit),
        ("not_now", Retryable),
    ],
)
def test_what_is_not_the_records_fault_propagates(name: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        run(step(name), {"n": 1})


@pytest.mark.parametrize(("name", "what"), [("text", "str"), ("texts", "list with str in it")])
def test_another_result_is_a_rejection_that_names_the_function(name: str, what: str) -> None:
    result = run(step(name), {"n": 1})
    assert result.rejected == [(0, "transforms[0].python", f"wrong result of tests.transforms.steps:{name}")]
    assert result.messages == [
        f"tests.transforms.steps:{name} returned {what}; a step returns a dict, None, or several dicts"
    ]


def test_a_kind_of_dict_becomes_a_dict() -> None:
    (event,) = run(step("ordered"), {"n": 1}).values
    assert (event, type(event)) == ({"n": 1, "ordered": True}, dict)


def test_a_function_that_makes_events_without_end_is_stopped() -> None:
    assert run(step("endless"), {"n": 1}).rejected == [
        (0, "transforms[0].python", "too many events from tests.transforms.steps:endless")
    ]


def test_an_event_returned_twice_becomes_two_events() -> None:
    result = run([*step("twice_the_same"), {"set": {"u.x": "u.x + 1"}}], {"u": {"x": 1}})
    first, second = result.values
    assert (first, second, first is second, first["u"] is second["u"]) == (
        {"u": {"x": 2}},
        {"u": {"x": 2}},
        False,
        False,
    )


def test_an_object_of_the_module_returned_for_every_event_becomes_an_event_each() -> None:
    result = run(step("always_the_same"), {"n": 1}, {"n": 2})
    assert [event["n"] for event in result.values] == [1, 2]


def test_a_function_gets_values_of_its_own_behind_a_function_that_makes_several_events() -> None:
    result = run([*step("repeat"), *step("change_nested")], {"n": 2, "row": {}})
    assert [event["row"] for event in result.values] == [{"changed": 1}, {"changed": 1}]


def test_a_function_gets_values_of_its_own_behind_a_copied_field() -> None:
    result = run([{"set": {"copy": "row"}}, *step("change_nested")], {"row": {}})
    assert result.values == [{"row": {"changed": 1}, "copy": {}}]


def test_a_function_gets_nested_values_of_its_own_behind_a_split() -> None:
    result = run([{"split": {"field": "x"}}, *step("change_nested")], {"row": {}, "x": [1, 2]})
    assert result.values == [{"row": {"changed": 1}, "x": 1}, {"row": {"changed": 1}, "x": 2}]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("tests.transforms.steps:chang", "tests.transforms.steps has no function 'chang' (did you mean 'change'?)"),
        ("tests.transforms.steps:no_function", "tests.transforms.steps:no_function is a int, no function"),
        (
            "tests.transforms.steps:asynchronous",
            "tests.transforms.steps:asynchronous is an async function: a step is a plain one, it does no I/O",
        ),
        (
            "tests.transforms.steps:limit",
            "tests.transforms.steps:limit cannot be called with an event: missing a required argument: 'most'",
        ),
    ],
)
def test_a_function_that_cannot_be_called_is_a_mistake(reference: str, message: str) -> None:
    assert mistakes({"python": reference}) == [f"transforms[0].python: {message}"]
