"""The aggregate of `aetherstream.testing.results`, with its table in Redshift."""

from __future__ import annotations

from typing import Any

import msgspec

from aetherstream.compose_loads import result_target_of
from aetherstream.pipeline.model_aggregates import DeclaredAggregate
from aetherstream.pipeline.model_redshift import RedshiftSink
from aetherstream.warehouse.options import LoadTarget

BUCKET = "staging"
PREFIX = "flights/staging/warehouse.results/hours"


def declared(**more: Any) -> DeclaredAggregate:
    """Flights of each carrier by the hour; `more`: of the aggregate, `to` of its only place."""
    place = {"table": "public.hours", "prefix": PREFIX, **more.pop("to", {})}
    text = {
        "group_by": ["carrier"],
        "window": {"tumbling": "1h"},
        "outputs": {
            "flights": "count",
            "delay": {"kind": "mean", "of": "dep_delay"},
            "note": {"kind": "last", "of": "note"},
        },
        "to": {"warehouse": place},
    }
    return msgspec.convert(text | more, DeclaredAggregate)


def sink(**more: Any) -> RedshiftSink:
    text = {
        "endpoint": "wh.example/dev",
        "secret": "s",
        "bucket": BUCKET,
        "prefix": "flights/staging/warehouse",
        "table": "public.flights",
        "columns": {"carrier": "char(2)"},
    }
    return msgspec.convert(text | more, RedshiftSink)


def target(of: RedshiftSink | None = None, **more: Any) -> LoadTarget:
    """What the loads of the aggregate's results are made from."""
    return result_target_of("hours", declared(**more), "warehouse", of or sink())
