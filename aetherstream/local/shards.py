"""Reading a stream: its shards with their parents, and the records of one shard, in order, from a given position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aetherstream.local.esm.events import StreamRecord

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as ListShards tells it."""

    shard_id: str
    parents: tuple[str, ...]
    closed: bool


def list_shards(client: KinesisClient, stream_arn: str) -> list[Shard]:
    """All shards of a stream, parents before their children."""
    described: list[Any] = []
    answer: Any = client.list_shards(StreamARN=stream_arn)
    described += answer["Shards"]
    while token := answer.get("NextToken"):
        answer = client.list_shards(NextToken=token)
        described += answer["Shards"]
    # Kinesis numbers shards upwards, so a child's id sorts behind its parents'.
    return [
        Shard(
            shard["ShardId"],
            tuple(shard[key] for key in ("ParentShardId", "AdjacentParentShardId") if shard.get(key)),
            "EndingSequenceNumber" in shard["SequenceNumberRange"],
        )
        for shard in sorted(described, key=lambda shard: str(shard["ShardId"]))
    ]


class ShardReader:
    """The records of one shard from a position on. Survives an expired iterator; used by one thread."""

    def __init__(self, client: KinesisClient, stream_arn: str, shard_id: str, position: dict[str, Any]) -> None:
        """`position` holds GetShardIterator's arguments beside stream and shard; the iterator is taken at once."""
        self._client = client
        self._stream_arn = stream_arn
        self._shard_id = shard_id
        self._position = position
        self._iterator: str | None = self._fresh_iterator()
        self.behind_millis = 0
        """`MillisBehindLatest` of the last read."""

    @property
    def ended(self) -> bool:
        """The shard is closed and was read to its end (AWS: `NextShardIterator` is null)."""
        return self._iterator is None

    def read(self, limit: int) -> list[StreamRecord]:
        """At most `limit` further records; empty when there are none now.

        Raises botocore's errors, after which the same read may be tried again.
        """
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
