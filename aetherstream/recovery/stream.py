"""The records of a stream that arrived between two times, shard by shard, read from the side without checkpoints."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.errors import Retryable, UsageError
from aetherstream.records import KinesisRecords

PAUSE: Final = 0.25
"""Seconds between two reads of a shard. AWS: 5 GetRecords calls a second and shard, shared by all readers."""
PAGE: Final = 10_000
"""AWS: most records of one GetRecords call."""
DISORDER: Final = 60.0
"""Seconds by which a record may have arrived before its predecessor. AWS: no promise that arrivals always rise."""

_THROTTLES: Final = {"ProvisionedThroughputExceededException", "KMSThrottlingException", "LimitExceededException"}
_TRIES: Final = 20


class StreamReader:
    """Reads one stream. `client` is `boto3.client("kinesis")` or what answers like it."""

    def __init__(self, client: Any, stream_arn: str, *, sleep: Callable[[float], None]) -> None:
        self.stream = stream_arn
        self._client = client
        self._sleep = sleep

    def shards(self) -> list[str]:
        """Ids of all shards that the stream still keeps, closed ones too, in order. Raises UsageError."""
        found: list[str] = []
        request: dict[str, Any] = {"StreamARN": self.stream}
        while True:
            try:
                page = self._client.list_shards(**request)
            except (ClientError, BotoCoreError) as error:
                raise UsageError(f"the shards of {self.stream} can't be listed: {error}") from error
            found += [shard["ShardId"] for shard in page["Shards"]]
            if not page.get("NextToken"):
                return sorted(found)
            request = {"NextToken": page["NextToken"]}  # AWS: ListShards refuses a stream beside a token

    def oldest(self, now: datetime) -> datetime:
        """The time from which on the stream keeps what arrived. Raises UsageError."""
        try:
            answer = self._client.describe_stream_summary(StreamARN=self.stream)
        except (ClientError, BotoCoreError) as error:
            raise UsageError(f"{self.stream} can't be described: {error}") from error
        hours: int = answer["StreamDescriptionSummary"]["RetentionPeriodHours"]
        return now - timedelta(hours=hours)

    def read(self, shard: str, start: datetime, end: datetime) -> Iterator[KinesisRecords]:
        """The records of a shard with `start <= arrival < end`, a page at a time, in order; none of them is empty.

        It ends at the end of the shard as it stands then, and does not wait for more. Raises Retryable when the stream
        does not answer.
        """
        last: str | None = None
        iterator: str | None = None
        while True:
            iterator = iterator or self._iterator(shard, start, last)
            answer = self._page(shard, iterator)
            if answer is None:
                iterator = None  # AWS: an iterator lives five minutes, less than a reader may keep us waiting
                continue
            records = answer["Records"]
            if records:
                last = records[-1]["SequenceNumber"]
                kept = [r for r in records if start <= r["ApproximateArrivalTimestamp"] < end]
                if kept:
                    yield self._columns(shard, kept)
                over = records[-1]["ApproximateArrivalTimestamp"] - end
                if over.total_seconds() > DISORDER:
                    return
            iterator = answer.get("NextShardIterator")
            if iterator is None or not (records or answer.get("MillisBehindLatest", 0)):
                return
            self._sleep(PAUSE)

    def waiting(self, shard: str, after: str) -> float | None:
        """Seconds by which the stream's end is ahead of the record `after`; None where nothing came after it.

        Raises Retryable when the stream does not answer.
        """
        iterator = self._iterator(shard, datetime.fromtimestamp(0, UTC), after)
        answer = self._page(shard, iterator, 1)
        if answer is None or not (answer["Records"] or answer.get("MillisBehindLatest", 0)):
            return None
        behind: float = answer.get("MillisBehindLatest", 0) / 1000
        return behind

    def _iterator(self, shard: str, start: datetime, last: str | None) -> str:
        if last is not None:
            where: dict[str, Any] = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last}
        else:
            where = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": start}
        try:
            answer = self._client.get_shard_iterator(StreamARN=self.stream, ShardId=shard, **where)
        except (ClientError, BotoCoreError) as error:
            raise Retryable(f"{shard} of {self.stream} can't be read: {error}") from error
        iterator: str = answer["ShardIterator"]
        return iterator

    def _page(self, shard: str, iterator: str, limit: int = PAGE) -> Any:
        """One answer; None where the iterator has expired."""
        for _ in range(_TRIES):
            try:
                return self._client.get_records(ShardIterator=iterator, Limit=limit)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ExpiredIteratorException":
                    return None
                if code not in _THROTTLES:
                    raise Retryable(f"{shard} of {self.stream} can't be read: {error}") from error
            except BotoCoreError as error:
                raise Retryable(f"{shard} of {self.stream} can't be read: {error}") from error
            self._sleep(PAUSE * 4)
        raise Retryable(f"{shard} of {self.stream}: {_TRIES} reads in a row were throttled; try again later")

    def _columns(self, shard: str, records: list[Any]) -> KinesisRecords:
        return KinesisRecords(
            stream=self.stream,
            shard=shard,
            sequences=[record["SequenceNumber"] for record in records],
            arrivals=[record["ApproximateArrivalTimestamp"].timestamp() for record in records],
            keys=[record["PartitionKey"] for record in records],
            data=[base64.b64encode(record["Data"]).decode() for record in records],
        )


def units_of(batch: KinesisRecords, *, records: int, characters: int) -> Iterator[KinesisRecords]:
    """Cut a batch into units of at most so many records and, where a unit has several, characters of base64."""
    start, size = 0, 0
    for index, data in enumerate(batch.data):
        if index > start and (index - start == records or size + len(data) > characters):
            yield batch.part(start, index)
            start, size = index, 0
        size += len(data)
    if start < len(batch):
        yield batch.part(start, len(batch))
