from __future__ import annotations

from typing import Any

import pytest

from .support import mistakes, run


def test_set_computes_in_order_each_seeing_the_ones_before() -> None:
    assert run([{"set": {"b": "a + 1", "c": "b * 2"}}], {"a": 1}).values == [{"a": 1, "b": 2, "c": 4}]


def test_set_takes_numbers_and_booleans_as_they_are() -> None:
    result = run([{"set": {"a": True, "b": 3, "c": -1.5, "d": "'text'", "e": "null"}}], {})
    assert result.values == [{"a": True, "b": 3, "c": -1.5, "d": "text", "e": None}]


def test_set_makes_the_objects_on_the_way() -> None:
    assert run([{"set": {"u.v.w": "1"}}], {}, {"u": {"x": 2}}).values == [
        {"u": {"v": {"w": 1}}},
        {"u": {"x": 2, "v": {"w": 1}}},
    ]


def test_set_does_not_replace_a_value_by_an_object() -> None:
    result = run([{"set": {"u.v": "1"}}], {"u": "text"})
    assert result.rejected == [(0, "transforms[0].set", "u is no object")]
    assert result.messages == ["`1`: u.v cannot be set: u is the text 'text'"]


def test_the_rejection_names_the_expression_that_failed_among_several() -> None:
    result = run([{"set": {"a": "1", "b": "x / y", "c": "2"}}], {"x": 1, "y": 0}, {"x": 1, "y": 2})
    assert result.values == [{"x": 1, "y": 2, "a": 1, "b": 0.5, "c": 2}]
    assert result.rejected == [(0, "transforms[0].set", "x / y: division by zero")]


@pytest.mark.parametrize(
    ("expression", "value", "reason"),
    [
        ("x * x", 2**40, "the result exceeds 64 bits"),
        ("-x - 1", 2**63, "the result exceeds 64 bits"),
        ("x * 10", 1e308, "the result is no finite number"),
        ("floor(x)", 1e300, "the result exceeds 64 bits"),
        ("x + x", "a" * 6_000_000, "the result is too long"),
    ],
)
def test_a_result_that_json_cannot_hold_is_a_rejection(expression: str, value: Any, reason: str) -> None:
    result = run([{"set": {"y": expression}}], {"x": value}, {"x": 1})
    assert (len(result.values), result.rejected) == (1, [(0, "transforms[0].set", reason)])


def test_a_copied_object_is_not_shared_with_its_source() -> None:
    result = run([{"set": {"b": "a"}}, {"set": {"a.x": "2"}}], {"a": {"x": 1}})
    assert result.values == [{"a": {"x": 2}, "b": {"x": 1}}]


def test_every_mistaken_expression_is_named() -> None:
    assert mistakes({"set": {"a": "lenght(x)", "ok": "1", "b": "x ** 2"}}) == [
        "transforms[0].set.a: there is no function 'lenght' (did you mean 'len'?), at column 1 of `lenght(x)`",
        "transforms[0].set.b: `**` is not of the language: write x * x, at column 1 of `x ** 2`",
    ]


CASTS = [
    ("int", "12", 12),
    ("int", " -12 ", -12),
    ("int", 3.0, 3),
    ("int", True, 1),
    ("int", 2**64 - 1, 2**64 - 1),
    ("float", "1.5e3", 1500.0),
    ("float", 2, 2.0),
    ("str", 1.5, "1.5"),
    ("str", True, "true"),
    ("str", {"a": [1]}, '{"a":[1]}'),
    ("bool", "TRUE", True),
    ("bool", 0, False),
    ("bool", 1.0, True),
    ("json", '{"a": 1}', {"a": 1}),
    ("json", 5, 5),
    ("int", None, None),
]


@pytest.mark.parametrize(("wanted", "value", "result"), CASTS)
def test_cast_converts(wanted: str, value: Any, result: Any) -> None:
    (event,) = run([{"cast": {"x": wanted}}], {"x": value}).values
    assert (event, type(event["x"])) == ({"x": result}, type(result))


