"""Recovery and `aetherstream aggregates` with the emulator's DynamoDB, S3 and Kinesis: each event is folded once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import click
import pytest
from click.testing import CliRunner

from aetherstream.app import aggregation_for, engine_of
from aetherstream.commands.aggregates import aggregates
from aetherstream.compose import tables_of
from aetherstream.delivery.dynamodb import DynamoProgress
from aetherstream.delivery.ledger import Ledger
from aetherstream.delivery.s3 import S3Store
from aetherstream.local.ministack import MiniStack
from aetherstream.pipeline import load
from aetherstream.records import KinesisRecords
from aetherstream.recovery.service import Service
from aetherstream.recovery_app import start_recovery
from aetherstream.settings import Settings, from_environment
from aetherstream.testing.builders import kinesis_records
from tests.commands.test_aggregates import PIPELINE
from tests.recovery.letters import KEY, letter_of

pytestmark = pytest.mark.integration

STRICT = PIPELINE.replace("bucket: data", "bucket: '${BUCKET}'")
LENIENT = STRICT + "transforms: [{set: {n: '1'}}]\n"
SHARDS = ("shardId-000000000000", "shardId-000000000001")


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    made = MiniStack(tmp_path_factory.mktemp("ministack"))
    made.start()
    try:
        yield made
    finally:
        made.stop()


class Ground:
    """Plays `Deployed` with tables, a bucket and a stream of its own; the functions run in this process."""

    name = "ground"

    def __init__(self, ministack: MiniStack, folder: Path) -> None:
        self._ministack, self._path = ministack, folder / "pipeline.yaml"
        self._name = f"ground-{uuid4()}"
        self.session = boto3.Session("test", "test", region_name=ministack.region)
        dynamodb: Any = self.client("dynamodb")
        for table, keys in (("progress", ("pk",)), ("states", ("pk", "sk"))):
            dynamodb.create_table(
                TableName=f"{self._name}-{table}",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
                BillingMode="PAY_PER_REQUEST",
            )
        self.client("s3").create_bucket(Bucket=self._name)
        kinesis: Any = self.client("kinesis")
        kinesis.create_stream(StreamName=self._name, ShardCount=2)
        self.stream: str = kinesis.describe_stream_summary(StreamName=self._name)["StreamDescriptionSummary"][
            "StreamARN"
        ]
        self.outputs = {
            "StreamArn": self.stream,
            "BucketName": self._name,
            "ProgressTableName": f"{self._name}-progress",
            "StateTableName": f"{self._name}-states",
        }

    def output(self, key: str) -> str:
        return str(self.outputs[key])

    def client(self, service: Any, **more: Any) -> Any:
        return self.session.client(service, endpoint_url=self._ministack.endpoint, **more)

    def variables(self) -> dict[str, str]:
        return {
            "AETHERSTREAM_PIPELINE": str(self._path),
            "AETHERSTREAM_PROGRESS_TABLE": f"{self._name}-progress",
            "AETHERSTREAM_STATE_TABLE": f"{self._name}-states",
            "AETHERSTREAM_SINGLE_WRITES": "true",
            "AETHERSTREAM_STREAM": self.stream,
            "AETHERSTREAM_DEAD_LETTERS": self._name,
            "BUCKET": self._name,
        }

    def settings(self, text: str) -> Settings:
        self._path.write_text(text)
        return from_environment(self.variables())

    def process(self, batch: KinesisRecords) -> None:
        """Run a batch through the stream function's engine, in a process of its own."""
        settings = self.settings(STRICT)
        pipeline, s3 = load(settings.pipeline, settings.variables), self.client("s3")
        with ThreadPoolExecutor(4) as executor, ThreadPoolExecutor(4) as states:
            session: Any = self
            engine = engine_of(
                pipeline,
                tables_of(pipeline, lambda _: b""),
                store=S3Store(s3),
                ledger=Ledger(DynamoProgress(self.client("dynamodb"), self.output("ProgressTableName")), str(uuid4())),
                executor=executor,
                aggregation=aggregation_for(pipeline, settings, session, s3, states),
                secrets={},
            )
            assert engine.process(batch, lambda: 900.0).failed_from is None

    def batch(self, *events: tuple[str, float, object], first: int = 100, shard: str = SHARDS[0]) -> KinesisRecords:
        payloads = [{"carrier": carrier, "t": time, "n": delay} for carrier, time, delay in events]
        return kinesis_records(payloads, first=first, shard=shard, stream=self.stream, arrival=1_763_712_000.0)

    def recovery(self, text: str) -> Service:
        """The recovery function of a version."""
        return start_recovery(self.settings(text))._service

    def keys(self, prefix: str) -> list[str]:
        listed = self.client("s3").list_objects_v2(Bucket=self._name, Prefix=prefix)
        return [found["Key"] for found in listed.get("Contents", ())]

    def bury(self, batch: KinesisRecords) -> None:
        """Put a batch among the dead letters."""
        records = [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": key,
                    "sequenceNumber": sequence,
                    "data": data,
                    "approximateArrivalTimestamp": arrival,
                },
                "eventID": f"{batch.shard}:{sequence}",
                "eventSource": "aws:kinesis",
                "eventSourceARN": batch.stream,
            }
            for sequence, arrival, key, data in zip(
                batch.sequences, batch.arrivals, batch.keys, batch.data, strict=True
            )
        ]
        letter = letter_of({"Records": records})
        letter["KinesisBatchInfo"]["streamArn"] = batch.stream
        body = json.dumps(letter)
        self.client("s3").put_object(Bucket=self._name, Key=KEY, Body=body)

    def call(self, name: str, *arguments: str) -> tuple[int, list[str]]:
        command: Any = aggregates.commands[name]
        inner = command.callback.__wrapped__
        given = command.make_context(name, [*arguments]).params
        ours = {key: value for key, value in given.items() if key not in {"stack", "endpoint_url", "region", "profile"}}
        runner = click.Command(name, callback=lambda: inner(deployed=lambda: self, **ours))
        result = CliRunner().invoke(runner)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result.exit_code, result.output.splitlines()


