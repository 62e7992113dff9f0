"""What is measured: the floor, the peer, the engine. Each takes a Lambda event and gives the bytes it would store."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from isal import igzip

from aetherstream.app import engine_of
from aetherstream.compose import tables_of
from aetherstream.decode import read_batch
from aetherstream.delivery.ledger import Ledger
from aetherstream.kpl import MAGIC, AggregatedRecord
from aetherstream.pipeline import load
from aetherstream.report import Report
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress

Event = dict[str, Any]
HERE = Path(__file__).parent


def floor(event: Event) -> int:
    """base64, orjson in, orjson out into one buffer, isal level 1: no framework, no transform, no failure handling."""
    lines = bytearray()
    for record in event["Records"]:
        value = orjson.loads(base64.b64decode(record["kinesis"]["data"]))
        lines += orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    return len(igzip.compress(lines, 1))


def floor_kpl(event: Event) -> int:
    """The floor for aggregates: they are opened with the KPL's own protobuf messages, their MD5 is checked."""
    lines = bytearray()
    for record in event["Records"]:
        data = base64.b64decode(record["kinesis"]["data"])
        message, digest = data[len(MAGIC) : -16], data[-16:]
        if hashlib.md5(message, usedforsecurity=False).digest() != digest:
            raise ValueError("not an aggregate")
        for inner in AggregatedRecord.FromString(message).records:
            lines += orjson.dumps(orjson.loads(inner.data), option=orjson.OPT_APPEND_NEWLINE)
    return len(igzip.compress(lines, 1))


def powertools(event: Event) -> int:
    """What the Powertools documentation shows: a record handler under BatchProcessor; json, gzip 6."""
    groups: dict[str, list[str]] = {}

    def handle(record: KinesisStreamRecord) -> None:
        value = json.loads(record.kinesis.data_as_bytes())
        validate_by_hand(value)
        value["_event_id"] = record.event_id
        value["device"] = value.pop("device_id")
        value["hot"] = value["temperature"] > 30
        value.pop("debug", None)
        time = datetime.fromisoformat(value["time"])
        groups.setdefault(f"{time:%Y-%m-%d/%H}/{value['type']}", []).append(json.dumps(value))

    answer = process_partial_response(
        event=event, record_handler=handle, processor=BatchProcessor(EventType.KinesisDataStreams), context=None
    )
    if answer["batchItemFailures"]:
        raise ValueError("the peer refused records")
    return sum(len(gzip.compress("\n".join(lines).encode(), 6)) for lines in groups.values())


def validate_by_hand(value: Any) -> None:
    """The rules of bench/pipeline.yaml as one writes them without a schema, quicker than by any schema library."""
    if not isinstance(value, dict):
        raise TypeError("not an object")
    for name in ("message_id", "device_id", "time", "type"):
        if not isinstance(value[name], str):
            raise TypeError(name)
    if len(value["message_id"]) != 32 or len(value["device_id"]) > 64:
        raise ValueError("length")
    if value["type"] not in {"telemetry", "status", "alert"}:
        raise ValueError("type")
    temperature, humidity = value["temperature"], value.get("humidity", 0)
    if not isinstance(temperature, int | float) or not -100 <= temperature <= 200:
        raise ValueError("temperature")
    if not isinstance(humidity, int | float) or not 0 <= humidity <= 100:
        raise ValueError("humidity")
    if not isinstance(value.get("battery", 0), int):
        raise TypeError("battery")
    location = value.get("location")
    if location is not None and not (
        isinstance(location["lat"], int | float) and isinstance(location["lon"], int | float)
    ):
        raise TypeError("location")


class Engine:
    """The engine as deployed, on in-memory stores that answer like S3 and DynamoDB; each batch is a shard's first."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        pipeline = load(HERE / "pipeline.yaml", environment or {})
        self._make: Callable[[], Any] = lambda: engine_of(
            pipeline,
            tables_of(pipeline, lambda uri: Path(uri).read_bytes()),
            store=MemoryObjects(),
            ledger=Ledger(MemoryProgress(), "bench"),
            executor=InlineExecutor(),
            secrets={},
        )
        self.report = Report()
        self.renew()

    def renew(self) -> None:
        """Begin with empty stores, outside of what is measured."""
        self._engine = self._make()

    def __call__(self, event: Event) -> int:
        self.report = self._engine.process(read_batch(event), lambda: 600.0)
        if self.report.error or self.report.quarantined:
            raise ValueError(f"the engine refused records: {self.report.error} {self.report.reasons}")
        return self.report.bytes
