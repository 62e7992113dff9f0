"""A stack in memory, as the commands reach it: each client has the requests that they make."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from aetherstream.compose import core_of, quarantine_of, tables_of
from aetherstream.delivery.dynamodb import from_item, to_item
from aetherstream.delivery.ledger import Ledger
from aetherstream.engine import Engine
from aetherstream.pipeline import load
from aetherstream.recovery_app import service_of
from aetherstream.report import Report
from aetherstream.settings import Settings
from aetherstream.sinks.base import RecordSink
from aetherstream.testing.builders import SHARD, kinesis_records
from aetherstream.testing.kinesis import FakeKinesis, StoredRecord, client_error
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress

ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
ARRIVED = datetime.now(UTC).replace(microsecond=0)
OUTPUTS = {
    "StreamArn": ARN,
    "BucketName": "data",
    "ProgressTableName": "progress",
    "RecoveryFunctionName": "recovery",
    "MappingId": "mapping",
}


class MemoryStack:
    """Plays `Deployed`: one shard, one pipeline."""

    name = "memory"

    def __init__(self, folder: Path, pipeline: str) -> None:
        self.outputs = OUTPUTS
        self.objects = MemoryObjects()
        self.progress = MemoryProgress()
        self.kinesis = Kinesis()
        self.mapping = "Enabled"
        self.record_sinks: list[RecordSink] = []
        self._path = folder / "pipeline.yaml"
        self.deploy(pipeline)

    def deploy(self, text: str) -> None:
        """Make this the deployed pipeline."""
        self._path.write_text(text)
        self.pipeline = load(self._path, {})
        self._tables = tables_of(self.pipeline, lambda uri: Path(uri).read_bytes())

    def process(self, *payloads: object) -> Report:
        """Put records on the stream and run them through the stream function as one batch."""
        first = 100 + 10 * len(self.kinesis.shards[SHARD].records)
        batch = kinesis_records(payloads, first=first, stream=ARN, arrival=ARRIVED.timestamp())
        batch.arrivals = [ARRIVED.timestamp()] * len(batch)
        self.kinesis.put(payloads, batch.sequences)
        engine = Engine(
            self.pipeline.name,
            core_of(self.pipeline, self._tables, {}),
            store=self.objects,
            ledger=Ledger(self.progress, "process"),
            quarantine=quarantine_of(self.pipeline),
            executor=InlineExecutor(),
            version=lambda: "v1",
        )
        return engine.process(batch, lambda: 900.0)

    def output(self, key: str) -> str:
        """See `Deployed`."""
        return self.outputs[key]

    def client(self, service: str, **more: Any) -> Any:
        """See `Deployed`."""
        made: dict[str, Any] = {
            "kinesis": self.kinesis,
            "dynamodb": Dynamo(self.progress),
            "s3": S3(self.objects),
            "lambda": self,
        }
        return made[service]

    # -- What of Lambda is used ---------------------------------------------------------------------------------------

    def get_event_source_mapping(self, **request: Any) -> dict[str, Any]:
        assert request == {"UUID": "mapping"}
        return {"State": self.mapping}

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "recovery"
        settings = Settings(self._path, "progress", dry_run=False, tracing=False, variables={}, stream=ARN)
        service = service_of(
            self.pipeline,
            self._tables,
            settings,
            store=self.objects,
            reader=self.objects,
            progress=self.progress,
            executor=InlineExecutor(),
            reread=lambda letter: letter.records(),
            record_sinks=self.record_sinks,
        )
        return {"Payload": io.BytesIO(json.dumps(service.handle(json.loads(Payload))).encode())}

    def call(self, command: click.Command, *arguments: str) -> Result:
        """Call a command on this stack."""
        inner: Any = command.callback.__wrapped__  # type: ignore[union-attr]

        @click.pass_context
        def run(context: click.Context, /, **options: Any) -> None:
            ours = {name: value for name, value in options.items() if name not in _STACK_OPTIONS}
            inner(deployed=lambda: self, **ours)

        return CliRunner().invoke(click.Command(command.name, callback=run, params=command.params), arguments)


_STACK_OPTIONS = {"stack", "endpoint_url", "region", "profile"}


class Kinesis(FakeKinesis):
    """One shard of a day's retention."""

    def put(self, payloads: Any, sequences: list[str]) -> None:
        for payload, sequence in zip(payloads, sequences, strict=True):
            data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            self.shards[SHARD].records.append(StoredRecord(sequence, data, "k", None, ARRIVED))

    def describe_stream_summary(self, **request: Any) -> dict[str, Any]:
        return {"StreamDescriptionSummary": {"RetentionPeriodHours": 24}}


class Dynamo:
    """The progress table."""

    def __init__(self, progress: MemoryProgress) -> None:
        self._progress = progress

    def scan(self, **request: Any) -> dict[str, Any]:
        return {"Items": [to_item(item) for item in self._progress.items.values()]}

    def put_item(self, **request: Any) -> dict[str, Any]:
        stored = self._progress.write(from_item(request["Item"]))
        if stored is not None:
            raise client_error("ConditionalCheckFailedException", operation="PutItem")
        return {}


class S3:
    """The data bucket; every object was written a moment ago."""

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, Metadata: Any, **condition: str) -> None:  # noqa: N803
        self._objects.put(Bucket, Key, Body, Metadata, if_match=condition.get("IfMatch"))

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        for key, stored in self._objects.under(Bucket, Prefix):
            yield {"Contents": [{"Key": key, "LastModified": ARRIVED, "Size": len(stored.body)}]}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self._objects.objects[Bucket, Key].body)}