REFUSED = [
    ("int", "1_000", "x is not an integer"),
    ("int", "1.0", "x is not an integer"),
    ("int", 3.5, "x is not an integer"),
    ("int", "١٢", "x is not an integer"),
    ("int", "18446744073709551616", "x is not an integer"),
    ("int", [1], "x is not an integer"),
    ("float", "nan", "x is not a number"),
    ("float", "1e999", "x is not a number"),
    ("float", 2**53 + 1, "x is not a number"),
    ("bool", "yes", "x is not a boolean"),
    ("bool", 2, "x is not a boolean"),
    ("json", "{", "x is not JSON"),
]


@pytest.mark.parametrize(("wanted", "value", "reason"), REFUSED)
def test_cast_refuses_what_would_lose_something(wanted: str, value: Any, reason: str) -> None:
    result = run([{"cast": {"x": wanted}}], {"x": value})
    assert (result.values, result.rejected) == ([], [(0, "transforms[0].cast", reason)])


def test_cast_leaves_absent_fields_absent() -> None:
    assert run([{"cast": {"x": "int", "u.v": "str"}}], {}, {"u": {"v": 1}}).values == [{}, {"u": {"v": "1"}}]


TIMES = [
    ("2013-01-01T10:00:00Z", {}, "2013-01-01T10:00:00Z"),
    ("2013-01-01T10:00:00+02:00", {}, "2013-01-01T08:00:00Z"),
    ("2013-01-01 10:00", {}, "2013-01-01T10:00:00Z"),
    ("2013-01-01T10:00:00.250Z", {}, "2013-01-01T10:00:00.250000Z"),
    ("2013-W01-2T10:00:00Z", {}, "2013-01-01T10:00:00Z"),
    ("2013-07-01T10:00:00", {"timezone": "America/New_York"}, "2013-07-01T14:00:00Z"),
    ("2013-11-03T01:30:00", {"timezone": "America/New_York"}, "2013-11-03T05:30:00Z"),
    (1357034400, {"formats": ["epoch_s"]}, "2013-01-01T10:00:00Z"),
    ("1357034400123", {"formats": ["epoch_ms"]}, "2013-01-01T10:00:00.123000Z"),
    ("01/02/2013 10:30", {"formats": ["iso8601", "%d/%m/%Y %H:%M"]}, "2013-02-01T10:30:00Z"),
    ("2013-01-01T10:00:00Z", {"to": "epoch_s"}, 1357034400.0),
    ("2013-01-01T10:00:00.0019Z", {"to": "epoch_ms"}, 1357034400001),
    (None, {}, None),
]


@pytest.mark.parametrize(("value", "options", "result"), TIMES)
def test_parse_time_normalises_to_utc(value: Any, options: dict[str, Any], result: Any) -> None:
    assert run([{"parse_time": {"field": "t", **options}}], {"t": value}).values == [{"t": result}]


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("2013-13-01T10:00:00Z", {}),
        ("yesterday", {}),
        (5, {}),
        (True, {"formats": ["epoch_s"]}),
        (1e300, {"formats": ["epoch_s"]}),
        (float("nan"), {"formats": ["epoch_ms"]}),
        ("2013-03-10T02:30:00", {"timezone": "America/New_York"}),
    ],
)
def test_parse_time_refuses_what_is_no_time(value: Any, options: dict[str, Any]) -> None:
    result = run([{"parse_time": {"field": "t", **options}}], {"t": value})
    wanted = ", ".join(options.get("formats", ["iso8601"]))
    assert (result.values, result.rejected) == ([], [(0, "transforms[0].parse_time", f"t is not a time ({wanted})")])


def test_parse_time_can_write_to_another_field() -> None:
    result = run([{"parse_time": {"field": "t", "into": "u.t", "to": "epoch_ms"}}], {"t": "1970-01-01T00:00:01Z"})
    assert result.values == [{"t": "1970-01-01T00:00:01Z", "u": {"t": 1000}}]


def test_unknown_formats_and_zones_are_mistakes() -> None:
    formats, zone = mistakes(
        {"parse_time": {"field": "t", "formats": ["rfc"]}}, {"parse_time": {"field": "t", "timezone": "Mars/Olympus"}}
    )
    assert formats.startswith("transforms[0].parse_time.formats: 'rfc' is no time format; write iso8601, epoch_s")
    assert zone.startswith("transforms[1].parse_time.timezone: 'Mars/Olympus' is no time zone; write an IANA name")
