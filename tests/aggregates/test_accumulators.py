from __future__ import annotations

import math
from typing import Any

import pytest

from aetherstream.aggregates.accumulators import KINDS, Folding, make
from aetherstream.errors import ConfigurationError
from aetherstream.testing.accumulators import AccumulatorContract, place
from tests.aggregates.support import Longest, column

BIG = 10**30
RESULTS: list[tuple[str, dict[str, Any], list[Any], Any]] = [
    ("count", {}, [], 0),
    ("count", {}, [None, "x", 3], 3),
    ("count", {"of_field": True}, ["x", 3], 2),
    ("sum", {}, [], None),
    ("sum", {}, [1, 2, 3], 6),
    ("sum", {}, [BIG, BIG, -1], 2 * BIG - 1),
    ("sum", {}, [0.1] * 10, 1.0),
    ("sum", {}, [1e308, 1e308, -1e308], 1e308),
    ("sum", {}, [1e308, 1e308], None),
    ("sum", {}, [1e16, 1.0, -1e16], 1.0),
    ("sum", {}, [2**53 + 1, 0.5], float(2**53 + 2)),
    ("sum", {}, [1, 1.0], 2.0),
    ("sum", {}, [5e-324, 5e-324], 1e-323),
    ("sum", {}, [0.5, -0.5], 0.0),
    ("min", {}, [], None),
    ("min", {}, [3, -2, 7], -2),
    ("min", {}, [3.5, -2, 7], -2.0),
    ("min", {}, [-0.0, 0], 0.0),
    ("min", {}, [0.5, BIG + 1, -BIG - 1], -BIG - 1),
    ("max", {}, [], None),
    ("max", {}, [3, -2, 7], 7),
    ("max", {}, [1.5, 1.25], 1.5),
    ("mean", {}, [], None),
    ("mean", {}, [1, 2], 1.5),
    ("mean", {}, [0.1, 0.2, 0.3], 0.2),
    ("mean", {}, [1e308, 1e308], 1e308),
    ("variance", {}, [], None),
    ("variance", {}, [4], None),
    ("variance", {}, [1, 2, 3, 4], 5 / 3),
    ("variance", {"population": True}, [4], 0.0),
    ("variance", {"population": True}, [1, 2, 3, 4], 1.25),
    ("variance", {}, [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16], 30.0),
    ("variance", {}, [0.1, 0.1, 0.1], 0.0),
    ("stddev", {}, [2, 4, 4, 4, 5, 5, 7, 9], math.sqrt(32 / 7)),
    ("stddev", {"population": True}, [2, 4, 4, 4, 5, 5, 7, 9], 2.0),
    ("first", {}, [], None),
    ("first", {}, ["a", "b", "c"], "a"),
    ("first", {}, [1.0, True], 1.0),
    ("last", {}, ["a", "b", "c"], "c"),
    ("last", {}, ["a", False], False),
    ("distinct", {}, [], 0),
    ("distinct", {}, ["a", "b", "a", 1, 1.0, True, "1", 1.5], 6),
    ("distinct", {}, list(range(384)), 384),
    ("quantiles", {}, [], {"p50": None, "p95": None, "p99": None}),
    ("quantiles", {"at": [0, 0.5, 0.999, 1]}, [0, 0, 0], {"p0": 0.0, "p50": 0.0, "p99_9": 0.0, "p100": 0.0}),
    ("top_k", {}, [], []),
    (
        "top_k",
        {"k": 2},
        ["b", "a", "c", "a", "b", 1, True],
        [{"value": "a", "count": 2}, {"value": "b", "count": 2}],
    ),
    ("top_k", {"k": 3}, [1, 1.0, True, "1"], [
        {"value": 1, "count": 2}, {"value": "1", "count": 1}, {"value": True, "count": 1},
    ]),
    ("rate", {}, [], None),
    ("rate", {"length": 60, "per": 60}, [None] * 30, 30.0),
    ("rate", {"length": 3600, "of_field": True}, [1800, 0.5], 0.5001388888888889),
    ("rate", {}, ["a", "b", "c"], 1.5),
    ("rate", {}, ["a"], None),
    ("custom", {"reference": "tests.aggregates.support:Longest"}, ["a", "bcd", "efg"], "bcd"),
    ("custom", {"reference": "tests.aggregates.support:Longest", "arguments": {"at_most": 2}}, ["a", "bcd"], "bc"),
]  # fmt: skip
SIMPLE = [kind for kind in KINDS if kind != "custom"]


