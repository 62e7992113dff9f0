from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from aetherstream.errors import UsageError
from aetherstream.producer import Producer
from aetherstream.producer.rendering import decoded, undecoded
from aetherstream.producer.tail import Tail
from aetherstream.records import KinesisRecords
from aetherstream.testing.kinesis import FakeKinesis, client_error


def put(kinesis: FakeKinesis, *texts: str) -> None:
    for text in texts:
        kinesis.put_records(StreamName="events", Records=[{"Data": text.encode(), "PartitionKey": text}])


def tail(kinesis: Any, start: str | datetime = "TRIM_HORIZON", only: str | None = None) -> Tail:
    return Tail(kinesis, "events", start=start, only=only, sleep=lambda _: None)


def texts(source: Tail) -> list[str]:
    return [base64.b64decode(data).decode() for batch in source.batches(follow=False) for data in batch.data]


def test_all_shards_are_read_from_their_beginning() -> None:
    kinesis = FakeKinesis(3)
    put(kinesis, *"abcdef")
    assert sorted(texts(tail(kinesis))) == list("abcdef")


def test_latest_passes_over_what_is_there() -> None:
    kinesis = FakeKinesis()
    put(kinesis, "old")
    source = tail(kinesis, "LATEST")
    put(kinesis, "new")
    assert texts(source) == ["new"]


def test_a_time_passes_over_what_arrived_before() -> None:
    kinesis = FakeKinesis()
    put(kinesis, "old")
    assert texts(tail(kinesis, datetime(2100, 1, 1, tzinfo=UTC))) == []
    assert texts(tail(kinesis, datetime(2000, 1, 1, tzinfo=UTC))) == ["old"]


def test_one_shard_is_read_alone() -> None:
    kinesis = FakeKinesis(3)
    put(kinesis, *"abcdef")
    expected = [record.data.decode() for record in kinesis.shards["shardId-000000000001"].records]
    assert texts(tail(kinesis, only="shardId-000000000001")) == expected


def test_an_unknown_shard_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="has no shard x; it has shardId-000000000000, shardId-000000000001"):
        tail(FakeKinesis(2), only="x")


def test_an_unknown_stream_is_named() -> None:
    with pytest.raises(UsageError, match=r"the shards of others can't be listed: .*ResourceNotFoundException"):
        Tail(FakeKinesis(), "others", start="LATEST", only=None, sleep=lambda _: None)


def test_children_are_read_after_their_parent() -> None:
    kinesis = FakeKinesis()
    put(kinesis, "a", "b")
    left, _ = kinesis.split("shardId-000000000000")
    put(kinesis, "c")
    kinesis.split(left)
    put(kinesis, "d", "e", "f", "g")
    read = texts(tail(kinesis))
    assert (read[:2], sorted(read)) == (["a", "b"], list("abcdefg"))


def test_a_grandchild_waits_until_its_parent_is_read_to_the_end() -> None:
    class ByOne(FakeKinesis):
        def get_records(self, **request: Any) -> dict[str, Any]:
            return super().get_records(**request | {"Limit": 1})

    def put_low(text: str) -> None:
        entry = {"Data": text.encode(), "PartitionKey": "key", "ExplicitHashKey": "0"}
        kinesis.put_records(StreamName="events", Records=[entry])

    kinesis = ByOne()
    put_low("a")
    left, _ = kinesis.split("shardId-000000000000")
    put_low("b")
    put_low("c")
    kinesis.split(left)
    put_low("d")
    assert texts(tail(kinesis)) == ["a", "b", "c", "d"]


def test_a_split_while_reading_the_end_of_the_stream_is_followed() -> None:
    kinesis = FakeKinesis()
    source = tail(kinesis, "LATEST")
    kinesis.split("shardId-000000000000")
    put(kinesis, *"abc")
    assert sorted(texts(source)) == list("abc")


def test_an_expired_iterator_and_a_throttle_lose_and_repeat_nothing() -> None:
    class Moody(FakeKinesis):
        def __init__(self) -> None:
            super().__init__()
            self.moods = ["", "ExpiredIteratorException", "ProvisionedThroughputExceededException"]

        def get_records(self, **request: Any) -> dict[str, Any]:
            mood = self.moods.pop(0) if self.moods else ""
            if mood:
                raise client_error(mood, operation="GetRecords")
            return super().get_records(**request | {"Limit": 2})

    kinesis = Moody()
    put(kinesis, *"abcde")
    assert texts(tail(kinesis)) == list("abcde")


def batch(*payloads: bytes) -> KinesisRecords:
    return KinesisRecords(
        "events",
        "shardId-0",
        [str(number) for number in range(len(payloads))],
        [1_700_000_000.25] * len(payloads),
        ["key"] * len(payloads),
        [base64.b64encode(payload).decode() for payload in payloads],
    )


def where(position: str) -> dict[str, str]:
    return {"position": f"shardId-0:{position}", "arrival": "2023-11-14T22:13:20.250Z", "partition_key": "key"}


def test_events_are_printed_as_they_are() -> None:
    assert list(decoded(batch(b'{"a":1}', b'{"a":2}\n{"a":3}'), positions=False)) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_positions_come_with_arrival_and_key() -> None:
    assert list(decoded(batch(b'[{"a":1},{"a":2}]'), positions=True)) == [
        {**where("0:0"), "event": {"a": 1}},
        {**where("0:1"), "event": {"a": 2}},
    ]


def test_what_cannot_be_decoded_stands_in_its_place_with_the_reason_and_the_bytes() -> None:
    shown = list(decoded(batch(b'{"a":1}', b"", b'{"a":2}'), positions=False))
    refused = shown.pop(1)
    assert shown == [{"a": 1}, {"a": 2}]
    assert {name: refused[name] for name in ("position", "data")} == {"position": "shardId-0:1:0", "data": ""}
    assert refused["rejected"]


def test_raw_records_are_printed_in_base64() -> None:
    assert list(undecoded(batch(b"x"))) == [{**where("0:0"), "data": "eA=="}]


def test_what_the_producer_aggregates_is_printed_one_by_one() -> None:
    kinesis = FakeKinesis()
    with Producer("events", client=kinesis, aggregation="shard") as producer:
        for number in range(3):
            producer.put(b'{"n":%d}' % number, f"key-{number}")
    assert [line for one in tail(kinesis).batches(follow=False) for line in decoded(one, positions=False)] == [
        {"n": 0},
        {"n": 1},
        {"n": 2},
    ]
