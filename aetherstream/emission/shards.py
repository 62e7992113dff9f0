"""The shards of the stream, and whether anything waits in one behind a record: asked from the side, without reading on.

AWS: 5 GetRecords calls a second and shard, shared with the event source mapping, which needs one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.errors import ConfigurationError, Retryable

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

_PAGES = 3
"""Pages without records that are turned. AWS: a page may be empty although there are records further on."""
_MISCONFIGURED = {
    "ResourceNotFoundException": "it does not exist",
    "AccessDeniedException": "the function's role may not read it (kinesis:ListShards, GetShardIterator, GetRecords)",
}


class Shards(Protocol):
    """What is asked of a stream. `has_more` is thread-safe."""

    def ids(self) -> list[str]:
        """Ids of the shards that the stream keeps, closed ones too, in order. Raises Retryable, ConfigurationError."""

    def has_more(self, shard: str, after: str) -> bool:
        """Whether a shard has anything behind the sequence number `after` (empty: anything at all).

        True also where nobody could find out. Raises ConfigurationError.
        """


class StreamShards:
    """`Shards` of a Kinesis data stream."""

    def __init__(self, client: KinesisClient, stream_arn: str) -> None:
        self._client, self._stream = client, stream_arn

    def ids(self) -> list[str]:
        """See `Shards.ids`."""
        found: list[str] = []
        request: dict[str, Any] = {"StreamARN": self._stream}
        while True:
            try:
                page = self._client.list_shards(**request)
            except (ClientError, BotoCoreError) as error:
                raise self._translated(error) from error
            found += [shard["ShardId"] for shard in page["Shards"]]
            if not page.get("NextToken"):
                return sorted(found)
            request = {"NextToken": page["NextToken"]}  # AWS: ListShards refuses a stream beside a token

    def has_more(self, shard: str, after: str) -> bool:
        """See `Shards.has_more`."""
        try:
            iterator = self._iterator(shard, after)
            for _ in range(_PAGES):
                page = self._client.get_records(ShardIterator=iterator, Limit=1)
                if page["Records"]:
                    return True
                if not page.get("NextShardIterator") or not page.get("MillisBehindLatest"):
                    return False  # the end of a closed shard, or the tip of an open one
                iterator = page["NextShardIterator"]
        except (ClientError, BotoCoreError) as error:
            translated = self._translated(error)
            if isinstance(translated, ConfigurationError):
                raise translated from error
        return True

    def _iterator(self, shard: str, after: str) -> str:
        if after:
            try:
                answer = self._client.get_shard_iterator(
                    StreamARN=self._stream,
                    ShardId=shard,
                    ShardIteratorType="AFTER_SEQUENCE_NUMBER",
                    StartingSequenceNumber=after,
                )
            except ClientError as error:
                # The stream keeps that record no longer, or is another one of the same name: all it has is behind it.
                if error.response["Error"]["Code"] != "InvalidArgumentException":
                    raise
            else:
                return answer["ShardIterator"]
        first = self._client.get_shard_iterator(StreamARN=self._stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        return first["ShardIterator"]

    def _translated(self, error: ClientError | BotoCoreError) -> Retryable | ConfigurationError:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if code in _MISCONFIGURED:
            return ConfigurationError(f"stream {self._stream}: {_MISCONFIGURED[code]} ({error})")
        return Retryable(f"stream {self._stream}: {error}")