@pytest.mark.parametrize(("kind", "options", "values", "expected"), RESULTS)
def test_an_accumulator_gives_the_result_of_its_values(
    kind: str, options: dict[str, Any], values: list[Any], expected: Any
) -> None:
    own = make(kind, **options)
    result = own.result(own.fold(column(*values)))
    assert (result, type(result)) == (expected, type(expected))


def test_every_kind_is_in_the_table() -> None:
    assert {kind for kind, *_ in RESULTS} == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("median", {}, "there is no accumulator 'median'"),
        ("sums", {}, "there is no accumulator 'sums' (did you mean 'sum'?)"),
        ("sum", {"precision": 3}, "sum does not take these options (precision)"),
        ("distinct", {"precision": 4}, "precision is 4; it can be 8 (6.5 % error) to 16 (0.4 %)"),
        ("distinct", {"exact": -1}, "exact is -1; with precision 12 it can be 0 to 3840"),
        ("quantiles", {"at": []}, "at is []; name one or more numbers from 0 to 1"),
        ("quantiles", {"at": [95]}, "at is [95]"),
        ("quantiles", {"accuracy": 0.5}, "accuracy is 0.5; it can be 0.001 to 0.1"),
        ("quantiles", {"max_bins": 1}, "max_bins is 1; it can be 64 to 8192"),
        ("top_k", {"k": 0}, "k is 0"),
        ("top_k", {"k": 10, "capacity": 5}, "capacity 5"),
        ("custom", {"reference": "tests.aggregates.support:Nobody"}, "has no class 'Nobody'"),
        (
            "custom",
            {"reference": "tests.aggregates.support:Unmergeable"},
            "it has no add, no merge, no result, no dump",
        ),
        ("custom", {"reference": "tests.aggregates.support:Unbounded"}, "say how many bytes its dump has at most"),
        (
            "custom",
            {"reference": "tests.aggregates.support:Longest", "arguments": {"most": 2}},
            "can't be made with {'most': 2}",
        ),
    ],
)
def test_a_declaration_that_cannot_work_says_what_is_wrong(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(kind, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options", "spec"),
    [
        ("sum", {}, "sum"),
        ("variance", {"population": True}, "variance"),
        ("distinct", {}, "distinct(12,384)"),
        ("quantiles", {"at": [0.5]}, "quantiles(0.01,1024)"),
        ("top_k", {"k": 3}, "top_k(256)"),
        ("rate", {"of_field": True}, "rate(field)"),
        (
            "custom",
            {"reference": "tests.aggregates.support:Longest", "arguments": {"at_most": 2}},
            "tests.aggregates.support:Longest[('at_most', 2)]",
        ),
    ],
)
def test_the_spec_names_what_decides_the_meaning_of_a_state(kind: str, options: dict[str, Any], spec: str) -> None:
    assert make(kind, **options).spec == spec


NUMBER_KINDS = ("sum", "min", "max", "mean", "variance", "stddev", "quantiles")


@pytest.mark.parametrize("kind", NUMBER_KINDS)
def test_only_finite_numbers_of_a_doubles_size_are_numbers(kind: str) -> None:
    values: list[Any] = [1, None, True, "1", float("nan"), float("inf"), 1 << 1023, 1e308, -(1 << 1023) + 1, [1], {}]
    found = make(kind).check(values)
    assert {index: error.reason for index, error in found.items()} == {
        1: "missing", **dict.fromkeys([2, 3, 4, 5, 6, 9, 10], "not a number"),
    }  # fmt: skip


def test_numbers_with_nulls_among_them_are_sorted_out() -> None:
    assert {index: error.reason for index, error in make("sum").check([1, None, 2.5]).items()} == {1: "missing"}


def test_only_scalars_are_counted_as_distinct() -> None:
    found = make("distinct").check(["x" * 10_000, 1, 1.5, True, None, [1], {}, float("nan")])
    assert {index: error.reason for index, error in found.items()} == {
        4: "missing", **dict.fromkeys([5, 6, 7], "not a scalar"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["first", "last", "top_k"])
def test_texts_that_are_kept_must_be_short(kind: str) -> None:
    found = make(kind).check(["x" * 256, "x" * 257, "é" * 128, "é" * 129, 1.5, None, [], 1 << 1023])
    assert {index: error.reason for index, error in found.items()} == {
        1: "too long", 3: "too long", 5: "missing", 6: "not a scalar", 7: "not a number",
    }  # fmt: skip


def test_a_users_accumulator_refuses_in_its_own_words() -> None:
    own = make("custom", reference="tests.aggregates.support:Longest")
    assert {index: error.reason for index, error in own.check(["a", 1, None]).items()} == {
        1: "not a text", 2: "missing",
    }  # fmt: skip


def test_equal_times_are_told_apart_by_their_places() -> None:
    from aetherstream.aggregates.column import Column

    rows = [("b", 5.0, place(2)), ("a", 5.0, place(1)), ("c", 5.0, place(30)), ("later", 6.0, place(0))]
    first, last = make("first"), make("last")
    same = Column.of(rows[:3])
    assert (first.result(first.fold(Column.of(rows))), last.result(last.fold(same))) == ("a", "c")


@pytest.mark.parametrize("kind", ["min", "max"])
def test_equal_numbers_of_different_types_have_one_state(kind: str) -> None:
    own = make(kind)
    for values in ([1, 1.0], [1.0, 1]):
        assert own.dump(own.fold(column(*values))).hex() == "0101026901"
    assert {own.dump(own.fold(column(value))).hex() for value in (0.0, -0.0)} == {"0101026900"}


class _Contract(AccumulatorContract):
    own: Folding[Any]
    sample: tuple[Any, ...] = (3, -2.5, 3, 0, 10**20, 1e300, -1e-300, 0.1, 2**53 + 1)

    def subject(self) -> Any:
        return self.own

    def values(self) -> list[Any]:
        return list(self.sample)


class TestCount(_Contract):
    own = make("count")


class TestSum(_Contract):
    own = make("sum")
    sample = (*_Contract.sample, -1e300, 5e-324)

    def test_results_are_values_of_json(self) -> None:
        """An integer sum of any size stays one: beyond 64 bits orjson writes none, so the sinks decide."""
        own = self.subject()
        assert own.result(own.fold(column(10**20, 1))) == 10**20 + 1


class TestMin(_Contract):
    own = make("min")


class TestMax(_Contract):
    own = make("max")


class TestMean(_Contract):
    own = make("mean")


class TestVariance(_Contract):
    own = make("variance")
    sample = (3, -2.5, 3, 0, 10**20, 1e100, -1e-300, 0.1)


class TestStdDev(_Contract):
    own = make("stddev")
    sample = TestVariance.sample


class TestFirst(_Contract):
    own = make("first")
    sample = ("a", "b" * 256, 3, "a", True, 1.0)


class TestLast(_Contract):
    own = make("last")
    sample = TestFirst.sample


class TestDistinct(_Contract):
    own = make("distinct")
    sample = ("a", "b", 1, 1.0, True, "a", 2.5, "")


class TestDistinctBeyondTheCap(_Contract):
    own = make("distinct", precision=8, exact=3)
    sample = tuple("abcdefghijklab")


class TestQuantiles(_Contract):
    own = make("quantiles")


class TestQuantilesOfManyBins(_Contract):
    own = make("quantiles", max_bins=64)
    sample = tuple((-1) ** n * 1.5**n for n in range(-120, 120))


class TestTopK(_Contract):
    own = make("top_k")
    sample = ("a", "b", "a", 1, 1.0, True, "x" * 256)


class TestRate(_Contract):
    own = make("rate", of_field=True)


class TestRateOfEvents(_Contract):
    own = make("rate", length=60)


class TestCustom(_Contract):
    own = make("custom", reference="tests.aggregates.support:Longest")
    sample = ("a", "abc", "ab", "abc", "")


class TestCustomByItself(AccumulatorContract):
    def subject(self) -> Any:
        return Longest()

    def values(self) -> list[Any]:
        return list(TestCustom.sample)
