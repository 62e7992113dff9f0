"""Rows for Redshift: staging beside the archive, and the checks of a contract.

Ten columns of the telemetry events that everything is measured on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from aetherstream.app import version_of
from aetherstream.compose import core_of, quarantine_of, tables_of
from aetherstream.decode import read_batch
from aetherstream.delivery.ledger import Ledger
from aetherstream.engine import Engine
from aetherstream.errors import Rejected
from aetherstream.pipeline import load
from aetherstream.records import Event, Events
from aetherstream.report import Report
from aetherstream.sinks.base import ObjectSink
from aetherstream.sinks.redshift import DAILY, RedshiftStaging
from aetherstream.sinks.s3 import S3Archive
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from aetherstream.warehouse.check import Table
from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.types import column_type
from bench import data

HERE = Path(__file__).parent
CONTRACT = Contract(
    "telemetry",
    tuple(
        Column(name, column_type(kind), nullable, path)
        for name, kind, nullable, path in (
            ("message_id", "char(32)", False, ""),
            ("device", "varchar(64)", False, ""),
            ("time", "timestamptz", False, ""),
            ("type", "varchar(16)", False, ""),
            ("temperature", "double precision", False, ""),
            ("humidity", "double precision", True, ""),
            ("battery", "smallint", True, ""),
            ("lat", "double precision", True, "location.lat"),
            ("firmware", "varchar(32)", True, ""),
            ("hot", "boolean", True, ""),
        )
    ),
    schema="analytics",
)
PART = 430
"""Events that the engine checks at a time, about."""


class _Unchecked(RedshiftStaging):
    """The staging sink as it would be if nobody looked at the values."""

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:
        return self._objects.partition(events, indices)


def sinks(name: str) -> list[ObjectSink]:
    """The per-object sinks of a subject: all with an object a day, as staging has it where nothing else is said."""
    kind = _Unchecked if name == "staging" else RedshiftStaging
    archive: ObjectSink = S3Archive("archive", bucket="bench-archive", prefix="archive", partition=DAILY)
    staging: ObjectSink = kind("warehouse", CONTRACT, bucket="bench-archive", prefix="staging")
    return {"archive": [archive], "archive-staging": [archive, staging]}.get(name, [staging])


class Staging:
    """`archive`, `staging` (without its checks), `staging-checked`, `archive-staging`: the engine before such sinks."""

    def __init__(self, name: str) -> None:
        pipeline = load(HERE / "pipeline.yaml", {})
        tables = tables_of(pipeline, lambda uri: Path(uri).read_bytes())
        self._make: Callable[[], Engine] = lambda: Engine(
            pipeline.name,
            core_of(pipeline, tables, {}).placing(sinks(name), ()),
            store=MemoryObjects(),
            ledger=Ledger(MemoryProgress(), "bench"),
            quarantine=quarantine_of(pipeline),
            executor=InlineExecutor(),
            version=version_of(pipeline, tables),
        )
        self.report = Report()
        self.renew()

    def renew(self) -> None:
        """Begin with empty stores, outside of what is measured."""
        self._engine = self._make()

    def __call__(self, event: Any) -> int:
        self.report = self._engine.process(read_batch(event), lambda: 600.0)
        if self.report.error or self.report.quarantined:
            raise ValueError(f"the engine refused records: {self.report.error} {self.report.reasons}")
        return self.report.bytes


def transformed(payloads: Sequence[bytes]) -> list[Event]:
    """The events as bench/pipeline.yaml leaves them."""
    values: list[Event] = [orjson.loads(payload) for payload in payloads]
    for value in values:
        value["device"] = value.pop("device_id")
        value["hot"] = value["temperature"] > 30
        del value["debug"]
    return values


class Checks:
    """`checks`: the contract's, of events as the transforms leave them."""

    def __init__(self) -> None:
        self._table = Table(CONTRACT)
        self._payloads = data.payloads()
        self.renew()

    def renew(self) -> None:
        """Read the events again, outside of what is measured."""
        values = transformed(self._payloads)
        self._parts = [values[at : at + PART] for at in range(0, len(values), PART)]

    def __call__(self, event: object) -> int:  # noqa: ARG002
        if any(list(map(self._table.check, self._parts))):
            raise ValueError("the checks refused events")
        return len(self._parts)
