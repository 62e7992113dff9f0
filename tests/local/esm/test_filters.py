from typing import Any

import orjson
import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.local.esm.filters import compile_filters

from .harness import SHARD, harness, record

ABSENT_OR_NULL: list[dict[str, Any]] = [{}, {"a": {}}, {"a": {"b": None}}]


def passes(pattern: Any, data: bytes | dict[str, Any], **fields: Any) -> bool:
    raw = data if isinstance(data, bytes) else orjson.dumps(data)
    return compile_filters([orjson.dumps(pattern).decode()]).passes({"partitionKey": "k", **fields}, raw)


@pytest.mark.parametrize(
    ("rule", "matching", "other"),
    [
        (["UA"], "UA", "ua"),
        ([""], "", "x"),
        ([None], None, 0),
        ([1], 1.0, True),
        ([True], True, 1),
        (["UA", "B6"], "B6", "AA"),
        ([{"prefix": "N1"}], "N14228", "M14228"),
        ([{"suffix": "28"}], "N14228", 28),
        ([{"equals-ignore-case": "ewr"}], "EWR", "JFK"),
        ([{"exists": True}], None, {"nested": 1}),
        ([{"anything-but": "UA"}], "AA", "UA"),
        ([{"anything-but": ["UA", 3]}], 4, 3),
        ([{"numeric": ["=", 5]}], 5.0, "5"),
        ([{"numeric": [">", 0, "<=", 10]}], 10, 0),
        ([{"numeric": ["<", 0]}, "late"], "late", 1),
        ([{"prefix": "b"}], ["a", "b1"], ["a"]),
    ],
)
def test_a_rule_tells_values_apart(rule: list[Any], matching: object, other: object) -> None:
    pattern = {"data": {"field": rule}}
    assert (passes(pattern, {"field": matching}), passes(pattern, {"field": other})) == (True, False)


def test_exists_false_matches_only_an_absent_field() -> None:
    pattern = {"data": {"a": {"b": [{"exists": False}]}}}
    assert [passes(pattern, data) for data in ABSENT_OR_NULL] == [True, True, False]


def test_anything_but_does_not_match_an_absent_field() -> None:
    assert passes({"data": {"a": [{"anything-but": "x"}]}}, {}) is False


def test_all_fields_of_a_pattern_must_match() -> None:
    pattern = {"data": {"a": [1], "b": {"c": [2]}}}
    assert [passes(pattern, data) for data in ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, {"a": 1})] == [
        True,
        False,
        False,
    ]


def test_or_needs_one_of_its_branches_and_all_fields_beside_it() -> None:
    pattern = {"data": {"x": [0], "$or": [{"a": [1]}, {"b": [2]}]}}
    assert [passes(pattern, d) for d in ({"x": 0, "b": 2}, {"x": 0, "a": 2}, {"x": 1, "a": 1})] == [True, False, False]


def test_several_filters_are_joined_by_or() -> None:
    filters = compile_filters(['{"data": {"a": [1]}}', '{"data": {"a": [2]}}'])
    assert [filters.passes({}, b'{"a": %d}' % a) for a in (1, 2, 3)] == [True, True, False]


def test_data_that_is_not_json_is_dropped_by_a_pattern_on_data() -> None:
    assert passes({"data": {"a": [{"exists": False}]}}, b"\xff") is False


def test_without_a_data_key_only_the_metadata_is_judged() -> None:
    assert [passes({"partitionKey": [key]}, b"\xff") for key in ("k", "l")] == [True, False]


def test_filtered_records_are_never_delivered_and_the_checkpoint_moves_past_them() -> None:
    feed = [record(n, data=b'{"keep": %s}' % (b"true" if n % 2 else b"false")) for n in range(1, 5)]
    run = harness(feed=[*feed, record(5, data=b"not json")], filters=('{"data": {"keep": [true]}}',)).run()
    assert (run.batches, run.gone, run.mapping.checkpoint(SHARD)) == ([["1", "3"]], [], "5")


def test_a_batch_of_filtered_records_alone_moves_the_checkpoint_without_an_invocation() -> None:
    run = harness(feed=[record(1, data=b"{}")], filters=('{"data": {"keep": [true]}}',)).run()
    assert (run.batches, run.mapping.checkpoint(SHARD), run.mapping.counts.filtered) == ([], "1", 1)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"data": "text"}', "must be a JSON object"),
        ('{"data": {"a": "x"}}', "at data.a of pattern"),
        ('{"data": {"a": []}}', "at data.a of pattern"),
        ('{"data": {"a": [{"wildcard": "x*"}]}}', "is no comparison of Lambda's event filtering"),
        ('{"data": {"a": [{"prefix": 1}]}}', "operand has the wrong type"),
        ('{"data": {"a": [{"numeric": ["~", 1]}]}}', 'must be like ["=", 1]'),
        ('{"data": {"a": [{"anything-but": []}]}}', "must be a string, a number or a list of them"),
        ('{"data": {"$or": [{"a": [1]}]}}', "$or must be a list of at least two objects"),
        ('{"a": ["' + "x" * 4096 + '"]}', "it must be 0 to 4096"),
    ],
)
def test_a_wrong_pattern_is_refused_with_its_place(pattern: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        compile_filters([pattern])
    assert message in str(refused.value)
