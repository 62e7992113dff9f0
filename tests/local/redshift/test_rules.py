from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.errors import NotSupported
from aetherstream.local.redshift.rules import BadValue, Column, check_of

COPY = Copy('"t"', "s3://b/k", time_format="auto")


def stored(kind: str, raw: str, copy: Copy = COPY) -> str | int | None:
    """What a value is stored as, or the code of AWS's load error reference."""
    try:
        return check_of(Column("c", kind), copy)(raw.encode())
    except BadValue as bad:
        return bad.code


@pytest.mark.parametrize(
    ("kind", "raw", "result"),
    [
        ("character varying(3)", '"abc"', "abc"),
        ("character varying(3)", '"abc  "', "abc"),
        ("character varying(3)", '"abcd"', 1204),
        ("character varying(3)", '"üü"', 1204),
        ("character varying(4)", '"üü"', "üü"),
        ("character varying(9)", r'"a\nb\t\\"', "a\nb\t\\"),
        ("character varying(9)", r'"a\u0000b"', 1214),
        ("character varying(9)", r'"\ud800"', 1220),
        ("character varying(9)", r'"\\N"', None),
        ("character varying(9)", '""', ""),
        ("character varying(9)", "1.50", "1.50"),
        ("character varying(9)", "true", "true"),
        ("character varying(9)", '{"a":1}', 1216),
        ("character varying(9)", "null", None),
        ("character(3)", '"abcd"', 1204),
        ("character(3)", '"ü"', 1220),
        ("character(3)", '"JFK"', "JFK"),
        ("smallint", "32767", "32767"),
        ("smallint", "32768", 1204),
        ("integer", "-2147483648", "-2147483648"),
        ("integer", "2147483648", 1204),
        ("bigint", "9223372036854775808", 1204),
        ("bigint", "9" * 500, 1204),
        ("integer", "1.0", 1207),
        ("integer", "1e3", 1207),
        ("integer", '"12"', "12"),
        ("integer", '""', None),
        ("integer", "true", 1207),
        ("integer", '"\N{ARABIC-INDIC DIGIT ONE}"', 1207),
        ("numeric(5,2)", "123.456", "123.45"),
        ("numeric(5,2)", "-123.459", "-123.45"),
        ("numeric(5,2)", "999.999", "999.99"),
        ("numeric(5,2)", "1000", 1204),
        ("numeric(5,2)", "1e2", 1209),
        ("numeric(5,2)", '"NaN"', 1209),
        ("numeric(19,0)", "9223372036854775807", "9223372036854775807"),
        ("numeric(19,0)", "9223372036854775808", 1204),
        ("numeric(38,37)", "1." + "9" * 37, "1." + "9" * 37),
        ("real", "3.4e38", "3.4e38"),
        ("real", "3.5e38", 1204),
        ("real", "1e-50", 1204),
        ("double precision", "1e308", "1e308"),
        ("double precision", "1e309", 1204),
        ("double precision", "1e-400", 1204),
        ("double precision", "0e-400", "0e-400"),
        ("double precision", '"NaN"', 1208),
        ("double precision", '"Infinity"', 1208),
        ("boolean", "true", "t"),
        ("boolean", '"No"', "f"),
        ("boolean", "1", "t"),
        ("boolean", "2", 1210),
        ("date", '"2024-02-29"', "2024-02-29"),
        ("date", '"2023-02-29"', 1205),
        ("date", '"2024-2-9"', 1205),
        ("time without time zone", '"23:59:59.5"', "23:59:59.5"),
        ("time without time zone", '"24:00:00"', 1206),
        ("timestamp without time zone", '"2024-02-29 23:59:59.123456"', "2024-02-29 23:59:59.123456"),
        ("timestamp without time zone", '"2024-02-29 23:59:59+00"', 1206),
        ("timestamp without time zone", '"2024-02-29T23:59:59"', 1206),
        ("timestamp without time zone", '"2024-02-29 24:00:00"', 1206),
        ("timestamp without time zone", '"2024-02-29 23:59:59.1234567"', 1206),
        ("timestamp without time zone", "1700000000", 1206),
        ("timestamp with time zone", '"2024-02-29 23:59:59+00"', "2024-02-29 23:59:59+00"),
        ("timestamp with time zone", '"2024-02-29 23:59:59-05:30"', "2024-02-29 23:59:59-05:30"),
        ("timestamp with time zone", '"2024-02-29 23:59:59+16"', 1206),
        ("timestamp with time zone", '"0000-01-01 00:00:00+00"', 1206),
        ("jsonb", '{"a": [1, "ü", null]}', '{"a": [1, "ü", null]}'),
        ("jsonb", "null", None),
        ("jsonb", '"text"', '"text"'),
        ("jsonb", r'{"a": "\u0000"}', 1220),
        ("jsonb", r'{"a": "\ud800"}', 1216),
        ("jsonb", '["' + "x" * 65536 + '"]', 1224),
        ("jsonb", "1" + "0" * 38, 1204),
        ("jsonb", '["' + '","'.join(["x" * 65000] * 250) + '"]', 1204),
    ],
)
def test_values(kind: str, raw: str, result: str | int | None) -> None:
    assert stored(kind, raw) == result


@pytest.mark.parametrize(
    ("changed", "kind", "raw", "result"),
    [
        ({"truncate_columns": True}, "character varying(3)", '"aüü"', "aü"),
        ({"truncate_columns": True}, "character(3)", '"JFKX"', "JFK"),
        ({"round_decimals": True}, "numeric(5,2)", "1.005", "1.01"),
        ({"round_decimals": True}, "numeric(5,2)", "999.995", 1204),
        ({"empty_as_null": True}, "character varying(3)", '""', None),
        ({"blanks_as_null": True}, "character varying(3)", '"  "', None),
        ({"time_format": ""}, "timestamp without time zone", '"2024-02-29 23:59:59"', "2024-02-29 23:59:59"),
        ({"time_format": "epochsecs"}, "timestamp with time zone", "1700000000", "2023-11-14 22:13:20.000000"),
        ({"time_format": "epochmillisecs"}, "timestamp with time zone", "1700000000123", "2023-11-14 22:13:20.123000"),
        ({"time_format": "epochsecs"}, "timestamp with time zone", "99999999999999", 1206),
        ({"time_format": "epochsecs"}, "timestamp with time zone", '"2024-02-29 23:59:59"', 1206),
    ],
)
def test_values_as_options_have_them(changed: dict[str, Any], kind: str, raw: str, result: str | int | None) -> None:
    assert stored(kind, raw, replace(COPY, **changed)) == result


def test_a_type_that_is_not_loaded_is_refused() -> None:
    with pytest.raises(NotSupported, match=r'COPY into a column of type bytea \("c"\)'):
        check_of(Column("c", "bytea"), COPY)


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")), st.integers(1, 40))
def test_a_varchar_counts_bytes(value: str, length: int) -> None:
    fits = len(value.encode().rstrip(b" ")) <= length or len(value.encode()) <= length
    if value == r"\N":
        return
    result = stored(f"character varying({length})", json.dumps(value))
    if fits:
        assert result in (value, value.encode()[:length].decode(errors="ignore"))
    else:
        assert result == 1204


@given(st.integers())
def test_integers_load_in_their_range_and_nowhere_else(value: int) -> None:
    expected = str(value) if -(2**31) <= value < 2**31 else 1204
    assert stored("integer", str(value)) == expected
