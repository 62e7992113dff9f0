"""The table of an aggregate's results in Redshift, as it follows from what the pipeline file declares.

Imported where results go to such a table; a cold start without one does without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import UnsetType

from aetherstream.aggregates.groups import LONGEST_GROUP
from aetherstream.aggregates.ids import LONGEST_ID
from aetherstream.pipeline.model_aggregates import DeclaredAggregate
from aetherstream.pipeline.model_results import Kind, ResultPlace
from aetherstream.warehouse.contract import Column, Declared, split_table
from aetherstream.warehouse.types import ColumnType, column_type

KEY = "id"
VERSION = "version"
"""The row with the greatest one stays."""

_NUMBER = "double precision"
_ANY = "super"
"""Of what may be a text, a number, or have parts."""
_TYPES: dict[Kind, str] = {
    "count": "bigint",
    "sum": _NUMBER,
    "min": _NUMBER,
    "max": _NUMBER,
    "mean": _NUMBER,
    "variance": _NUMBER,
    "stddev": _NUMBER,
    "first": _ANY,
    "last": _ANY,
    "distinct": "bigint",
    "quantiles": _ANY,
    "top_k": _ANY,
    "rate": _NUMBER,
    "custom": _ANY,
}
_PART = (
    ("shard", "varchar(128)", False),
    ("part", "varchar(160)", False),
    ("early", "boolean", False),
    # The longest there is: a longer state could not be put together again.
    ("state", "varchar(65535)", False),
)
"""Beside the results of a shard's part of a window (`aetherstream.results.parts.Part`)."""

Read = Callable[[str, str], ColumnType]


def declared_results(aggregate: DeclaredAggregate, place: ResultPlace, read: Read | None = None) -> Declared:
    """Return the table that a place of results declares: one row a result, sorted by the start of the window.

    `read` makes the type of a column from the column's name and its text, where the file gives one. Raises ValueError
    for a type that is none, unless `read` knows better; the place has a table.
    """
    schema, table = split_table(str(place.table))
    given = given_types(place)
    columns = []
    for field, text, nullable in _fields(aggregate, place):
        name = field.lower()
        wanted = given.get(name)
        type_ = column_type(wanted or text) if wanted is None or read is None else read(name, wanted)
        columns.append(Column(name, type_, nullable, "" if name == field else field))
    return Declared(
        table=table,
        columns=tuple(columns),
        schema=schema,
        mode="upsert",
        key=(KEY,),
        version=VERSION,
        events=False,
        sort=("window_start",),
    )


def given_types(place: ResultPlace) -> dict[str, str]:
    """The types that the file gives, by the names of their columns."""
    return {} if isinstance(place.columns, UnsetType) else {name.lower(): text for name, text in place.columns.items()}


def _fields(aggregate: DeclaredAggregate, place: ResultPlace) -> Iterator[tuple[str, str, bool]]:
    """Fields of a result's document: name, type of the column, whether it may be null."""
    yield KEY, f"varchar({LONGEST_ID})", False
    yield "aggregate", "varchar(64)", False
    yield "window_start", "timestamptz", False
    yield "window_end", "timestamptz", False
    # Null where the event has no such field.
    yield from ((part.name, f"varchar({LONGEST_GROUP})", True) for part in aggregate.group)
    chosen = aggregate.full_outputs
    if not isinstance(place.fields, UnsetType):
        chosen = {name: output for name, output in chosen.items() if name in place.fields}
    yield from ((name, _TYPES[output.kind], True) for name, output in chosen.items())
    if aggregate.state == "lambda":
        yield from _PART
    yield VERSION, "bigint", False
    yield "final", "boolean", False
    yield "removed", "boolean", False
    if not isinstance(aggregate.rank, UnsetType):
        # May be null, as all that a later version of the file may add.
        yield "rank", "integer", True
