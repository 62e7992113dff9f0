"""What the sketches answer, against the truth and their stated errors."""

from __future__ import annotations

import random
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.accumulators.quantiles import label
from aetherstream.aggregates.sketches.hyperloglog import hash_of, merged, packed, registers, standard_error, unpacked
from aetherstream.aggregates.sketches.relative import Relative
from tests.aggregates.support import column

AT = (0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.999, 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not 0 < abs(value) < 1e-307)


def worst(found: dict[str, float], values: list[float]) -> float:
    """The greatest relative error of the quantiles."""
    ordered = sorted(values)
    errors = []
    for q in AT:
        true = ordered[int(Fraction(str(q)) * (len(values) - 1))]
        errors.append(abs(found[label(q)] - true) / abs(true) if true else abs(found[label(q)]))
    return max(errors)


@given(st.lists(FLOATS, min_size=1, max_size=60))
def test_quantiles_are_within_the_error(values: list[float]) -> None:
    own = make("quantiles", at=AT)
    acc = own.fold(column(*values))
    assert own.error(acc) == pytest.approx(0.01)
    assert worst(own.result(acc), values) <= 0.01 * (1 + 1e-9)


@pytest.mark.parametrize(("bins", "error"), [(1024, 0.01), (256, 0.03998), (128, 0.07983), (64, 0.15865)])
def test_quantiles_that_collapse_tell_their_error_and_hold_it(bins: int, error: float) -> None:
    rng = random.Random(3)
    values = [rng.lognormvariate(0, 1.5) * rng.choice((1, 1, 1, -1)) for _ in range(5000)]
    own = make("quantiles", at=AT, max_bins=bins)
    acc = own.fold(column(*values))
    assert own.error(acc) == pytest.approx(error, rel=0.001)
    assert worst(own.result(acc), values) <= own.error(acc) * (1 + 1e-9)


@given(st.lists(FLOATS, min_size=1, max_size=200))
def test_collapsed_quantiles_of_any_magnitude_are_within_the_error_told(values: list[float]) -> None:
    own = make("quantiles", at=AT, max_bins=64)
    acc = own.fold(column(*values))
    assert worst(own.result(acc), values) <= own.error(acc) * (1 + 1e-9)


def test_one_absurd_value_does_not_spoil_the_others() -> None:
    own = make("quantiles", at=[0.5])
    acc = own.fold(column(*range(1, 100), 1e300))
    assert own.result(acc)["p50"] == pytest.approx(50, rel=0.01)


def test_what_is_next_to_zero_is_zero() -> None:
    own = make("quantiles", at=[0, 1])
    assert own.result(own.fold(column(5e-324, -5e-324))) == {"p0": 0.0, "p100": 0.0}


def test_the_largest_doubles_have_an_answer() -> None:
    own = make("quantiles", at=[0, 1])
    found = own.result(own.fold(column(sys.float_info.max, -sys.float_info.max)))
    assert found["p100"] == -found["p0"] == pytest.approx(sys.float_info.max, rel=0.01)


def test_the_keys_of_the_bins_stay_what_stored_states_mean() -> None:
    """They come from a library: another version of it must not move them."""
    bins = Relative(0.01, 8192)
    values = [2.3e-308, 1e-9, 0.1, 1.0, 1.5, 2.0, 12.34, 100.0, 1e9, 1.7e308]
    keys = [next(iter(bins.sketch([value]).positive)) for value in values]
    assert keys == GOLDEN_KEYS


GOLDEN_KEYS = [-35767, -1046, -116, 0, 21, 35, 127, 233, 1047, 35836]


@pytest.mark.parametrize("count", [500, 2_000, 10_000, 100_000, 300_000])
def test_distinct_is_within_three_standard_errors(count: int) -> None:
    own = make("distinct")
    acc = own.fold(column(*(f"user-{index}" for index in range(count))))
    assert abs(own.result(acc) - count) / count <= 3 * own.error(acc)


def test_the_spread_of_many_estimates_is_the_stated_error() -> None:
    own = make("distinct", precision=8, exact=0)
    errors = [
        own.result(own.fold(column(*(f"{run}-{index}" for index in range(3000))))) / 3000 - 1 for run in range(100)
    ]
    spread = (sum(error**2 for error in errors) / len(errors)) ** 0.5
    assert (spread, sum(errors) / len(errors)) == (
        pytest.approx(standard_error(8), rel=0.2),
        pytest.approx(0, abs=0.02),
    )


def test_distinct_is_exact_up_to_the_cap() -> None:
    own = make("distinct", exact=1000)
    acc = own.fold(column(*range(1000)))
    assert (own.result(acc), own.error(acc)) == (1000, 0.0)


def test_the_registers_of_a_union_are_those_of_all_values() -> None:
    a, b = [hash_of(n) for n in range(700)], [hash_of(n) for n in range(300, 2000)]
    assert merged(registers(a, 8), registers(b, 8)) == registers({*a, *b}, 8)


def test_hashes_are_the_same_in_every_process() -> None:
    assert [hash_of(value) for value in ("a", 1, 1.0, True, "1", None, 0.5)] == GOLDEN_HASHES


GOLDEN_HASHES = [
    0xA4E5032C0D419313,
    0xFD8FEB70EA603042,
    0xFD8FEB70EA603042,
    0xCA73DCF5E072D4D6,
    0x89A147DA21BB2954,
    0x5DBA33A5971E98B4,
    0x79FA11706D2429F9,
]


@given(st.binary(min_size=256, max_size=256))
def test_registers_of_six_bits_read_back(data: bytes) -> None:
    found = bytes(byte & 63 for byte in data)
    assert unpacked(packed(found)) == found
