from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from aetherstream.kpl import MAGIC, AggregatedRecord
from aetherstream.producer import Aggregation, Delivery, Producer, Timing
from aetherstream.records import Position
from tests.producer.conftest import Unreliable

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("credentials")]


def stored(kinesis: Any, stream: str) -> list[tuple[Position, str, bytes]]:
    """Position, key and data of each user record on the stream."""
    found: list[tuple[Position, str, bytes]] = []
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        name = shard["ShardId"]
        iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=name, ShardIteratorType="TRIM_HORIZON")
        page = kinesis.get_records(ShardIterator=iterator["ShardIterator"])
        while page["Records"]:
            for record in page["Records"]:
                for sub, (key, data) in enumerate(opened(record)):
                    found.append((Position(name, record["SequenceNumber"], sub), key, data))
            page = kinesis.get_records(ShardIterator=page["NextShardIterator"])
    return found


def opened(record: Any) -> list[tuple[str, bytes]]:
    if not record["Data"].startswith(MAGIC):
        return [(record["PartitionKey"], record["Data"])]
    message = AggregatedRecord.FromString(record["Data"][len(MAGIC) : -16])
    return [(message.partition_key_table[inner.partition_key_index], inner.data) for inner in message.records]


@pytest.mark.parametrize("aggregation", ["none", "key", "shard"])
def test_every_record_is_on_the_stream_where_its_callback_said(
    kinesis: Any, ministack: Any, new_stream: Callable[[int], str], aggregation: Aggregation
) -> None:
    stream = new_stream(3)
    told: list[Delivery] = []
    with Producer(
        stream, endpoint_url=ministack.endpoint, aggregation=aggregation, on_delivery=told.append
    ) as producer:
        for number in range(2_000):
            producer.put(b"%d" % number, f"key-{number % 40}")
    assert sorted(stored(kinesis, stream)) == sorted((one.position, one.partition_key, one.data) for one in told)
    assert len(told) == 2_000


@pytest.mark.parametrize("aggregation", ["none", "key", "shard"])
def test_each_keys_order_survives_throttles_and_resets(
    kinesis: Any, unreliable: Unreliable, new_stream: Callable[[int], str], aggregation: Aggregation
) -> None:
    stream = new_stream(2)
    unreliable.obey(
        {
            "service": "kinesis",
            "operation": "PutRecords",
            "sequence": {"fail": 1, "pass": 2},
            "error": {"code": "ProvisionedThroughputExceededException"},
        },
        {"service": "kinesis", "operation": "PutRecords", "sequence": {"fail": 1, "pass": 4}, "reset": True},
    )
    with Producer(
        stream,
        endpoint_url=unreliable.url,
        aggregation=aggregation,
        ordered=True,
        timing=Timing(linger=0.01, backoff=0.001),
    ) as producer:
        for number in range(60):
            producer.put(b"%d" % number, f"key-{number % 5}")
            if number % 20 == 19:
                producer.flush()
    by_key: dict[str, list[int]] = {}
    for _, key, data in sorted(stored(kinesis, stream), key=lambda one: (int(one[0].sequence), one[0].sub)):
        by_key.setdefault(key, []).append(int(data))
    assert by_key == {f"key-{key}": list(range(key, 60, 5)) for key in range(5)}
    actions = Counter(action.partition(":")[0] for action in unreliable.fired())
    assert actions["error"] > 0
    assert actions["reset"] > 0
    assert producer.counters.throttles == actions["error"]


def test_an_answer_lost_on_the_wire_leads_to_duplicates_and_no_loss(
    kinesis: Any, unreliable: Unreliable, new_stream: Callable[[int], str]
) -> None:
    stream = new_stream(1)
    unreliable.obey({"service": "kinesis", "operation": "PutRecords", "times": 1, "response": {"abort_frac": 0.3}})
    with Producer(stream, endpoint_url=unreliable.url, timing=Timing(linger=0.01, backoff=0.001)) as producer:
        producer.put(b"a", "key")
    assert [data for _, _, data in stored(kinesis, stream)] == [b"a", b"a"]
    assert (producer.counters.delivered, producer.counters.retries) == (1, 1)


def test_after_a_split_every_record_arrives_in_the_children(
    kinesis: Any, ministack: Any, new_stream: Callable[[int], str]
) -> None:
    stream = new_stream(1)
    shard = kinesis.list_shards(StreamName=stream)["Shards"][0]["ShardId"]
    timing = Timing(linger=0.01, shards_min_age=0.0)
    with Producer(stream, endpoint_url=ministack.endpoint, aggregation="shard", timing=timing) as producer:
        for number in range(500):
            producer.put(b"%d" % number, f"key-{number}")
            if number == 250:
                producer.flush()
                kinesis.split_shard(StreamName=stream, ShardToSplit=shard, NewStartingHashKey=str(2**127))
                kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    # MiniStack throws a split shard away with its records, so only what came after is there to be read.
    assert sorted(int(data) for _, _, data in stored(kinesis, stream)) == list(range(251, 500))
    assert producer.counters.delivered == 500
