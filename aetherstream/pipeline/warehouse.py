"""What a Redshift sink of a pipeline file says, as plain values: where its warehouse is, and what its table holds.

Imported where a pipeline has such a sink; a cold start without one does without.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from msgspec import UnsetType

from aetherstream.pipeline.model_redshift import RedshiftSink, full_column
from aetherstream.warehouse.contract import Column, Declared, Distribution, split_table
from aetherstream.warehouse.types import ColumnType, column_type

PORT = 5439
"""Redshift's own."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that are this machine."""

_ENDPOINT = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]+))?(?:/(?P<database>[A-Za-z0-9_$.-]{1,127})?)?"
)


class Endpoint(NamedTuple):
    """Where a database is."""

    host: str
    port: int
    database: str


def endpoint(text: str) -> Endpoint:
    """Read `host[:port]/database`. Raises ValueError, which says what is wrong."""
    if "@" in text:  # not repeated: it may be a password
        raise ValueError("holds a user name or password; give them with `secret`, or with `username` and `password`")
    scheme, mark, rest = text.rpartition("://")
    if mark:
        raise ValueError(f"{text!r:.150}: leave out {scheme + mark!r:.40}; write {rest:.120}")
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r:.150} is no endpoint; write host/database or host:port/database")
    if found["database"] is None:
        raise ValueError(f"{text!r:.150} names no database; write {text.rstrip('/')!s:.120}/<database>")
    port = int((found["port"] or str(PORT))[:6])
    if not 0 < port < 65536:
        raise ValueError(f"{text!r:.150}: a port is 1 to 65535")
    return Endpoint(found["host"].strip("[]").lower(), port, found["database"])


def declared_table(sink: RedshiftSink, read: Callable[[str, str], ColumnType] | None = None) -> Declared:
    """Return the table that a sink declares.

    `read` makes the type of a column from the column's name and its text. Raises ValueError for a type that is none,
    unless `read` knows better.
    """
    schema, table = split_table(sink.table)
    columns = []
    for name, written in sink.columns.items():
        column = full_column(written)
        type_ = column_type(column.type) if read is None else read(name, column.type)
        columns.append(Column(name, type_, column.null, column.source))
    spread = sink.distribution
    return Declared(
        table=table,
        columns=tuple(columns),
        schema=schema,
        mode=sink.mode,
        key=() if isinstance(sink.key, UnsetType) else tuple(sink.key),
        version="" if isinstance(sink.version, UnsetType) else sink.version,
        unknown=sink.unknown,
        distribution=Distribution(spread.style, "" if isinstance(spread.column, UnsetType) else spread.column),
        sort=tuple(sink.sort),
    )
