"""What is told of one table: how it stands, what it lacks of its contract, what was done about that.

Plain data for JSON. A warehouse that can't be asked is told as `trouble`.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.parts import Warehouse
from aetherstream.warehouse.ddl import Differences
from aetherstream.warehouse.options import LoadTarget

Told = dict[str, Any]


def about(target: LoadTarget) -> Told:
    """Which sink, which table, which warehouse."""
    place = target.warehouse
    return {
        "sink": target.sink,
        "table": f"{target.contract.schema}.{target.contract.table}",
        "warehouse": f"{place.host}:{place.port}/{place.database}",
    }


def planned(target: LoadTarget, warehouse: Warehouse, seconds: float) -> Told:
    """What the table lacks of its contract."""
    try:
        return {**about(target), **_differences(warehouse.compare(seconds))}
    except (Retryable, ConfigurationError) as error:
        return _unknown(target, error)


def applied(target: LoadTarget, warehouse: Warehouse, seconds: float) -> Told:
    """What the table lacked of its contract, and what was done about it: nothing while there are refusals."""
    try:
        found = warehouse.compare(seconds)
    except (Retryable, ConfigurationError) as error:
        return {**_unknown(target, error), "done": []}
    told = {**about(target), **_differences(found), "done": []}
    if found.changes and not found.refusals:
        try:
            told["done"] = warehouse.apply(found, seconds)
        except (Retryable, ConfigurationError) as error:
            told["trouble"] = str(error)
    return told


def summary(target: LoadTarget, warehouse: Warehouse, seconds: float) -> Told:
    """How the loads and the table stand."""
    told = {
        **about(target),
        "staging": f"s3://{target.staging.bucket}/{target.staging.prefix}/",
        "mode": target.contract.mode,
        "through": target.through,
    }
    try:
        totals = warehouse.totals(seconds)
        told |= {
            "loaded": totals.loaded,
            "rows": totals.rows,
            "set_aside": totals.set_aside,
            "last": None if totals.last is None else at(totals.last),
        }
        return {**told, **_differences(warehouse.compare(seconds))}
    except (Retryable, ConfigurationError) as error:
        return {**told, "trouble": str(error)}


def at(seconds: float) -> str:
    """A time as `2026-11-21T15:37:35Z`; from epoch seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unknown(target: LoadTarget, error: Exception) -> Told:
    return {**about(target), **_differences(Differences()), "trouble": str(error)}


def _differences(found: Differences) -> Told:
    return {
        "changes": [asdict(change) for change in found.changes],
        "refusals": [asdict(refusal) for refusal in found.refusals],
        "notes": list(found.notes),
    }
