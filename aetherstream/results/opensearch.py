"""Results in OpenSearch: a document for each, under its id, with the row's version as its external version.

Rows may come in any order and any number of times: OpenSearch keeps the newest. A session that is no more is deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.declaration import Declaration
from aetherstream.errors import CONFIGURATION, ConfigurationError, Rejected, Retryable
from aetherstream.results.parts import Row, Sent
from aetherstream.results.rows import document, line, newest
from aetherstream.sinks.base import Documents, Outcome

REMEMBERS_REMOVED = "1h"
"""A late emission brings a deleted session back where OpenSearch does not know any more that it was deleted: by default
after 60 s (`index.gc_deletes`; seen on 3.8). No function runs for an hour (AWS: 15 minutes)."""

_DATE = {"type": "date", "format": "strict_date_optional_time", "ignore_malformed": True}
# Any scalar: a text to find, and a number to sort by and to aggregate where it is one.
_SCALAR = {"type": "keyword", "fields": {"number": {"type": "double", "ignore_malformed": True}}}
_COMMON: Mapping[str, Any] = {
    "id": "keyword",
    "aggregate": "keyword",
    "window_start": _DATE,
    "window_end": _DATE,
    "version": "long",
    "final": "boolean",
}
_PART: Mapping[str, Any] = {
    "shard": "keyword",
    "part": "keyword",
    "early": "boolean",
    "state": {"type": "keyword", "index": False, "doc_values": False},
}
_BY_KIND: Mapping[str, Any] = {
    "count": "long",
    "distinct": "long",
    # Doubles, also where all values are integers: a long would refuse the whole document once a sum passes 64 bits.
    **dict.fromkeys(("sum", "min", "max", "mean", "variance", "stddev", "rate"), "double"),
    "first": _SCALAR,
    "last": _SCALAR,
    "top_k": {"properties": {"value": {"type": "keyword"}, "count": {"type": "long"}, "error": {"type": "long"}}},
}


class Upserts(Protocol):
    """The OpenSearch sink, as far as results need it."""

    def upsert(self, documents: Documents, versions: Sequence[int], seconds: float, /) -> Outcome:
        """See `aetherstream.sinks.opensearch.sink.OpenSearchSink.upsert`."""


class OpenSearchOutlet:
    """`Outlet` into one index."""

    final_only = False

    def __init__(self, name: str, sink: Upserts, index: str, fields: Collection[str] | None = None) -> None:
        """`fields`: the outputs that go along; None: all."""
        self.name = name
        self._sink = sink
        self._index = index
        self._fields = fields

    def send(self, rows: Sequence[Row], seconds_left: float, /) -> Sent:
        """See `Outlet.send`."""
        documents, versions = Documents(), []
        refused: dict[str, Rejected] = {}
        for row in newest(rows):
            try:
                body = b"" if row.removed else line(document(row, self._fields))
            except Rejected as error:
                refused[row.id] = error
                continue
            documents.ids.append(row.id)
            documents.places.append(self._index)
            documents.bodies.append(body)
            versions.append(row.version)
        outcome = self._sink.upsert(documents, versions, seconds_left)
        self._complain(outcome, len(documents))
        return Sent({**refused, **outcome.rejected})

    def _complain(self, outcome: Outcome, count: int) -> None:
        """Raise where some rows are not stored for another reason than what is in them."""
        for why in outcome.rejected.values():
            if why.reason.startswith(CONFIGURATION):
                raise ConfigurationError(f"{self.name}: index {self._index}: {why.message}")
        if not outcome.undelivered:
            return
        for answer in outcome.answers:
            if answer.refused:
                raise ConfigurationError(f"{self.name}: {answer.why}")
        why_not = next(iter(outcome.undelivered.values()))
        raise Retryable(f"{self.name}: {len(outcome.undelivered)} of {count} results are not stored: {why_not}")


def mappings_of(declaration: Declaration, fields: Collection[str] | None = None) -> dict[str, Any]:
    """Say how the fields of an aggregate's rows are indexed; what a custom accumulator gives is left to the index."""
    aggregate = declaration.aggregate
    found = {**_COMMON, **_group(aggregate)}
    if declaration.store == "lambda":
        found |= _PART
    if declaration.ranking is not None:
        found["rank"] = "integer"
    for output in aggregate.outputs:
        mapping = _output(output)
        if mapping is not None and (fields is None or output.name in fields):
            found[output.name] = mapping
    return found


def _group(aggregate: Aggregate) -> dict[str, Any]:
    return dict.fromkeys((name for name, _ in aggregate.group_by), "keyword")


def _output(output: Output) -> Any:
    kind = output.accumulator.kind
    if kind == "quantiles":
        labels = output.accumulator.result(output.accumulator.create())
        return {"properties": {label: {"type": "double"} for label in labels}}
    return _BY_KIND.get(kind)