@pytest.fixture
def ground(ministack: MiniStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    for name, value in (
        ("AWS_ENDPOINT_URL", ministack.endpoint),
        ("AWS_DEFAULT_REGION", ministack.region),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("POWERTOOLS_METRICS_NAMESPACE", "test"),
    ):
        monkeypatch.setenv(name, value)
    return Ground(ministack, tmp_path)


def compared(ground: Ground, name: str) -> tuple[int, str]:
    code, lines = ground.call("recompute", name, "--window", "0", "--to", "7200")
    return code, lines[-1]


RIGHT = (0, "every group is as the archive has it")


def test_attempts_dead_letters_and_replays_fold_each_event_once(ground: Ground) -> None:
    ground.process(ground.batch(("AA", 10, 5), ("UA", 20, "x"), ("AA", 3700, 1)))
    ground.process(ground.batch(("AA", 40, 7), shard=SHARDS[1]))
    dead = ground.batch(("AA", 50, 3), ("UA", 60, 4), first=300)
    ground.bury(dead)
    for _ in range(2):
        assert ground.recovery(STRICT).handle({"do": "dlq redrive", "key": KEY})["state"] == "redriven"
    assert (compared(ground, "sums"), compared(ground, "visits")) == (RIGHT, RIGHT)
    found = [{"key": key} for key in ground.keys("p/quarantine/")]
    replayed = ground.recovery(LENIENT).handle({"do": "quarantine replay", "objects": found})
    assert (replayed["state"], replayed["finished"]) == ("replayed", 1)
    ground.settings(STRICT)
    assert (compared(ground, "sums"), compared(ground, "visits")) == (RIGHT, RIGHT)
    assert ground.call("show", "sums", "--window", "0")[1] == [
        '1970-01-01T00:00:00Z ["AA"]: flights 3, delay 15 (2 shards)',
        '1970-01-01T00:00:00Z ["UA"]: flights 2, delay 5 (1 shard)',
    ]


def test_show_tells_the_open_windows_of_the_table(ground: Ground) -> None:
    ground.process(ground.batch(("AA", 10, 5), ("AA", 3700, 1)))
    code, lines = ground.call("show")
    assert (code, lines[-4:-1]) == (
        0,
        [
            "  1970-01-01T00:00:00Z to 1970-01-01T01:00:00Z: 1 shard",
            "  1970-01-01T01:00:00Z to 1970-01-01T02:00:00Z: 1 shard",
            "visits: sessions with gaps of 30 min by carrier, lateness 0 s, emitted on updates",
        ],
    )
