"""The table contract: which columns a table has, what they take, and how its rows are told apart. Pure.

A contract that was made is sound: everything that can be wrong with it is found when it is made, all at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal

from aetherstream.encoded import EVENT_ID, IDENTITY
from aetherstream.errors import ConfigurationError
from aetherstream.warehouse.types import ColumnType

Mode = Literal["append", "upsert"]
DistributionStyle = Literal["auto", "even", "all", "key"]
Place = tuple[str, ...]
"""Where in the contract a mistake stands, for example `("columns", "origin", "type")`."""

EVENT_ID_TYPE = ColumnType("varchar", length=200)
"""Every table of events has the column `_event_id`, not null, of this type."""
MAX_COLUMNS = 1600
"""Redshift: most columns of a table."""
MAX_SORT_COLUMNS = 400
"""Redshift: most columns of a compound sort key."""

# Redshift takes more between quotes; these need no thought in JSON, in SQL and in a shell.
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,126}")
# PostgreSQL's and Redshift's system columns: no table can have them, quoted or not.
_SYSTEM = {"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "deletexid", "insertxid"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    """Lower case: Redshift folds names, also quoted ones."""
    type: ColumnType
    nullable: bool = True
    path: str = ""
    """Dotted path of the field in the event; empty: the column's name."""

    @property
    def source(self) -> str:
        """Dotted path of the field in the event."""
        return self.path or self.name


