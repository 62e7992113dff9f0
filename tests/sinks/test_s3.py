import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aetherstream.errors import Rejected
from aetherstream.records import Event, Events
from aetherstream.sinks.s3 import HIVE_NULL, PartitionKey, S3Archive, by_field, by_time, path_safe
from aetherstream.testing.builders import START

SAFE = re.compile(r"[A-Za-z0-9!_.()%\-]+")
"""What S3 calls safe in keys ("Object key naming"), and the percent sign of the escapes."""


def placed(values: Sequence[Event], *keys: PartitionKey, times: list[float] | None = None) -> tuple[Any, Any]:
    times = [START] * len(values) if times is None else times
    events = Events(list(values), list(range(len(values))), [0] * len(values), times=times)
    sink = S3Archive("archive", bucket="b", prefix="p", partition=keys)
    paths, refused = sink.partition(events, range(len(values)))
    return paths, {index: error.reason for index, error in refused.items()}


def test_time_keys_make_hive_style_paths_in_utc() -> None:
    times = [START, START + 3599, START + 3600]
    assert placed([{}, {}, {}], by_time("day"), by_time("hour"), times=times) == (
        {"day=2025-11-21/hour=08": [0, 1], "day=2025-11-21/hour=09": [2]},
        {},
    )


@pytest.mark.parametrize(
    ("unit", "path"),
    [("year", "year=2025"), ("month", "month=2025-11"), ("day", "day=2025-11-21"), ("hour", "hour=08")],
)
def test_each_unit_of_time_has_its_text(unit: Any, path: str) -> None:
    assert placed([{}], by_time(unit)) == ({path: [0]}, {})


def test_hours_of_one_month_share_its_object() -> None:
    assert placed([{}, {}], by_time("month"), times=[START, START + 86400]) == ({"month=2025-11": [0, 1]}, {})


def test_times_before_1970_belong_to_their_hour() -> None:
    assert placed([{}], by_time("day"), by_time("hour"), times=[-1.0]) == ({"day=1969-12-31/hour=23": [0]}, {})


def test_a_field_makes_a_partition_of_each_value() -> None:
    values = [{"origin": "JFK"}, {"origin": "LGA"}, {"origin": "JFK"}]
    assert placed(values, by_field("origin")) == ({"origin=JFK": [0, 2], "origin=LGA": [1]}, {})


def test_a_nested_field_goes_by_its_last_name_or_a_given_one() -> None:
    values = [{"a": {"b": 1}}]
    assert placed(values, by_field("a.b")) == ({"b=1": [0]}, {})
    assert placed(values, by_field("a.b", "c")) == ({"c=1": [0]}, {})


@pytest.mark.parametrize("value", [{}, {"p": None}, {"p": ""}])
def test_what_is_missing_goes_to_hives_default_partition(value: Event) -> None:
    assert placed([value], by_field("p")) == ({f"p={HIVE_NULL}": [0]}, {})


@pytest.mark.parametrize("value", [{}, {"a": None}, {"a": 7}, {"a": []}])
def test_a_broken_path_is_missing_too(value: Event) -> None:
    assert placed([value], by_field("a.b")) == ({f"b={HIVE_NULL}": [0]}, {})


def test_values_that_are_equal_in_python_but_written_differently_stay_apart() -> None:
    values: list[Event] = [{"p": True}, {"p": 1}, {"p": 1.0}, {"p": 0}, {"p": False}]
    assert placed(values, by_field("p")) == ({"p=true": [0], "p=1": [1], "p=1.0": [2], "p=0": [3], "p=false": [4]}, {})


def test_values_that_are_written_alike_share_one_object_in_order() -> None:
    values: list[Event] = [{"p": 1}, {"p": "1"}, {"p": 1}, {"p": "true"}, {"p": True}, {}, {"p": HIVE_NULL}]
    assert placed(values, by_field("p")) == ({"p=1": [0, 1, 2], "p=true": [3, 4], f"p={HIVE_NULL}": [5, 6]}, {})


@pytest.mark.parametrize("value", [[1], {"a": 1}])
@pytest.mark.parametrize("keys", [(by_field("p"),), (by_time("day"), by_field("p"))])
def test_a_value_that_is_no_scalar_is_refused(value: object, keys: tuple[PartitionKey, ...]) -> None:
    paths, refused = placed([{"p": "a"}, {"p": value}], *keys)
    assert (list(paths.values()), refused) == ([[0]], {1: "partition value is not a scalar"})


def test_a_value_that_is_too_long_is_refused() -> None:
    paths, refused = placed([{"p": "x" * 201}, {"p": "x" * 200}, {"p": "é" * 34}], by_field("p"))
    assert (list(paths.values()), refused) == ([[1]], dict.fromkeys((0, 2), "partition value is too long"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a/b", "a%2Fb"),
        ("a=b", "a%3Db"),
        ("50%", "50%25"),
        ("Zürich", "Z%C3%BCrich"),
        ("a b", "a%20b"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("a\n", "a%0A"),
        (1.5, "1.5"),
        (-7, "-7"),
        (True, "true"),
    ],
)
def test_a_value_is_escaped_as_hive_does(value: object, text: str) -> None:
    assert path_safe(value) == text


@given(st.text(max_size=30))
@settings(max_examples=400, deadline=None)
def test_a_written_text_is_safe_in_s3_and_reads_back(text: str) -> None:
    try:
        written = path_safe(text)
    except Rejected:
        return
    assert SAFE.fullmatch(written)
    assert written not in {".", ".."}
    assert unquote(written, errors="surrogatepass") == (text or HIVE_NULL)


@given(st.text(max_size=12), st.text(max_size=12))
@settings(max_examples=400, deadline=None)
def test_different_texts_are_written_differently(one: str, other: str) -> None:
    if one != other and HIVE_NULL not in {one, other}:
        assert path_safe(one) != path_safe(other)


@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)), max_size=20))
@example([0.0, -0.0])
@settings(max_examples=200, deadline=None)
def test_partitioning_places_every_value_once_under_its_text(values: list[Any]) -> None:
    paths, refused = placed([{"p": value} for value in values], by_field("p"))
    assert refused == {}
    by_index = {index: path for path, members in paths.items() for index in members}
    assert [by_index[index] for index in range(len(values))] == [f"p={path_safe(value)}" for value in values]
