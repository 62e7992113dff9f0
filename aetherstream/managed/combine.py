"""From the shards' partial results to those of the whole stream, exactly: by their merge states."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.partials import load, merge, results
from aetherstream.errors import UsageError


def combine(aggregate: Aggregate, documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Merge what shards and parts of windows have stored.

    Args:
        aggregate: As it is declared.
        documents: Rows of it as a sink gives them back, in any order, of any windows; of several with one `id` the
            greatest `version` counts.

    Returns:
        For each window and group, in their order: `aggregate`, `window_start`, `window_end`, the group's fields, the
        outputs, and `parts`, how many rows it was made from.

    Raises:
        UsageError: a document is none of this aggregate as it is declared.
        UnreadableState: a later version wrote a state.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        before = newest.get(document["id"])
        if before is None or before["version"] < document["version"]:
            newest[document["id"]] = document
    names = [name for name, _ in aggregate.group_by]
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for document in newest.values():
        group = orjson.dumps([document.get(name) for name in names]).decode()
        found.setdefault((str(document["window_start"]), group), []).append(document)
    return [_combined(aggregate, names, parts) for _, parts in sorted(found.items())]


def _combined(aggregate: Aggregate, names: list[str], parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    united = _state(aggregate, parts[0])
    for part in parts[1:]:
        united = merge(aggregate, united, _state(aggregate, part))
    one = parts[0]
    return {
        "aggregate": aggregate.name,
        "window_start": one["window_start"],
        "window_end": one["window_end"],
        **{name: one.get(name) for name in names},
        **results(aggregate, united),
        "parts": len(parts),
    }


def _state(aggregate: Aggregate, document: Mapping[str, Any]) -> Any:
    fingerprint, colon, data = str(document.get("state", "")).partition(":")
    if not colon or fingerprint != aggregate.fingerprint:
        raise UsageError(
            f"{document['id']}: its merge state is none of the aggregate {aggregate.name} as it is declared now "
            f"({aggregate.fingerprint}): take the declaration of the time it was written"
        )
    return load(aggregate, b64decode(data))
