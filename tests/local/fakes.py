"""A Kinesis stream in memory and clients that record their calls, for the tests of the driver."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f:live"
ARRIVAL = datetime(2026, 11, 21, tzinfo=UTC)


def client_error(code: str, operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


class FakeKinesis:
    """Answers ListShards, GetShardIterator and GetRecords as AWS does, also after a reshard."""

    def __init__(self, *shards: str) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, list[dict[str, Any]]] = {shard: [] for shard in shards}
        self._parents: dict[str, tuple[str, ...]] = {}
        self._closed: set[str] = set()
        self._next = 1000
        self.failures: list[ClientError] = []
        """Raised by the next reads, one each."""

    def put(self, shard: str, *data: bytes) -> list[str]:
        with self._lock:
            numbers = [str(self._next + n) for n in range(len(data))]
            self._next += len(data)
            self._records[shard] += [
                {
                    "SequenceNumber": number,
                    "PartitionKey": "k",
                    "Data": value,
                    "ApproximateArrivalTimestamp": ARRIVAL,
                }
                for number, value in zip(numbers, data, strict=True)
            ]
        return numbers

    def split(self, parent: str, *children: str) -> None:
        with self._lock:
            self._closed.add(parent)
            for child in children:
                self._records[child] = []
                self._parents[child] = (parent,)

    def list_shards(self, **_: object) -> dict[str, Any]:
        with self._lock:
            return {
                "Shards": [
                    {
                        "ShardId": shard,
                        "SequenceNumberRange": {"StartingSequenceNumber": "0"}
                        | ({"EndingSequenceNumber": "9"} if shard in self._closed else {}),
                        **({"ParentShardId": self._parents[shard][0]} if shard in self._parents else {}),
                    }
                    for shard in self._records
                ]
            }

    def get_shard_iterator(self, *, ShardId: str, **position: Any) -> dict[str, str]:  # noqa: N803
        with self._lock:
            records = self._records[ShardId]
            match position["ShardIteratorType"]:
                case "LATEST":
                    index = len(records)
                case "AFTER_SEQUENCE_NUMBER":
                    after = int(position["StartingSequenceNumber"])
                    index = sum(int(record["SequenceNumber"]) <= after for record in records)
                case _:
                    index = 0
            return {"ShardIterator": f"{ShardId}/{index}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        with self._lock:
            if self.failures:
                raise self.failures.pop()
            shard, _, start = ShardIterator.partition("/")
            records = self._records[shard][int(start) : int(start) + Limit]
            end = int(start) + len(records)
            at_end = shard in self._closed and end == len(self._records[shard])
            answer: dict[str, Any] = {"Records": records, "MillisBehindLatest": 0}
            return answer if at_end else answer | {"NextShardIterator": f"{shard}/{end}"}


class FakeClients:
    """Stands for `Clients`: every service is a recorder of its calls."""

    def __init__(self, error: ClientError | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._error = error
        self.s3 = self.sqs = self

    def get(self, _service: str) -> FakeClients:
        return self

    def get_queue_url(self, QueueName: str) -> dict[str, str]:  # noqa: N803
        return {"QueueUrl": f"http://queue/{QueueName}"}

    def put_object(self, **call: Any) -> None:
        self._record("put_object", call)

    def send_message(self, **call: Any) -> None:
        self._record("send_message", call)

    def publish(self, **call: Any) -> None:
        self._record("publish", call)

    def _record(self, name: str, call: dict[str, Any]) -> None:
        if self._error is not None:
            raise self._error
        self.calls.append((name, call))
