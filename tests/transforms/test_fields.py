from __future__ import annotations

from .support import mistakes, run


def test_select_keeps_the_named_fields_in_the_order_of_the_list() -> None:
    result = run([{"select": ["b", "a"]}], {"a": 1, "b": None, "c": 3})
    assert [list(value.items()) for value in result.values] == [[("b", None), ("a", 1)]]


def test_select_leaves_absent_fields_absent() -> None:
    assert run([{"select": ["a", "b"]}], {"b": 1}, {"c": 1}).values == [{"b": 1}, {}]


def test_select_keeps_nested_fields_in_their_objects() -> None:
    event = {"user": {"name": "x", "age": 3}, "z": 1}
    assert run([{"select": ["user.name", "user.city"]}], event).values == [{"user": {"name": "x"}}]


def test_select_of_a_field_and_a_part_of_it_is_a_mistake() -> None:
    assert mistakes({"select": ["user.name", "user"]}) == [
        "transforms[0].select[0]: user.name is part of a field that is kept as a whole: leave out one of them"
    ]


def test_drop_removes_fields_and_nested_fields_where_they_are() -> None:
    assert run([{"drop": ["a", "u.x"]}], {"a": 1, "u": {"x": 1, "y": 2}}, {"u": 5}, {}).values == [
        {"u": {"y": 2}},
        {"u": 5},
        {},
    ]


def test_a_dot_in_a_name_is_written_with_a_backslash() -> None:
    assert run([{"drop": [r"a\.b"]}], {"a.b": 1, "a": {"b": 2}}).values == [{"a": {"b": 2}}]


def test_an_empty_part_of_a_path_is_a_mistake() -> None:
    said = "'b..c' has an empty part: write names joined by single dots, and `\\.` for a dot in a name"
    assert mistakes({"drop": ["a", "b..c"]}) == [f"transforms[0].drop[1]: {said}"]


def test_rename_passes_over_absent_fields() -> None:
    assert run([{"rename": {"a": "b"}}], {"a": 1}, {"c": 2}).values == [{"b": 1}, {"c": 2}]


def test_rename_does_not_write_over_a_field() -> None:
    result = run([{"rename": {"a": "b"}}], {"a": 1, "b": 2}, {"b": 3})
    assert result.values == [{"b": 3}]
    assert result.rejected == [(0, "transforms[0].rename", "b is there already")]
    assert result.messages == ["a cannot be renamed to b, which is there already: drop it before"]


def test_two_fields_can_change_places() -> None:
    assert run([{"rename": {"a": "b", "b": "a"}}], {"a": 1, "b": 2}).values == [{"b": 1, "a": 2}]


def test_rename_moves_a_field_into_an_object() -> None:
    assert run([{"rename": {"a": "u.a", "v.b": "b"}}], {"a": 1, "v": {"b": 2}}).values == [
        {"v": {}, "u": {"a": 1}, "b": 2}
    ]


def test_rename_of_two_fields_to_one_name_is_a_mistake() -> None:
    assert mistakes({"rename": {"a": "c", "b": "c"}}) == ["transforms[0].rename: two fields get one name"]


def test_flatten_lifts_all_levels() -> None:
    event = {"a": {"b": {"c": 1}, "d": [{"e": 2}]}, "f": 3}
    assert run([{"flatten": {}}], event).values == [{"f": 3, "a_d": [{"e": 2}], "a_b_c": 1}]


def test_flatten_stops_at_the_depth() -> None:
    result = run([{"flatten": {"depth": 1, "separator": "."}}], {"a": {"b": {"c": 1}}})
    assert result.values == [{"a.b": {"c": 1}}]


def test_flatten_lifts_only_the_named_fields() -> None:
    assert run([{"flatten": {"fields": ["a"]}}], {"a": {"x": 1}, "b": {"x": 2}}).values == [{"b": {"x": 2}, "a_x": 1}]


def test_flatten_does_not_write_over_a_field() -> None:
    result = run([{"flatten": {}}], {"a": {"b": 1}, "a_b": 2})
    assert (result.values, result.rejected) == ([], [(0, "transforms[0].flatten", "a_b is there already")])


def test_flatten_takes_events_that_are_nested_more_deeply_than_python_recurses() -> None:
    deep: dict[str, object] = {"x": 1}
    for _ in range(3000):
        deep = {"n": deep}
    result = run([{"flatten": {}}], {"a": deep})
    assert [list(value.values()) for value in result.values] == [[1]]
