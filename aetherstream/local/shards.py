"""Reading a stream, Kinesis's or a table's: its shards with their parents, and the records of one shard, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from aetherstream.local.esm.changes import as_record, is_table
from aetherstream.local.esm.events import StreamRecord

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

    from aetherstream.local.environment import Clients


MOST_CHANGES = 1000
"""AWS: most records that GetRecords of DynamoDB Streams gives."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as its service tells it."""

    shard_id: str
    parents: tuple[str, ...]
    closed: bool


class Reader(Protocol):
    """The records of one shard from a position on. Survives an expired iterator; used by one thread."""

    behind_millis: int
    """By how much the last read was behind the newest record, where the service says it."""

    @property
    def ended(self) -> bool:
        """The shard is closed and was read to its end (AWS: `NextShardIterator` is null)."""
        ...

    def read(self, limit: int) -> list[StreamRecord]:
        """At most `limit` further records; empty when there are none now.

        Raises botocore's errors, after which the same read may be tried again.
        """
        ...


class Source(Protocol):
    """A stream. Raises botocore's errors."""

    def shards(self) -> list[Shard]:
        """All shards, parents before their children."""
        ...

    def reader(self, shard_id: str, position: dict[str, Any]) -> Reader:
        """Read from `position`, Kinesis's arguments of GetShardIterator beside stream and shard, taken at once."""
        ...


def source_of(clients: Clients, stream_arn: str) -> Source:
    """The stream of an ARN."""
    if is_table(stream_arn):
        return TableStream(clients.get("dynamodbstreams"), stream_arn)
    return KinesisStream(clients.kinesis, stream_arn)


class KinesisStream:
    """`Source` of Kinesis."""

    def __init__(self, client: KinesisClient, stream_arn: str) -> None:
        self._client = client
        self._stream_arn = stream_arn

    def shards(self) -> list[Shard]:
        """See `Source.shards`."""
        described: list[Any] = []
        answer: Any = self._client.list_shards(StreamARN=self._stream_arn)
        described += answer["Shards"]
        while token := answer.get("NextToken"):
            answer = self._client.list_shards(NextToken=token)
            described += answer["Shards"]
        return _in_order(described, ("ParentShardId", "AdjacentParentShardId"))

    def reader(self, shard_id: str, position: dict[str, Any]) -> Reader:
        """See `Source.reader`."""
        return ShardReader(self._client, self._stream_arn, shard_id, position)


class TableStream:
    """`Source` of DynamoDB Streams; `client` is theirs, for which there are no stubs here."""

    def __init__(self, client: Any, stream_arn: str) -> None:
        self._client = client
        self._stream_arn = stream_arn

    def shards(self) -> list[Shard]:
        """See `Source.shards`."""
        described: list[Any] = []
        request = {"StreamArn": self._stream_arn}
        while True:
            answer = self._client.describe_stream(**request)["StreamDescription"]
            described += answer["Shards"]
            if not (last := answer.get("LastEvaluatedShardId")):
                return _in_order(described, ("ParentShardId",))
            request["ExclusiveStartShardId"] = last

    def reader(self, shard_id: str, position: dict[str, Any]) -> Reader:
        """See `Source.reader`."""
        return TableShardReader(self._client, self._stream_arn, shard_id, position)


def _in_order(described: list[Any], parents: tuple[str, ...]) -> list[Shard]:
    # Kinesis numbers shards upwards, so a child's id sorts behind its parents'; DynamoDB begins ids with a time.
    return [
        Shard(
            shard["ShardId"],
            tuple(shard[key] for key in parents if shard.get(key)),
            "EndingSequenceNumber" in shard["SequenceNumberRange"],
        )
        for shard in sorted(described, key=lambda shard: str(shard["ShardId"]))
    ]


class ShardReader:
    """`Reader` of a shard of Kinesis."""

    def __init__(self, client: KinesisClient, stream_arn: str, shard_id: str, position: dict[str, Any]) -> None:
        """See `Source.reader`."""
        self._client = client
        self._stream_arn = stream_arn
        self._shard_id = shard_id
        self._position = position
        self._iterator: str | None = self._fresh_iterator()
        self.behind_millis = 0
        """`MillisBehindLatest` of the last read."""

    @property
    def ended(self) -> bool:
        """See `Reader.ended`."""
        return self._iterator is None

    def read(self, limit: int) -> list[StreamRecord]:
        """See `Reader.read`."""
        if self._iterator is None:
            return []
        try:
            answer = self._client.get_records(ShardIterator=self._iterator, Limit=limit)
        except ClientError as error:
            # AWS: an iterator lives for 5 minutes; a slow function outlives it.
            if error.response["Error"]["Code"] != "ExpiredIteratorException":
                raise
            self._iterator = self._fresh_iterator()
            # Not an empty answer: that would mean that there is nothing to read.
            return self.read(limit)
        records = [
            StreamRecord(
                record["SequenceNumber"],
                record["PartitionKey"],
                record["Data"],
                record["ApproximateArrivalTimestamp"].timestamp(),
            )
            for record in answer["Records"]
        ]
        if records:
            self._position = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": records[-1].sequence_number,
            }
        self._iterator = answer.get("NextShardIterator")
        self.behind_millis = answer.get("MillisBehindLatest", 0)
        return records

    def _fresh_iterator(self) -> str:
        where: Any = {"StreamARN": self._stream_arn, "ShardId": self._shard_id, **self._position}
        return self._client.get_shard_iterator(**where)["ShardIterator"]


class TableShardReader:
    """`Reader` of a shard of a table's stream, which does not say how far behind a read is."""

    behind_millis = 0

    def __init__(self, client: Any, stream_arn: str, shard_id: str, position: dict[str, Any]) -> None:
        """See `Source.reader`."""
        self._client = client
        self._stream_arn = stream_arn
        self._shard_id = shard_id
        self._position = {"ShardIteratorType": position["ShardIteratorType"]}
        if after := position.get("StartingSequenceNumber"):
            self._position["SequenceNumber"] = after
        self._iterator: str | None = self._fresh_iterator()

    @property
    def ended(self) -> bool:
        """See `Reader.ended`."""
        return self._iterator is None

    def read(self, limit: int) -> list[StreamRecord]:
        """See `Reader.read`."""
        if self._iterator is None:
            return []
        try:
            answer = self._client.get_records(ShardIterator=self._iterator, Limit=min(limit, MOST_CHANGES))
        except ClientError as error:
            # AWS: an iterator lives for 15 minutes.
            if error.response["Error"]["Code"] != "ExpiredIteratorException":
                raise
            self._iterator = self._fresh_iterator()
            return self.read(limit)
        records = [as_record(change) for change in answer["Records"]]
        if records:
            self._position = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "SequenceNumber": records[-1].sequence_number,
            }
        self._iterator = answer.get("NextShardIterator")
        return records

    def _fresh_iterator(self) -> str:
        answer = self._client.get_shard_iterator(StreamArn=self._stream_arn, ShardId=self._shard_id, **self._position)
        iterator: str = answer["ShardIterator"]
        return iterator
