from typing import Any

import pytest

from aetherstream.warehouse.fields import LARGEST_SUPER, Unfit, writer
from aetherstream.warehouse.types import column_type


def written(kind: str, value: Any) -> Any:
    """The staged form, or why there is none."""
    try:
        return writer(column_type(kind))(value)
    except Unfit as why:
        return str(why)


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("smallint", 32767, 32767),
        ("smallint", 32768, "is out of range for smallint"),
        ("integer", -(2**31), -(2**31)),
        ("integer", 2**31, "is out of range for integer"),
        ("bigint", 2**63 - 1, 2**63 - 1),
        ("bigint", 2**63, "is out of range for bigint"),
        ("integer", 1.0, 1),
        ("integer", 1.5, "has a fraction"),
        ("integer", float("nan"), "is not a finite number"),
        ("integer", True, "is boolean, which integer can't hold"),
        ("integer", " 42 ", 42),
        ("integer", "+042", 42),
        ("integer", "4_2", "is a text that integer can't hold"),
        ("integer", "٤٢", "is a text that integer can't hold"),
        ("integer", "", "is a text that integer can't hold"),
        ("integer", "9" * 5000, "is out of range for integer"),
        ("integer", [1], "is list, which integer can't hold"),
    ],
)
def test_integers_are_whole_and_in_range(kind: str, value: Any, form: Any) -> None:
    found = written(kind, value)
    assert (found, type(found)) == (form, type(form))


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("double precision", 1.5, 1.5),
        ("double precision", 2, 2.0),
        ("double precision", "-1e3", -1000.0),
        ("double precision", float("inf"), "is not a finite number"),
        ("double precision", "NaN", "is a text that double precision can't hold"),
        ("double precision", "1e400", "is out of range for double precision"),
        ("double precision", "1e-400", "is out of range for double precision"),
        ("double precision", "0e-400", 0.0),
        ("double precision", 5e-324, "is out of range for double precision"),
        ("double precision", 10**400, "is out of range for double precision"),
        ("double precision", False, "is boolean, which double precision can't hold"),
        ("real", 3.4028234663852886e38, 3.4028234663852886e38),
        ("real", 3.5e38, "is out of range for real"),
        ("real", 1e-39, "is out of range for real"),
    ],
)
def test_floats_are_finite_and_in_range(kind: str, value: Any, form: Any) -> None:
    assert written(kind, value) == form


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("decimal(5,2)", 123.45, "123.45"),
        ("decimal(5,2)", 0.1, "0.10"),
        ("decimal(5,2)", 5, "5.00"),
        ("decimal(5,2)", "999.99", "999.99"),
        ("decimal(5,2)", "1e2", "100.00"),
        ("decimal(5,2)", 123.456, "has more than 2 digits behind the point"),
        ("decimal(5,2)", 1000, "is out of range for decimal(5,2)"),
        ("decimal(5,2)", "1e999999", "is a text that decimal(5,2) can't hold"),
        ("decimal(5,2)", "1e9999", "is out of range for decimal(5,2)"),
        ("decimal(5,2)", float("nan"), "is not a finite number"),
        ("decimal(5,2)", True, "is boolean, which decimal(5,2) can't hold"),
        ("decimal(38,0)", 10**38 - 1, "9" * 38),
        ("decimal(38,10)", "1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789"),
        ("decimal(19,0)", 2**63 - 1, str(2**63 - 1)),
        ("decimal(19,0)", 2**63, "is out of range for decimal(19,0): its 19 digits are a 64-bit integer"),
        ("decimal(20,10)", 1e-10, "0.0000000001"),
        ("decimal(20,10)", 0.0, "0.0000000000"),
    ],
)
def test_decimals_are_exact(kind: str, value: Any, form: Any) -> None:
    assert written(kind, value) == form


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("varchar(3)", "abc", "abc"),
        ("varchar(3)", "abcd", "is longer than 3 bytes"),
        ("varchar(3)", "üü", "is longer than 3 bytes"),
        ("varchar(4)", "üü", "üü"),
        ("varchar(4)", "😀", "😀"),
        ("varchar(3)", "", ""),
        ("varchar(3)", "ab  ", "is longer than 3 bytes"),
        ("varchar(9)", "a\0b", "has a NUL character"),
        ("varchar(9)", "\ud800", "has a lone surrogate, which UTF-8 has not"),
        ("varchar(9)", r"\N", r"is \N, which COPY reads as null"),
        ("varchar(9)", 12, "12"),
        ("varchar(9)", 1.5, "1.5"),
        ("varchar(9)", True, "true"),
        ("varchar(9)", {"a": 1}, '{"a":1}'),
        ("varchar(9)", float("nan"), "is not a finite number"),
        ("char(3)", "JFK", "JFK"),
        ("char(3)", "JFKX", "is longer than 3 bytes"),
        ("char(3)", "ü", "has a character of more than one byte, which char can't hold"),
    ],
)
def test_texts_count_in_bytes(kind: str, value: Any, form: Any) -> None:
    assert written(kind, value) == form


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (True, True),
        (0, False),
        (" Yes", True),
        ("f", False),
        (2, "is not true or false"),
        (1.0, "is not true or false"),
        ("on", "is a text that boolean can't hold"),
        ([], "is not true or false"),
    ],
)
def test_booleans_have_redshifts_words(value: Any, form: Any) -> None:
    assert written("boolean", value) == form


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("2013-01-31", "2013-01-31"),
        ("2013-02-29", "is no date of the form 2013-01-31"),
        ("20130131", "is no date of the form 2013-01-31"),
        ("2013-01-31T00:00:00", "is no date of the form 2013-01-31"),
        (20130131, "is no date of the form 2013-01-31"),
    ],
)
def test_dates_have_one_form(value: Any, form: str) -> None:
    assert written("date", value) == form


