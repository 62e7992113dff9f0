"""Drain and breaker against the emulator's S3 and DynamoDB: what they rely on is what the services do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from aetherstream.delivery.breaker import Breaker
from aetherstream.delivery.breaker_item import BreakerItem, Rules, breaker_key, opened
from aetherstream.delivery.breaker_store import DynamoBreakers
from aetherstream.delivery.dynamodb import DynamoProgress
from aetherstream.delivery.progress import Progress, progress_key
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.drain.drainer import Drainer
from aetherstream.drain.parts import Spilling
from aetherstream.objects import SUFFIX, Target, lines_of
from aetherstream.recovery.progress_view import ProgressTable
from aetherstream.sinks.base import Answer
from aetherstream.testing.builders import SHARD, STREAM
from aetherstream.testing.sinks import MemoryRecordSink
from tests.delivery.test_on_ministack import bucket, client, s3, stack, table
from tests.drain.world import World, refuse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from aetherstream.local.ministack import MiniStack

__all__ = ["bucket", "s3", "stack", "table"]

pytestmark = pytest.mark.integration

KEY = breaker_key("flights", "search")
RULES = Rules()


def drainer(stack: MiniStack, s3: S3Client, bucket: str, table: str) -> Drainer:
    dynamodb: Any = client(stack, "dynamodb")
    return Drainer(
        "flights",
        quarantine=Target(bucket, "flights/quarantine", SUFFIX["gzip"]),
        store=S3Store(s3),
        reader=S3Reader(s3),
        progress=DynamoProgress(dynamodb, table),
        breakers=DynamoBreakers(dynamodb, table),
        clock=lambda: 1_795_270_000.0,
        sleep=lambda _: None,
        executor=ThreadPoolExecutor(4),
        owner="a test",
    )


def test_a_spill_is_drained_refused_emptied_and_the_breaker_closed(
    stack: MiniStack, s3: S3Client, bucket: str, table: str
) -> None:
    dynamodb: Any = client(stack, "dynamodb")
    breakers = DynamoBreakers(dynamodb, table)
    assert breakers.write(opened(BreakerItem(KEY), 1_795_260_000.0, "503", "stream", RULES)) is None
    mark = Progress(progress_key("flights", STREAM, SHARD), revision=1, completed="003200")
    assert DynamoProgress(dynamodb, table).write(mark) is None
    world = World()
    keys = [world.spilled("a", "b"), world.spilled("c", first=200)]
    for key in keys:
        stored = world.objects.objects["data", key]
        s3.put_object(Bucket=bucket, Key=key, Body=stored.body, Metadata=dict(stored.metadata))
    sink = MemoryRecordSink(answer=refuse("b"))
    spilling = Spilling(sink, Target(bucket, "flights/spill/search", SUFFIX["gzip"]), RULES, 1000)

    report = drainer(stack, s3, bucket, table).drain(spilling, lambda: 900.0)

    assert (report.trouble, report.stopped, sorted(sink.documents), report.rejected) == ("", "", ["a", "c"], 1)
    assert [lines_of(key, S3Reader(s3).get(bucket, key) or b"") for key in keys] == [[], []]
    [refused] = S3Reader(s3).list(bucket, "flights/quarantine/")
    assert refused.key.endswith(f"/{SHARD}-spill-search-003100-000000.ndjson.gz")
    item = breakers.read(KEY)
    assert (item.state, item.lease, item.number) == ("closed", None, 1)
    assert [view.shard for view in ProgressTable(dynamodb, table).shards()] == [SHARD]


def test_two_processes_share_a_breaker(stack: MiniStack, table: str) -> None:
    breakers = DynamoBreakers(client(stack, "dynamodb"), table)
    first, second = (Breaker(breakers, KEY, RULES, clock=lambda: 1_795_270_000.0) for _ in range(2))
    assert first.allows()
    assert second.allows()
    assert first.note([Answer(10, 10, "503")] * 5)
    assert second.note([Answer(10, 10, "503")] * 5)
    assert (breakers.read(KEY).revision, breakers.read(KEY).opened) == (1, 1)
