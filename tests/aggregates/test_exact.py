from __future__ import annotations

from fractions import Fraction
from math import isinf

from hypothesis import example, given
from hypothesis import strategies as st

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.exact import Exact, plus, rounded, total, total_of_squares
from tests.aggregates.support import column

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTS = st.integers(-(2**1023) + 1, 2**1023 - 1) | st.integers(-100, 100)
NUMBERS = st.lists(FLOATS | INTS, max_size=12) | st.lists(FLOATS, max_size=12)


def fraction(sum_: Exact) -> Fraction:
    return Fraction(sum_.mantissa, 1 << sum_.shift)


def nearest(value: Fraction) -> float | None:
    try:
        found = float(value)
    except OverflowError:
        return None
    return None if isinf(found) else found


@given(NUMBERS)
@example([1e308, 1e308, -1e308])
@example([1.7e308, 1.7e308, 5e-324, -1.7e308, -1.7e308])
@example([0.1, 0.2, 0.3, 1e16, -1e16])
def test_a_sum_is_that_of_the_fractions(values: list[int | float]) -> None:
    assert fraction(total(values)) == sum(map(Fraction, values))


@given(NUMBERS)
def test_a_sum_is_cancelled(values: list[int | float]) -> None:
    found = total(values)
    assert found.shift == 0 or found.mantissa % 2 == 1


@given(NUMBERS)
def test_a_sum_of_squares_is_that_of_the_fractions(values: list[int | float]) -> None:
    found = total_of_squares(values)
    assert (fraction(found), found.shift == 0 or found.mantissa % 2 == 1) == (
        sum(Fraction(v) ** 2 for v in values),
        True,
    )


@given(NUMBERS, NUMBERS)
def test_sums_of_parts_add_up_to_the_same_state(left: list[int | float], right: list[int | float]) -> None:
    assert plus(total(left), total(right)) == total(left + right)


@given(st.lists(FLOATS, min_size=1, max_size=12))
def test_the_result_is_the_double_nearest_to_the_true_sum(values: list[float]) -> None:
    assert rounded(total(values)) == nearest(sum(map(Fraction, values), Fraction()))


@given(st.lists(FLOATS | INTS, min_size=1, max_size=12))
def test_the_mean_is_the_double_nearest_to_the_true_mean(values: list[int | float]) -> None:
    own = make("mean")
    assert own.result(own.fold(column(*values))) == nearest(sum(map(Fraction, values), Fraction()) / len(values))


@given(st.lists(FLOATS | INTS, min_size=2, max_size=12))
def test_the_variance_is_the_double_nearest_to_the_true_one(values: list[int | float]) -> None:
    own = make("variance")
    mean = sum(map(Fraction, values), Fraction()) / len(values)
    true = sum((Fraction(value) - mean) ** 2 for value in values) / (len(values) - 1)
    assert own.result(own.fold(column(*values))) == nearest(Fraction(true))


@given(NUMBERS)
def test_a_sum_stays_within_its_bound(values: list[int | float]) -> None:
    for kind in ("sum", "mean", "variance", "min", "max", "rate"):
        own = make(kind, **({"of_field": True} if kind == "rate" else {}))
        assert len(own.dump(own.fold(column(*values)))) <= own.max_bytes


def test_the_largest_numbers_and_the_smallest_stay_within_the_bound() -> None:
    values = [(1 << 1023) - 1, 1.7976931348623157e308, 5e-324] * 1000
    for kind in ("sum", "mean", "variance"):
        own = make(kind)
        assert len(own.dump(own.fold(column(*values)))) <= own.max_bytes
