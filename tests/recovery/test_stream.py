"""A stream is read between two arrival times, through throttles, expired iterators and closed shards."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aetherstream.errors import Retryable, UsageError
from aetherstream.records import KinesisRecords
from aetherstream.recovery.stream import StreamReader, units_of
from aetherstream.testing.builders import kinesis_records
from aetherstream.testing.kinesis import FakeKinesis, StoredRecord, client_error

ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
SHARD = "shardId-000000000000"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Kinesis(FakeKinesis):
    """A stream with a retention, pages of two records, and errors by script before the answers of GetRecords."""

    def __init__(self, minutes: Sequence[float], *, errors: Sequence[str] = ()) -> None:
        super().__init__()
        self.errors = list(errors)
        self.read: list[str] = []
        self.shards[SHARD].records = [
            StoredRecord(str(100 + n), b"%d" % n, "k", None, NOON + timedelta(minutes=at))
            for n, at in enumerate(minutes)
        ]

    def describe_stream_summary(self, **request: Any) -> dict[str, Any]:
        assert request == {"StreamARN": ARN}
        return {"StreamDescriptionSummary": {"RetentionPeriodHours": 24}}

    def get_records(self, **request: Any) -> dict[str, Any]:
        if self.errors:
            raise client_error(self.errors.pop(0), operation="GetRecords")
        self.read.append(request["ShardIterator"])
        return super().get_records(**{**request, "Limit": min(2, request["Limit"])})


def reader(kinesis: Any) -> StreamReader:
    return StreamReader(kinesis, ARN, sleep=lambda _: None)


def read(kinesis: Kinesis, start: float, end: float) -> list[str]:
    pages = reader(kinesis).read(SHARD, NOON + timedelta(minutes=start), NOON + timedelta(minutes=end))
    return [base64.b64decode(data).decode() for page in pages for data in page.data]


def test_the_records_of_a_page_come_by_column() -> None:
    (page,) = reader(Kinesis([0])).read(SHARD, NOON, NOON + timedelta(minutes=1))
    assert page == KinesisRecords(ARN, SHARD, ["100"], [NOON.timestamp()], ["k"], ["MA=="])


def test_what_arrived_at_the_start_is_read_and_at_the_end_is_not() -> None:
    assert read(Kinesis([0, 1, 2, 3, 4]), 1, 3) == ["1", "2"]


def test_a_record_that_arrived_a_little_out_of_order_is_read() -> None:
    assert read(Kinesis([0, 3.5, 2]), 0, 3) == ["0", "2"]


def test_reading_stops_once_the_stream_is_clearly_behind_the_end() -> None:
    kinesis = Kinesis([0, 1, 10, 11, 12, 13])
    assert (read(kinesis, 0, 2), kinesis.read) == (["0", "1"], [f"{SHARD}/0", f"{SHARD}/2"])


def test_a_closed_shard_is_read_to_its_end() -> None:
    kinesis = Kinesis([0, 1, 2])
    kinesis.shards[SHARD].closed = True
    assert read(kinesis, 0, 9) == ["0", "1", "2"]


def test_a_throttle_and_an_expired_iterator_lose_and_repeat_nothing() -> None:
    class Later(Kinesis):
        def get_records(self, **request: Any) -> dict[str, Any]:
            if len(self.read) == 1 and not self.errors:
                self.errors = ["ProvisionedThroughputExceededException", "ExpiredIteratorException"]
                self.read.append("failed")
            return super().get_records(**request)

    assert read(Later([0, 1, 2, 3]), 0, 9) == ["0", "1", "2", "3"]


def test_a_stream_that_throttles_for_ever_ends_with_an_error() -> None:
    with pytest.raises(Retryable, match="20 reads in a row were throttled"):
        read(Kinesis([0], errors=["LimitExceededException"] * 20), 0, 9)


def test_another_error_is_told_at_once() -> None:
    with pytest.raises(Retryable, match=r"can't be read: .*KMSDisabledException"):
        read(Kinesis([0], errors=["KMSDisabledException"]), 0, 9)


def test_shards_and_retention_are_those_of_the_stream() -> None:
    kinesis = Kinesis([])
    children = kinesis.split(SHARD)
    assert reader(kinesis).shards() == [SHARD, *children]
    assert reader(kinesis).oldest(NOON) == NOON - timedelta(hours=24)


def test_a_stream_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"the shards of .*stream/events can't be listed: .*ResourceNotFound"):
        reader(FakeKinesis(stream="other")).shards()


def test_it_is_told_whether_something_came_after_a_record() -> None:
    kinesis = Kinesis([0, 1, 2, 3])
    assert (reader(kinesis).waiting(SHARD, "103"), reader(kinesis).waiting(SHARD, "100")) == (None, 1.0)


def test_units_end_before_they_hold_too_many_records_or_too_much() -> None:
    batch = kinesis_records([b"x" * size for size in (3, 3, 3, 30, 3, 3)])
    assert [len(unit) for unit in units_of(batch, records=2, characters=40)] == [2, 1, 1, 2]
    assert [unit.sequences for unit in units_of(batch, records=9, characters=1)] == [[s] for s in batch.sequences]
