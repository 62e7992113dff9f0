"""From results to rows, and from a row to the document that is stored of it. Pure.

Integers are written as JSON integers whatever their size, floats as the shortest text that reads back to them: nothing
is rounded on the way. Few readers have integers beyond 64 bits (OpenSearch and most JSON libraries take them for
doubles); of our results only sums, least and greatest values can be such.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.groups import group_values
from aetherstream.aggregates.ids import result_id
from aetherstream.aggregates.partials import results as outputs_of
from aetherstream.aggregates.windows import time_text
from aetherstream.delivery.aggregates.results import Result
from aetherstream.encoded import encode
from aetherstream.errors import Rejected
from aetherstream.results.parts import Row

PART_FIELDS = ("shard", "part", "early", "state")
"""Fields of a document that is one shard's part of a result."""


def rows(aggregate: Aggregate, results: Iterable[Result], *, final: bool) -> list[Row]:
    """Make the rows of results as `aetherstream.delivery.aggregates.results.merged` gives them.

    Args:
        aggregate: Whose results they are.
        results: Of one or more groups.
        final: Whether their windows are closed.
    """
    return [
        Row(
            id=result_id(result.key, result.window.id),
            aggregate=aggregate.name,
            window=result.window,
            version=row_version(result.version, final=final),
            final=final,
            group=group_of(aggregate, result.key),
            values=outputs_of(aggregate, result.accs),
        )
        for result in results
    ]


def removal(aggregate: Aggregate, gone: Result, into: Row) -> Row:
    """Make the row that takes back a session which a late event has united with another one.

    Args:
        aggregate: Whose sessions they are.
        gone: The session as it was.
        into: The row of the session that it is part of now: it has the version, so that it is newer than whatever was
            sent of `gone`.
    """
    return Row(
        id=result_id(gone.key, gone.window.id),
        aggregate=aggregate.name,
        window=gone.window,
        version=into.version,
        final=into.final,
        group=group_of(aggregate, gone.key),
        values=dict.fromkeys(output.name for output in aggregate.outputs),
        removed=True,
    )


def row_version(version: int, *, final: bool) -> int:
    """Make the version of a row from that of its result: the final row of a result is newer than the one before it."""
    return 2 * version + final


def group_of(aggregate: Aggregate, key: Key) -> dict[str, Any]:
    """Give the values of a group by their names."""
    return dict(zip((name for name, _ in aggregate.group_by), group_values(key.group), strict=True))


def document(row: Row, fields: Collection[str] | None = None) -> dict[str, Any]:
    """Make the document of a row: what stands in an index, an object or a table.

    Args:
        row: A removed one has null for each of its outputs, and `removed: true`.
        fields: Names of the outputs that go along; None: all.
    """
    values = row.values if fields is None else {name: row.values[name] for name in row.values if name in fields}
    found: dict[str, Any] = {
        "id": row.id,
        "aggregate": row.aggregate,
        "window_start": row.window.id,
        "window_end": time_text(row.window.end),
        **row.group,
        **(dict.fromkeys(values) if row.removed else values),
        "version": row.version,
        "final": row.final,
    }
    if row.part is not None:
        found |= {name: getattr(row.part, name) for name in PART_FIELDS}
    if row.rank is not None:
        found["rank"] = row.rank
    if row.removed:
        found["removed"] = True
    return found


def line(document: dict[str, Any]) -> bytes:
    """Write a document as JSON, on one line. Raises Rejected where JSON has no form for one of its values.

    That can only be what a custom accumulator gives, or half a character that `first`, `last` or `top_k` was given.
    """
    try:
        return encode(document)
    except (TypeError, ValueError, RecursionError) as error:
        reason = "can't be written as JSON"
        raise Rejected(reason, f"the result {document['id']} {reason}: {error}") from error


def newest(rows: Iterable[Row]) -> list[Row]:
    """Leave of rows with one id the one with the greatest version."""
    found: dict[str, Row] = {}
    for row in rows:
        before = found.get(row.id)
        if before is None or row.version > before.version:
            found[row.id] = row
    return list(found.values())
