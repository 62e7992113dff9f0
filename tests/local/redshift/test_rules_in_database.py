from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redshift_connector.core import Connection

from aetherstream.local.redshift.copy import Copy
from aetherstream.local.redshift.rules import BadValue, Column, check_of
from tests.local.redshift.test_statements import run
from tests.redshift_fixture import Objects

pytestmark = pytest.mark.integration

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
NUMBER = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=5).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
)
TIME = st.datetimes(datetime.fromisoformat("0001-01-02"), datetime.fromisoformat("9999-12-30")).map(str)
ZONED = st.tuples(TIME, st.sampled_from(["+00", "-05:30", "+14", "Z", ""])).map("".join)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**39), 10**39), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)


def raw(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """As JSON text: the value itself where it is one, or a string of it."""
    return st.one_of(values.map(json.dumps), values.filter(_is_json))


def _is_json(value: str) -> bool:
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def real(value: str) -> float:
    (nearest,) = struct.unpack("!f", struct.pack("!f", float(value)))
    return float(nearest)


def moment(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def exact(value: str) -> Any:
    return json.loads(value, parse_float=Decimal, parse_int=Decimal)


CASES: list[tuple[str, str, st.SearchStrategy[str], Callable[[str], object]]] = [
    ("varchar(10)", "character varying(10)", raw(st.one_of(TEXT, NUMBER)), str),
    ("char(10)", "character(10)", raw(st.one_of(TEXT, st.text("ab ", max_size=12))), lambda value: value.ljust(10)),
    ("smallint", "smallint", raw(st.one_of(NUMBER, st.integers(-40_000, 40_000).map(str))), int),
    ("bigint", "bigint", raw(st.one_of(NUMBER, TEXT)), int),
    ("decimal(9,3)", "numeric(9,3)", raw(NUMBER), Decimal),
    ("decimal(19,2)", "numeric(19,2)", raw(NUMBER), Decimal),
    ("real", "real", raw(NUMBER), real),
    ("double precision", "double precision", raw(NUMBER), float),
    ("boolean", "boolean", raw(st.sampled_from(["t", "FALSE", "Yes", "0", "2", "true"])), lambda value: value == "t"),
    ("date", "date", raw(st.one_of(st.dates().map(str), TIME, TEXT)), date.fromisoformat),
    ("timestamp", "timestamp without time zone", raw(st.one_of(TIME, ZONED)), datetime.fromisoformat),
    ("timestamptz", "timestamp with time zone", raw(ZONED), moment),
    ("super", "jsonb", JSON.map(json.dumps), exact),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "postgres", "values", "read"), CASES, ids=[case[0] for case in CASES])
def test_what_the_rules_let_through_loads_and_is_what_it_was(
    connection: Connection,
    objects: Objects,
    kind: str,
    postgres: str,
    values: st.SearchStrategy[str],
    read: Callable[[str], object],
) -> None:
    """A value that the rules let through and PostgreSQL refused would fail the COPY otherwise than Redshift does."""
    connection.autocommit = True
    run(connection, f"create table t (n int, v {kind})")
    check = check_of(Column("v", postgres), Copy('"t"', "s3://b/k", time_format="auto"))

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(values, min_size=20, max_size=60))
    def load(found: list[str]) -> None:
        passed: dict[int, str | None] = {}
        for number, value in enumerate(found):
            try:
                passed[number] = check(value.encode())
            except BadValue:
                continue
        lines = "\n".join(f'{{"n": {number}, "v": {found[number]}}}' for number in passed)
        place = objects.put(f"rules/{kind}.json", lines.encode() + b"\n")
        run(connection, "delete from t")
        run(connection, f"copy t from '{place}' iam_role default json 'auto' timeformat 'auto'")
        expected = [[number, None if value is None else read(value)] for number, value in passed.items()]
        stored = run(connection, "select n, v from t order by n")
        if kind == "super":
            stored = [[number, None if value is None else exact(value)] for number, value in stored]
        assert stored == expected

    load()
