"""Any split, order and tree of merging gives the same bytes; what `top_k` let go, the same within its error."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.aggregates.accumulators import KINDS, make
from aetherstream.aggregates.accumulators.top_k import TopK
from aetherstream.aggregates.column import Column
from aetherstream.aggregates.scalars import canonical
from aetherstream.aggregates.sketches.heavy import Heavy
from aetherstream.testing.accumulators import Row, merged_anyhow, place

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = FLOATS | st.integers(-(2**64), 2**64) | st.integers(-3, 3) | st.sampled_from([0.0, -0.0, 0.5, 1.0])
SCALARS = st.text(max_size=3) | NUMBERS | st.booleans()
CASES: dict[str, tuple[str, dict[str, Any], st.SearchStrategy[Any]]] = {
    "count": ("count", {}, SCALARS | st.none()),
    "sum": ("sum", {}, NUMBERS),
    "min": ("min", {}, NUMBERS),
    "max": ("max", {}, NUMBERS),
    "mean": ("mean", {}, NUMBERS),
    "variance": ("variance", {}, NUMBERS),
    "stddev": ("stddev", {}, NUMBERS),
    "first": ("first", {}, SCALARS),
    "last": ("last", {}, SCALARS),
    "distinct": ("distinct", {}, SCALARS),
    "distinct, beyond the cap": ("distinct", {"precision": 8, "exact": 3}, SCALARS),
    "quantiles": ("quantiles", {}, NUMBERS),
    "quantiles, collapsed": ("quantiles", {"max_bins": 64}, FLOATS),
    "top_k": ("top_k", {}, SCALARS),
    "rate": ("rate", {"of_field": True}, NUMBERS),
    "custom": ("custom", {"reference": "tests.aggregates.support:Longest"}, st.text(max_size=3)),
}


def rows_of(values: list[Any]) -> list[Row]:
    """Times repeat, so places decide."""
    return [(value, float(index % 3), place(index)) for index, value in enumerate(values)]


def parts_of(rows: list[Row], rng: random.Random) -> list[list[Row]]:
    """Cut shuffled rows into parts, some of them empty."""
    rows = rng.sample(rows, len(rows))
    parts: list[list[Row]] = [[] for _ in range(rng.randint(1, 6))]
    for row in rows:
        rng.choice(parts).append(row)
    return parts


def test_every_kind_has_a_case() -> None:
    assert {kind for kind, _, _ in CASES.values()} == set(KINDS)


@pytest.mark.parametrize("case", CASES)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_any_split_order_and_tree_gives_the_same_bytes(case: str, data: st.DataObject, seed: int) -> None:
    rng = random.Random(seed)
    kind, options, values = CASES[case]
    own = make(kind, **options)
    rows = rows_of(data.draw(st.lists(values, max_size=40)))
    whole = own.dump(own.fold(Column.of(rows)))
    states = [own.fold(Column.of(part)) for part in parts_of(rows, rng)]
    stored = [own.load(own.dump(state)) if rng.random() < 0.5 else state for state in states]
    assert own.dump(merged_anyhow(own, stored, rng)) == whole


@given(seed=st.integers(0, 2**32))
def test_quantiles_of_any_magnitude_collapse_to_the_same_bytes(seed: int) -> None:
    rng = random.Random(seed)
    own = make("quantiles", max_bins=64)
    rows = rows_of([rng.choice((-1, 1)) * 10 ** rng.uniform(-3, rng.choice((1, 300))) for _ in range(300)])
    whole = own.dump(own.fold(Column.of(rows)))
    states = [own.fold(Column.of(part)) for part in parts_of(rows, rng)]
    assert own.dump(merged_anyhow(own, states, rng)) == whole


@given(values=st.lists(st.integers(0, 30), max_size=200), seed=st.integers(0, 2**32))
def test_beyond_the_capacity_counts_stay_within_the_error_that_is_told(values: list[int], seed: int) -> None:
    rng = random.Random(seed)
    own = TopK(k=5, capacity=8)
    found: Heavy = merged_anyhow(own, [own.fold(Column.of(part)) for part in parts_of(rows_of(values), rng)], rng)
    true = {canonical(value): count for value, count in Counter(values).items()}
    assert all(0 <= count - found.counts.get(value, 0) <= found.error for value, count in true.items())
    assert found.error <= len(values) / 9
    assert len(found.counts) <= 8
    assert all(count > 0 for count in found.counts.values())


def test_errors_of_many_parts_add_up() -> None:
    rng = random.Random(5)
    own = TopK(k=5, capacity=8)
    values = [int(rng.paretovariate(0.6)) for _ in range(3000)]
    parts = [own.fold(Column.of(rows_of(values[at : at + 50]))) for at in range(0, 3000, 50)]
    found: Heavy = merged_anyhow(own, parts, rng)
    true = {canonical(value): count for value, count in Counter(values).items()}
    short = max(count - found.counts.get(value, 0) for value, count in true.items())
    assert (0 < short <= found.error <= 3000 / 9, found.counts.keys() <= true.keys()) == (True, True)


@given(values=st.lists(st.integers(0, 12), max_size=100), seed=st.integers(0, 2**32))
def test_an_error_is_told_just_when_there_are_more_values_than_the_capacity(values: list[int], seed: int) -> None:
    rng = random.Random(seed)
    own = TopK(k=5, capacity=8)
    found: Heavy = merged_anyhow(own, [own.fold(Column.of(part)) for part in parts_of(rows_of(values), rng)], rng)
    assert (found.error > 0) == (len(set(values)) > 8)