@dataclass(frozen=True, slots=True)
class Distribution:
    """How Redshift spreads the rows over its slices."""

    style: DistributionStyle = "auto"
    column: str = ""
    """With `key`."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a table is to hold, as somebody wrote it down; `mistakes` tells what is wrong with it."""

    table: str
    columns: tuple[Column, ...]
    """Without `_event_id`, which a table of events has beside them."""
    schema: str = "public"
    mode: Mode = "append"
    """`append` keeps one row an event id; `upsert` one row a key, of the newest version."""
    key: tuple[str, ...] = ()
    """With `upsert`: names of the columns that tell rows apart."""
    version: str = ""
    """With `upsert`: name of the column whose greatest value wins; among equals the later position does."""
    events: bool = True
    """Whether its rows are events, each with its `_event_id`. Others, only with `upsert`, are told apart by key and
    version alone: rows of the same are equal."""
    unknown: str = "ignore"
    """Top-level fields that no column reads: `ignore`, `reject`, or the name of the SUPER column that collects them."""
    distribution: Distribution = Distribution()
    sort: tuple[str, ...] = ()

    @property
    def stored(self) -> tuple[Column, ...]:
        """All columns of the table; `_event_id`, where it has one, first."""
        return (Column(EVENT_ID, EVENT_ID_TYPE, nullable=False), *self.columns) if self.events else self.columns

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in the order of `stored`."""
        return tuple(column.name for column in self.stored)

    @property
    def collector(self) -> str:
        """Name of the column that collects unknown fields; empty: there is none."""
        return "" if self.unknown in ("ignore", "reject") else self.unknown

    @property
    def fields(self) -> frozenset[str]:
        """The top-level fields of an event that are known."""
        read = {column.source.partition(".")[0] for column in self.columns if column.name != self.collector}
        return frozenset(read | {EVENT_ID, IDENTITY})

    def agreed(self) -> Contract:
        """Return it as a contract. Raises ConfigurationError, which names every mistake."""
        return Contract(**{each.name: getattr(self, each.name) for each in fields(self)})


@dataclass(frozen=True, slots=True)
class Contract(Declared):
    """What a table holds. Raises ConfigurationError, which names every mistake, when it is made."""

    def __post_init__(self) -> None:
        found = [f"{'.'.join(place)}: {message}" for place, message in mistakes(self)]
        if found:
            raise ConfigurationError("the table contract is wrong: " + "; ".join(found))


def split_table(text: str) -> tuple[str, str]:
    """Split `[schema.]table`; without a schema it is `public`."""
    schema, dot, table = text.partition(".")
    return (schema, table) if dot else ("public", text)


def mistakes(contract: Declared) -> Iterator[tuple[Place, str]]:
    """Everything that is wrong with a contract: where, and what."""
    for place, name in ((("table",), contract.table), (("schema",), contract.schema)):
        if wrong := _wrong_name(name):
            yield place, wrong
    columns = {column.name: column for column in contract.columns}
    if not contract.columns:
        yield ("columns",), "needs at least one column"
    if len(contract.columns) >= MAX_COLUMNS:
        yield ("columns",), f"Redshift takes {MAX_COLUMNS} columns, {EVENT_ID} among them"
    if len(columns) < len(contract.columns):
        yield ("columns",), "a name stands twice"
    for column in contract.columns:
        yield from _column_mistakes(column, contract)
    yield from _collector_mistakes(contract, columns)
    yield from _mode_mistakes(contract, columns)
    yield from _layout_mistakes(contract, columns)


def _wrong_name(name: str) -> str:
    if _NAME.fullmatch(name):
        return ""
    if _NAME.fullmatch(name.lower()):
        return f"{name!r}: Redshift folds names to lower case; write {name.lower()!r}"
    return f"{name!r:.150} is no name: up to 127 of a-z, 0-9 and _, the first no digit"


def _column_mistakes(column: Column, contract: Declared) -> Iterator[tuple[Place, str]]:
    at = ("columns", column.name)
    if wrong := _wrong_name(column.name):
        yield at, wrong
    elif column.name in (EVENT_ID, IDENTITY):
        yield at, f"{column.name} is AetherStream's own; give the column another name"
    elif column.name in _SYSTEM:
        yield at, f"{column.name} is a system column; give the column another name, and the field with `from`"
    if not all(column.source.split(".")):
        yield (*at, "from"), f"{column.source!r} has an empty part between its dots"
    if column.source.partition(".")[0] in (EVENT_ID, IDENTITY) and column.name != column.source:
        yield (*at, "from"), f"{column.source} is not known yet when the row is checked"
    if column.name == contract.collector:
        if column.path:
            yield (*at, "from"), "collects what no other column reads; it has no field of its own"
        if not column.nullable:
            yield (*at, "null"), "is null where an event has no unknown fields"


def _collector_mistakes(contract: Declared, columns: Mapping[str, Column]) -> Iterator[tuple[Place, str]]:
    if not contract.collector:
        return
    column = columns.get(contract.collector)
    if column is None:
        yield ("unknown",), f"{contract.collector!r} is neither ignore, reject nor the name of a column"
    elif column.type.name != "super":
        yield ("unknown",), f"only a super column can collect fields; {column.name} is {column.type}"


def _mode_mistakes(contract: Declared, columns: Mapping[str, Column]) -> Iterator[tuple[Place, str]]:
    if contract.mode == "append":
        if not contract.events:
            yield ("mode",), "only `upsert` tells rows apart that have no event id"
        for name in ("key", "version"):
            if getattr(contract, name):
                yield (name,), "belongs to `mode: upsert`; `append` tells rows apart by their event ids"
        return
    if not contract.key:
        yield ("key",), "`mode: upsert` needs the columns that tell rows apart"
    if not contract.version:
        yield ("version",), "`mode: upsert` needs the column whose greatest value wins"
    if len(set(contract.key)) < len(contract.key):
        yield ("key",), "a name stands twice"
    if contract.version and contract.version in contract.key:
        yield ("version",), f"{contract.version} is part of the key: equal keys would always have equal versions"
    for place, names, unfit in (
        ("key", contract.key, {"super", "real", "double precision"}),
        ("version", (contract.version,) if contract.version else (), {"super", "boolean"}),
    ):
        for name in names:
            column = columns.get(name)
            if column is None:
                yield (place,), f"there is no column {name!r}"
            elif column.type.name in unfit:
                yield (place,), f"{name} is {column.type}, which can't be a {place}"
            elif column.nullable:
                yield (place,), f"{name} may be null, which equals nothing: give the column `null: false`"


def _layout_mistakes(contract: Declared, columns: Mapping[str, Column]) -> Iterator[tuple[Place, str]]:
    distribution = contract.distribution
    if distribution.style == "key" and not distribution.column:
        yield ("distribution",), "`style: key` needs `column`"
    if distribution.style != "key" and distribution.column:
        yield ("distribution", "column"), f"belongs to `style: key`, not to `{distribution.style}`"
    if len(contract.sort) > MAX_SORT_COLUMNS:
        yield ("sort",), f"Redshift takes {MAX_SORT_COLUMNS} columns in a sort key"
    if len(set(contract.sort)) < len(contract.sort):
        yield ("sort",), "a name stands twice"
    for place, name in (
        *((("sort",), name) for name in contract.sort),
        *([(("distribution", "column"), distribution.column)] if distribution.column else []),
    ):
        if name == EVENT_ID and contract.events:
            continue
        if name not in columns:
            yield place, f"there is no column {name!r}"
        elif columns[name].type.name == "super":
            yield place, f"{name} is super, which Redshift takes neither as distribution nor as sort key"
