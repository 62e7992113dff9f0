"""Values for property tests: what comes in events, near the limits of the column types and beyond."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TYPES = (
    "smallint",
    "integer",
    "bigint",
    "decimal(5,2)",
    "decimal(15,4)",
    "decimal(12,0)",
    "decimal(12,6)",
    "decimal(18,6)",
    "decimal(19,3)",
    "decimal(38,10)",
    "real",
    "double precision",
    "boolean",
    "char(3)",
    "varchar(8)",
    "date",
    "timestamp",
    "timestamptz",
    "super",
)

_edges = st.sampled_from([2**15, 2**31, 2**63, 10**5, 10**11, 10**12, 10**15, 10**16, 10**19, 10**38]).flatmap(
    lambda edge: st.sampled_from([edge, -edge, edge - 1, 1 - edge, -edge - 1])
)
integers = st.one_of(st.integers(-1000, 1000), _edges, st.integers())
hundredths = st.integers(-120_000, 120_000).map(lambda number: number / 100)
floats = st.one_of(
    hundredths,
    st.floats(),
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, 1e-5, 0.0001, 1e15, 1e16, 5e-324, 999.99, 1e-10, 3.5e38]),
)
texts = st.one_of(
    st.text(max_size=9),
    st.text(st.characters(codec=None), max_size=4),
    st.text("0123456789.eE+- ", max_size=12),
    st.sampled_from(["true", "NO", "y", "1", r"\N", "JFK", "a\0b", "\ud800", "üü", "", " ", "abc  ", "null", "NaN"]),
)
_moments = st.datetimes(timezones=st.sampled_from([None, *()]) | st.timezones()) | st.datetimes()
times = st.one_of(
    _moments.map(lambda moment: moment.isoformat()),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z"),
    st.datetimes().map(lambda moment: moment.isoformat(" ", "seconds") + "Z"),
    st.dates().map(lambda day: day.isoformat()),
    st.sampled_from(
        ["2013-02-30", "2013-01-31T25:00:00Z", "20130131T070000Z", "2013-01-31T07:00:00.1234567Z", "1700000000"]
    ),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2013-01-31T07:00Z"]),
)
scalars = st.one_of(st.none(), st.booleans(), integers, floats, texts, times)
nested = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
_of_kind: dict[str, st.SearchStrategy[Any]] = {
    "decimal": st.one_of(hundredths, integers, floats),
    "real": floats,
    "double precision": st.one_of(floats, integers),
    "boolean": st.booleans(),
    "char": texts,
    "varchar": texts,
    "date": times,
    "timestamp": times,
    "timestamptz": times,
    "super": nested,
}


def of_type(kind: str) -> st.SearchStrategy[Any]:
    """Mostly values that one would find in such a column."""
    usual = _of_kind.get(kind.partition("(")[0], integers)
    return st.one_of(usual, usual, usual, st.none(), nested)


def columns(kind: str) -> st.SearchStrategy[list[Any]]:
    """The values of a column: of one sort, or of any."""
    usual = _of_kind.get(kind.partition("(")[0], integers)
    return st.one_of(st.lists(usual, max_size=5), st.lists(usual | st.none(), max_size=5), st.lists(nested, max_size=4))
