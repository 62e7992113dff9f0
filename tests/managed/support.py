"""Aggregates, batches and states of windows that Lambda keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output, expressions
from aetherstream.aggregates.columns import ColumnReader
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.partials import load, results
from aetherstream.aggregates.windows import Tumbling, Window
from aetherstream.core import Core
from aetherstream.managed.fold import Step, WindowFold
from aetherstream.managed.state import WindowState
from aetherstream.records import KinesisRecords
from aetherstream.sinks.base import ObjectSink
from aetherstream.sinks.s3 import S3Archive
from aetherstream.testing.builders import SHARD, START, JsonLists, kinesis_records

WINDOW = Window(START, START + 60)
COUNT = Output("n", make("count"))
DELAY = Output("delay", make("sum"), "delay")
AIRCRAFT = Output("aircraft", make("distinct"), "tail")


def aggregate(*outputs: Output, name: str = "delays", by: str = "carrier", **options: Any) -> Aggregate:
    groups = tuple((part, part) for part in by.split())
    return Aggregate(name, groups, options.pop("windows", Tumbling(60)), outputs or (COUNT, DELAY), **options)


def declared(*aggregates: Aggregate) -> list[Declaration]:
    return [Declaration(one, store="lambda") for one in aggregates]


def archive() -> ObjectSink:
    return S3Archive("archive", bucket="data", prefix="archive")


def core(*aggregates: Aggregate) -> Core:
    return Core(JsonLists(), sinks=[archive()], columns=ColumnReader(expressions(aggregates)))


def batch(*payloads: Any, first: int = 100, shard: str = SHARD) -> KinesisRecords:
    return kinesis_records(payloads, first=first, shard=shard)


def folded(*aggregates: Aggregate, batches: Sequence[KinesisRecords], state: WindowState | None = None) -> Step:
    """What batches make of a window, one after the other."""
    own = core(*aggregates)
    fold = WindowFold(declared(*aggregates), ["archive"])
    step = Step(state or WindowState())
    for each in batches:
        step = fold(step.state, each, own.prepare(each, 0, len(each)))
    return step


def found(own: Aggregate, state: WindowState | None) -> dict[str, dict[str, Any]]:
    """Results by group."""
    groups = {} if state is None else state.groups.get(own.name, {})
    return {group: results(own, load(own, data)) for group, data in groups.items()}
