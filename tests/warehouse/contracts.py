"""Contracts that the tests of this folder share."""

from __future__ import annotations

from typing import Any

from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.types import column_type


def column(name: str, text: str, *, null: bool = True, path: str = "") -> Column:
    return Column(name, column_type(text), null, path)


def of(text: str, *, null: bool = True) -> Contract:
    """A table of one column `c`."""
    return Contract("t", (column("c", text, null=null),))


def flights(**more: Any) -> Contract:
    columns = (
        column("flight_id", "varchar(40)", null=False),
        column("updated_at", "timestamptz", null=False),
        column("origin", "char(3)"),
        column("dep_delay", "double precision", path="delays.departure"),
        column("extra", "super"),
    )
    return Contract(**({"table": "flights", "columns": columns, "schema": "analytics"} | more))


def results(**more: Any) -> Contract:
    """A table of results: no events, one row an id, of the newest version."""
    columns = (
        column("id", "varchar(512)", null=False),
        column("flights", "bigint"),
        column("delays", "super"),
        column("version", "bigint", null=False),
        column("removed", "boolean", null=False),
    )
    given: dict[str, Any] = {
        "table": "results",
        "columns": columns,
        "schema": "analytics",
        "mode": "upsert",
        "events": False,
    }
    return Contract(**(given | {"key": ("id",), "version": "version"} | more))


def upserting(**more: Any) -> Contract:
    return flights(mode="upsert", key=("flight_id",), version="updated_at", **more)
