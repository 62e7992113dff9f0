"""Reading a stream from the side: every open shard in turn, without checkpoints, through splits and merges."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from aetherstream.errors import UsageError
from aetherstream.producer.calls import THROTTLES, ListingClient, all_shards, target
from aetherstream.records import KinesisRecords

PAUSE: Final = 0.25  # AWS: 5 GetRecords calls a second and shard, shared by all readers; leave some to them
PAGE: Final = 1_000


class ReadingClient(ListingClient, Protocol):
    """What `tail` uses of `boto3.client("kinesis")`."""

    @property
    def get_shard_iterator(self) -> Callable[..., Any]:
        """GetShardIterator."""

    @property
    def get_records(self) -> Callable[..., Any]:
        """GetRecords."""


@dataclass(slots=True)
class _Cursor:
    shard: str
    start: str | datetime
    iterator: str | None
    last: str | None = None


class Tail:
    """Reads from `start` ("LATEST", "TRIM_HORIZON" or a time) on; `only` names one shard, None reads all."""

    def __init__(
        self,
        client: ReadingClient,
        stream: str,
        *,
        start: str | datetime,
        only: str | None,
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._stream = stream
        self._start = start
        self._sleep = sleep
        shards = self._shards()
        names = [shard["ShardId"] for shard in shards]
        if only is not None and only not in names:
            raise UsageError(f"the stream {stream} has no shard {only}; it has {', '.join(names)}")
        self._only = only
        self._known = set(names)
        self._cursors = [self._begin(name, start) for name in self._first(shards)]

    def batches(self, *, follow: bool) -> Iterator[KinesisRecords]:
        """The records in order per shard. Without `follow` it ends when every shard has been read to its end."""
        while self._cursors:
            busy = False
            for cursor in list(self._cursors):
                answer = self._page(cursor)
                records = answer["Records"]
                if records:
                    cursor.last = records[-1]["SequenceNumber"]
                    yield _columns(self._stream, cursor.shard, records)
                cursor.iterator = answer.get("NextShardIterator")
                busy |= bool(records) or answer.get("MillisBehindLatest", 0) > 0
                if cursor.iterator is None:
                    self._cursors.remove(cursor)
                    busy |= self._open_children()
            if not busy and not follow:
                return
            self._sleep(PAUSE)

    def _first(self, shards: Sequence[Any]) -> list[str]:
        """Where reading begins: at the end of the stream only open shards, else parents, whose children follow."""
        if self._only is not None:
            return [self._only]
        if self._start == "LATEST":
            return [shard["ShardId"] for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        roots = [
            shard["ShardId"]
            for shard in shards
            if not {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} & self._known
        ]
        self._known = set(roots)
        return roots

    def _open_children(self) -> bool:
        """Begin with the shards whose parents have all been read to their end; whether there were any."""
        if self._only is not None:
            return False
        shards = self._shards()
        alive = {cursor.shard for cursor in self._cursors}
        unread = {shard["ShardId"] for shard in shards} - self._known
        found = False
        for shard in shards:
            parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")}
            if shard["ShardId"] in unread and not parents & (alive | unread):
                self._known.add(shard["ShardId"])
                self._cursors.append(self._begin(shard["ShardId"], "TRIM_HORIZON"))
                found = True
        return found

    def _shards(self) -> list[Any]:
        return all_shards(self._client, self._stream)

    def _begin(self, shard: str, start: str | datetime) -> _Cursor:
        where: dict[str, Any] = {"ShardIteratorType": start}
        if isinstance(start, datetime):
            where = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": start}
        return _Cursor(shard, start, self._iterator(shard, where))

    def _iterator(self, shard: str, where: dict[str, Any]) -> str:
        answer = self._client.get_shard_iterator(ShardId=shard, **where, **target(self._stream))
        iterator: str = answer["ShardIterator"]
        return iterator

    def _page(self, cursor: _Cursor) -> Any:
        while True:
            try:
                return self._client.get_records(ShardIterator=cursor.iterator, Limit=PAGE)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ExpiredIteratorException":
                    # AWS: an iterator lives five minutes, less than a pager may keep us waiting.
                    cursor.iterator = self._again(cursor)
                elif code not in THROTTLES:
                    raise
            self._sleep(PAUSE)

    def _again(self, cursor: _Cursor) -> str | None:
        if cursor.last is None:
            return self._begin(cursor.shard, cursor.start).iterator
        after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": cursor.last}
        return self._iterator(cursor.shard, after)


def _columns(stream: str, shard: str, records: Sequence[Any]) -> KinesisRecords:
    return KinesisRecords(
        stream=stream,
        shard=shard,
        sequences=[record["SequenceNumber"] for record in records],
        arrivals=[record["ApproximateArrivalTimestamp"].timestamp() for record in records],
        keys=[record["PartitionKey"] for record in records],
        data=[base64.b64encode(record["Data"]).decode() for record in records],
    )