NO_TIME = "is no time in ISO 8601 of the years 1 to 9999"


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("2013-01-31T07:00:00Z", "2013-01-31 07:00:00.000000"),
        ("2013-01-31 07:00:00.25+01:00", "2013-01-31 06:00:00.250000"),
        ("2013-01-31T07:00:00,5", "2013-01-31 07:00:00.500000"),
        ("2013-01-31T07:00:00.123456789Z", "2013-01-31 07:00:00.123456"),
        ("2013-01-31", "2013-01-31 00:00:00.000000"),
        ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00.000000"),
        ("0001-01-01T00:00:00+01:00", NO_TIME),
        ("9999-12-31T23:30:00-01:00", NO_TIME),
        ("2013-02-30T07:00:00Z", NO_TIME),
        ("2013-W05-4T07:00:00Z", NO_TIME),
        ("2013-01-31x07:00:00Z", NO_TIME),
        ("20130131T070000Z", NO_TIME),
        ("1700000000", NO_TIME),
        ("1700010112345", NO_TIME),
        (1700000000, NO_TIME),
        (1700000000.5, NO_TIME),
        (True, NO_TIME),
        ("", NO_TIME),
    ],
)
def test_times_are_iso_8601_and_staged_in_utc(value: Any, form: str) -> None:
    zoned = form if form == NO_TIME else f"{form}+00"
    assert (written("timestamp", value), written("timestamptz", value)) == (form, zoned)


@pytest.mark.parametrize("value", [{"a": [1, None, "x", {"b": True}]}, [], "text", 1.5, 10**38 - 1])
def test_super_takes_any_value_of_json(value: Any) -> None:
    assert written("super", value) == value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (["x" * 65_536], "has a text of more than 65535 bytes inside"),
        ({"x" * 65_536: 1}, "has a text of more than 65535 bytes inside"),
        (["ü" * 32_768], "has a text of more than 65535 bytes inside"),
        ({"a": [float("nan")]}, "has a number inside that is not finite"),
        ([10**38], "has a number of more than 38 digits inside"),
        (["a\0"], "has a NUL character inside"),
        (["\udc00"], "has a lone surrogate inside, which UTF-8 has not"),
        ([object()], "can't be written as JSON"),
        (["x" * 65_000] * (LARGEST_SUPER // 65_000 + 1), "has more than 16000000 bytes, which super can't hold"),
    ],
)
def test_super_has_limits(value: Any, why: str) -> None:
    assert written("super", value) == why
