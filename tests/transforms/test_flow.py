from __future__ import annotations

import copy
from typing import Any

from aetherstream.records import Event, Events, Rejection

from .support import compiled, mistakes, run

ALL = frozenset({"archive", "search"})


def test_filter_keeps_what_holds_and_counts_the_rest() -> None:
    result = run([{"filter": "a"}], {"a": True}, {"a": False}, {"a": None}, {}, {"a": "text"})
    assert (result.values, result.events.records, result.dropped) == ([{"a": True}, {"a": "text"}], [0, 4], 3)


def test_filter_rejects_what_cannot_be_compared_and_goes_on() -> None:
    result = run([{"filter": "a > 1"}], {"a": 2}, {"a": None}, {"a": 0}, {"a": "x"}, {"a": 3})
    assert (result.values, result.events.records, result.dropped) == ([{"a": 2}, {"a": 3}], [0, 4], 1)
    assert result.rejected == [
        (1, "transforms[0].filter", "a > 1: a is null"),
        (3, "transforms[0].filter", "a > 1: does not work with text and number"),
    ]


def test_split_makes_one_event_of_each_element() -> None:
    result = run(
        [{"split": {"field": "items", "into": "item", "index": "n"}}], {"id": 7, "items": ["a", "b"]}, {"items": ["c"]}
    )
    assert result.values == [{"id": 7, "item": "a", "n": 0}, {"id": 7, "item": "b", "n": 1}, {"item": "c", "n": 0}]
    assert (result.events.records, result.events.nths, result.dropped) == ([0, 0, 1], [0, 1, 0], 0)


def test_split_puts_the_element_in_the_place_of_the_list() -> None:
    assert run([{"split": {"field": "a.b"}}], {"a": {"b": [1, 2], "c": 3}}).values == [
        {"a": {"b": 1, "c": 3}},
        {"a": {"b": 2, "c": 3}},
    ]


def test_events_are_not_numbered_where_each_record_makes_one() -> None:
    assert run([{"split": {"field": "x"}}], {"x": [1]}, {"x": [2]}).events.nths is None


def test_numbers_are_given_over_the_final_events_of_a_record() -> None:
    result = run([{"split": {"field": "x"}}, {"filter": "x != 1"}], {"x": [1, 2, 3]}, {"x": [4, 1]})
    assert (result.values, result.events.nths) == ([{"x": 2}, {"x": 3}, {"x": 4}], [0, 1, 0])


def test_a_record_without_elements_is_rejected_dropped_or_kept_by_choice() -> None:
    events: list[Event] = [{"x": []}, {"x": None}, {"y": 1}]
    refused = run([{"split": {"field": "x"}}], *copy.deepcopy(events))
    dropped = run([{"split": {"field": "x", "empty": "drop"}}], *copy.deepcopy(events))
    kept = run([{"split": {"field": "x", "empty": "keep"}}], *copy.deepcopy(events))
    assert (refused.values, [record for record, _, _ in refused.rejected], refused.dropped) == ([], [0, 1, 2], 0)
    assert (dropped.values, dropped.rejected, dropped.dropped) == ([], [], 3)
    assert (kept.values, kept.rejected, kept.dropped) == (events, [], 0)


def test_split_of_what_is_no_list_is_a_rejection() -> None:
    result = run([{"split": {"field": "x"}}], {"x": "abc"})
    assert result.rejected == [(0, "transforms[0].split", "x is no list")]


def test_split_of_too_long_a_list_is_a_rejection() -> None:
    assert run([{"split": {"field": "x"}}], {"x": [0] * 10_001}).rejected == [
        (0, "transforms[0].split", "x is too long")
    ]


def test_the_events_of_a_split_do_not_share_what_later_steps_change() -> None:
    steps: list[dict[str, Any]] = [{"split": {"field": "x"}}, {"set": {"u.x": "x"}}, {"drop": ["u.y"]}]
    result = run(steps, {"u": {"y": 0}, "x": [1, 2]})
    assert result.values == [{"u": {"x": 1}, "x": 1}, {"u": {"x": 2}, "x": 2}]


def test_a_rejected_event_takes_all_events_of_its_record_along_once() -> None:
    result = run([{"split": {"field": "x"}}, {"set": {"y": "1 / x"}}], {"x": [1, 0, 2, 0]}, {"x": [5]})
    assert (result.values, result.events.records, result.dropped) == ([{"x": 5, "y": 0.2}], [1], 0)
    assert result.rejected == [(0, "transforms[1].set", "1 / x: division by zero")]


def test_a_record_that_is_dropped_in_part_and_rejected_later_counts_as_rejected_only() -> None:
    result = run([{"split": {"field": "x"}}, {"filter": "x > 1"}, {"cast": {"x": "bool"}}], {"x": [1, 2]})
    assert (result.values, len(result.rejected), result.dropped) == ([], 1, 0)


def test_the_records_of_one_kinesis_record_are_judged_apart() -> None:
    events = Events([{"x": [1, 0]}, {"x": [2]}], [4, 4], [0, 1])
    rejections: list[Rejection] = []
    compiled([{"split": {"field": "x"}}, {"set": {"x": "1 / x"}}]).apply(events, rejections)
    assert (events.values, events.records, events.subs) == ([{"x": 0.5}], [4], [1])
    assert [(r.record, r.sub) for r in rejections] == [(4, 0)]


def test_route_sends_by_the_first_case_that_holds() -> None:
    cases = [{"when": "a > 2", "to": ["search"]}, {"when": "a > 1", "to": ["archive"]}]
    result = run([{"route": {"cases": cases, "otherwise": ["archive", "search"]}}], {"a": 3}, {"a": 2}, {"a": 1})
    assert result.events.routes == [frozenset({"search"}), frozenset({"archive"}), ALL]


def test_an_event_without_a_sink_is_dropped() -> None:
    result = run([{"route": {"cases": [{"when": "a", "to": ["archive"]}], "otherwise": []}}], {"a": 1}, {"a": 0})
    assert (result.values, result.dropped) == ([{"a": 1}], 1)


def test_the_last_route_decides_and_later_steps_keep_it() -> None:
    to_search = {"route": {"cases": [{"when": "true", "to": ["search"]}], "otherwise": []}}
    to_archive = {"route": {"cases": [{"when": "a == 1", "to": ["archive"]}], "otherwise": ["search"]}}
    result = run([to_search, to_archive, {"filter": "a > 0"}], {"a": 0}, {"a": 1}, {"a": 2})
    assert result.events.routes == [frozenset({"archive"}), frozenset({"search"})]


def test_routes_follow_the_events_of_a_split() -> None:
    route = {"route": {"cases": [{"when": "a == 1", "to": ["archive"]}], "otherwise": ["search"]}}
    result = run([route, {"split": {"field": "x"}}], {"a": 1, "x": [1, 2]}, {"a": 2, "x": [3]})
    assert result.events.routes == [frozenset({"archive"})] * 2 + [frozenset({"search"})]


def test_a_pipeline_that_routes_has_routes_for_an_empty_batch_too() -> None:
    assert run([{"route": {"cases": [{"when": "a", "to": []}], "otherwise": []}}]).events.routes == []


def test_an_unknown_sink_is_a_mistake() -> None:
    assert mistakes({"route": {"cases": [{"when": "a", "to": ["serch"]}], "otherwise": ["archive"]}}) == [
        "transforms[0].route.cases[0].to[0]: there is no sink 'serch' (did you mean 'search'?)"
    ]
