from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.scalars import canonical, decode_scalar, encode_scalar
from aetherstream.aggregates.serial import Reader, UnreadableState, Writer
from tests.aggregates.support import column

NUMBERS = [3, -2.5, 3, 0.1]
FORMAT_1: list[tuple[str, dict[str, Any], list[Any], str]] = [
    ("count", {}, ["a", "b"], "0102"),
    ("sum", {}, [], "01"),
    ("sum", {}, [1, 100000000000000000000], "010009056bc75e2d63100001"),
    ("sum", {}, NUMBERS, "016f0801cccccccccccccd"),
    ("min", {}, NUMBERS, "01010964c004000000000000"),
    ("max", {}, NUMBERS, "0101026903"),
    ("max", {}, [], "01"),
    ("mean", {}, NUMBERS, "01046f0801cccccccccccccd"),
    ("variance", {}, NUMBERS, "01046f0801cccccccccccccddd010f0610a3d70a3d70a3dc28f5c28f5c29"),
    ("stddev", {}, NUMBERS, "01046f0801cccccccccccccddd010f0610a3d70a3d70a3dc28f5c28f5c29"),
    ("first", {}, ["a", 1], "01000000000000000014736861726449642d30303030303030303030303004303031300000027361"),
    (
        "last",
        {},
        ["a", 1.5],
        "013ff000000000000014736861726449642d3030303030303030303030300430303131000009643ff8000000000000",
    ),
    ("last", {}, [], "01"),
    ("distinct", {}, ["a", 1, True], "010018a4e5032c0d419313ca73dcf5e072d4d6fd8feb70ea603042"),
    (
        "distinct",
        {"precision": 8, "exact": 0},
        ["a"],
        "0108c001" + "00" * 123 + "04" + "00" * 68,
    ),
    ("quantiles", {}, [*NUMBERS, 0, -0.1], "01000102018c01a3010102018c01ac0102"),
    ("top_k", {}, ["b", "a", "b"], "0100020273610102736202"),
    ("rate", {"of_field": True}, NUMBERS, "01000000000000000040080000000000006f0801cccccccccccccd"),
    ("rate", {}, [], "01"),
]
"""What version 1 wrote: every later version reads it, and as long as it writes format 1, it writes the same."""
SCALARS = st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()


@pytest.mark.parametrize(("kind", "options", "values", "expected"), FORMAT_1)
def test_format_1_is_written_as_it_was(kind: str, options: dict[str, Any], values: list[Any], expected: str) -> None:
    own = make(kind, **options)
    assert own.dump(own.fold(column(*values))).hex() == expected


@pytest.mark.parametrize(("kind", "options", "values", "data"), FORMAT_1)
def test_format_1_is_read(kind: str, options: dict[str, Any], values: list[Any], data: str) -> None:
    own = make(kind, **options)
    assert own.result(own.load(bytes.fromhex(data))) == own.result(own.fold(column(*values)))


@pytest.mark.parametrize(("kind", "options", "values", "data"), FORMAT_1)
def test_a_later_format_is_refused_by_name(kind: str, options: dict[str, Any], values: list[Any], data: str) -> None:
    with pytest.raises(UnreadableState, match="has format 2, and this version reads 1 to 1: deploy the version that"):
        make(kind, **options).load(b"\x02" + bytes.fromhex(data)[1:])


@pytest.mark.parametrize(("kind", "options", "values", "data"), FORMAT_1)
def test_a_damaged_state_is_refused(kind: str, options: dict[str, Any], values: list[Any], data: str) -> None:
    own, whole = make(kind, **options), bytes.fromhex(data)
    for broken in (b"", whole + b"\x00", *((whole[:-1],) if len(whole) > 2 else ())):
        with pytest.raises(UnreadableState):
            own.load(broken)


def test_registers_of_another_precision_are_refused() -> None:
    other = make("distinct", precision=9, exact=0)
    with pytest.raises(UnreadableState):
        make("distinct").load(other.dump(other.fold(column("a"))))


@given(SCALARS)
def test_a_scalar_reads_back_with_its_type(value: Any) -> None:
    back = decode_scalar(encode_scalar(value))
    assert (back, type(back)) == (value, type(value))


@given(SCALARS, SCALARS)
def test_scalars_have_equal_bytes_just_when_they_are_equal(a: Any, b: Any) -> None:
    equal = a == b and (type(a) is bool) == (type(b) is bool)
    assert (canonical(a) == canonical(b)) == equal


def test_equal_numbers_have_equal_bytes() -> None:
    assert (canonical(1), canonical(-0.0), canonical(1e300)) == (canonical(1.0), canonical(0), canonical(int(1e300)))


def test_lists_are_no_scalars() -> None:
    with pytest.raises(TypeError, match="list is no scalar"):
        encode_scalar([1])  # type: ignore[arg-type]


@given(st.integers(0), st.integers(), st.floats(allow_nan=False), st.binary(), st.text(), SCALARS)
def test_what_is_written_reads_back(a: int, b: int, c: float, d: bytes, e: str, f: Any) -> None:
    data = Writer(1).uint(a).sint(b).double(c).blob(d).text(e).scalar(f).done()
    read = Reader(data, "a test")
    assert (read.uint(), read.sint(), read.double(), read.blob(), read.text(), read.scalar()) == (a, b, c, d, e, f)
    read.end()


def test_zero_has_one_form() -> None:
    assert Writer(1).double(-0.0).done() == Writer(1).double(0.0).done()


def test_a_scalar_that_nobody_wrote_is_refused() -> None:
    for data in (b"", b"x", b"d\x00"):
        with pytest.raises(UnreadableState, match="the state of a test is damaged at byte"):
            Reader(Writer(1).blob(data).done(), "a test").scalar()
