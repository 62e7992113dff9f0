"""A Kinesis stream in memory that answers as the service does, with failures by script. For tests without any server.

`FakeKinesis` has the methods of `boto3.client("kinesis")` that the producer and `tail` use, the limits of PutRecords,
hash ranges, resharding, and a script: one answer for each coming call, after which calls succeed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError

MAX_HASH_KEY: Final = 2**128 - 1
THROTTLED: Final = "ProvisionedThroughputExceededException"


def client_error(code: str, message: str = "scripted", operation: str = "PutRecords", status: int = 400) -> ClientError:
    """The exception that botocore raises for an error answer."""
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


@dataclass(frozen=True, slots=True)
class Refuse:
    """A PutRecords answer in which the entries at these indexes fail with these codes, and the others succeed."""

    codes: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Fail:
    """A PutRecords call that raises. With `lost_answer` the records are stored all the same."""

    error: Exception
    lost_answer: bool = False


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record in a shard of the fake."""

    sequence: str
    data: bytes
    partition_key: str
    explicit_hash_key: str | None
    arrival: datetime


@dataclass(slots=True)
class FakeShard:
    """An open or closed shard with its records, oldest first."""

    first: int
    last: int
    parent: str | None = None
    closed: bool = False
    records: list[StoredRecord] = field(default_factory=list)


class FakeKinesis:
    """One stream. `requests` keeps the entries of each PutRecords call; `script` the answers of the calls to come."""

    def __init__(
        self,
        shards: int = 1,
        *,
        script: Sequence[Refuse | Fail] = (),
        stream: str = "events",
        max_record_bytes: int = 1024 * 1024,
    ) -> None:
        self.stream = stream
        self.script = list(script)
        self.requests: list[list[dict[str, Any]]] = []
        self.list_shards_calls = 0
        self.shards: dict[str, FakeShard] = {}
        self._max_record_bytes = max_record_bytes
        self._sequence = 10**20
        self._lock = threading.Lock()
        width = (MAX_HASH_KEY + 1) // shards
        for number in range(shards):
            last = MAX_HASH_KEY if number == shards - 1 else (number + 1) * width - 1
            self._open_shard(number * width, last, None)

    def split(self, shard: str) -> tuple[str, str]:
        """Split an open shard in the middle; its children's ids."""
        with self._lock:
            parent = self.shards[shard]
            parent.closed = True
            middle = (parent.first + parent.last) // 2
            left = self._open_shard(parent.first, middle, shard)
            return left, self._open_shard(middle + 1, parent.last, shard)

    def stored(self) -> list[tuple[str, StoredRecord]]:
        """Every stored record with its shard, in the order of sequence numbers."""
        found = [(name, record) for name, shard in self.shards.items() for record in shard.records]
        return sorted(found, key=lambda item: int(item[1].sequence))

    def put_records(self, **request: Any) -> dict[str, Any]:
        """PutRecords with its limits and the next answer of the script."""
        entries: list[dict[str, Any]] = request["Records"]
        with self._lock:
            self._check_stream(request, "PutRecords")
            self.requests.append(entries)
            step = self.script.pop(0) if self.script else Refuse({})
            if isinstance(step, Fail):
                if step.lost_answer:
                    for entry in entries:
                        self._store(entry)
                raise step.error
            self._check_limits(entries)
            results = [
                {"ErrorCode": step.codes[index], "ErrorMessage": "scripted"}
                if index in step.codes
                else self._store(entry)
                for index, entry in enumerate(entries)
            ]
        return {"FailedRecordCount": sum("ErrorCode" in result for result in results), "Records": results}

    def list_shards(self, **request: Any) -> dict[str, Any]:
        """ListShards: all shards on one page."""
        with self._lock:
            self._check_stream(request, "ListShards")
            self.list_shards_calls += 1
            return {"Shards": [self._describe(name, shard) for name, shard in self.shards.items()]}

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        """GetShardIterator of every type; the iterator is the shard and an index."""
        records = self.shards[request["ShardId"]].records
        kind = request["ShardIteratorType"]
        if kind == "TRIM_HORIZON":
            index = 0
        elif kind == "LATEST":
            index = len(records)
        elif kind == "AT_TIMESTAMP":
            index = sum(record.arrival < request["Timestamp"] for record in records)
        else:
            bound = int(request["StartingSequenceNumber"]) + (kind == "AFTER_SEQUENCE_NUMBER")
            index = sum(int(record.sequence) < bound for record in records)
        return {"ShardIterator": f"{request['ShardId']}/{index}"}

    def get_records(self, **request: Any) -> dict[str, Any]:
        """GetRecords; a closed shard ends with no next iterator."""
        name, index = request["ShardIterator"].rsplit("/", 1)
        shard = self.shards[name]
        page = shard.records[int(index) : int(index) + int(request.get("Limit", 10_000))]
        after = int(index) + len(page)
        answer: dict[str, Any] = {
            "Records": [
                {
                    "SequenceNumber": record.sequence,
                    "Data": record.data,
                    "PartitionKey": record.partition_key,
                    "ApproximateArrivalTimestamp": record.arrival,
                }
                for record in page
            ],
            "MillisBehindLatest": 0 if after == len(shard.records) else 1000,
        }
        if not shard.closed or after < len(shard.records):
            answer["NextShardIterator"] = f"{name}/{after}"
        return answer

    def _open_shard(self, first: int, last: int, parent: str | None) -> str:
        name = f"shardId-{len(self.shards):012d}"
        self.shards[name] = FakeShard(first, last, parent)
        return name

    def _store(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        explicit = entry.get("ExplicitHashKey")
        digest = hashlib.md5(entry["PartitionKey"].encode(), usedforsecurity=False).digest()
        key = int(explicit) if explicit is not None else int.from_bytes(digest)
        name = next(n for n, shard in self.shards.items() if not shard.closed and shard.first <= key <= shard.last)
        self._sequence += 1
        sequence = str(self._sequence)
        self.shards[name].records.append(
            StoredRecord(sequence, entry["Data"], entry["PartitionKey"], explicit, datetime.now(UTC))
        )
        return {"SequenceNumber": sequence, "ShardId": name}

    def _check_stream(self, request: Mapping[str, Any], operation: str) -> None:
        named = request.get("StreamName") or request.get("StreamARN", "").rpartition("/")[2]
        if named != self.stream:
            raise client_error("ResourceNotFoundException", f"Stream {named} not found.", operation)

    def _check_limits(self, entries: Sequence[Mapping[str, Any]]) -> None:
        if not 1 <= len(entries) <= 500:
            raise client_error("ValidationException", "Member must have length less than or equal to 500")
        sizes = [len(entry["Data"]) + len(entry["PartitionKey"].encode()) for entry in entries]
        if max(sizes) > self._max_record_bytes:
            raise client_error("InvalidArgumentException", f"a record is larger than {self._max_record_bytes}")
        if sum(sizes) > 10 * 1024 * 1024:
            raise client_error("InvalidArgumentException", "Records size exceeds 10 MiB")

    @staticmethod
    def _describe(name: str, shard: FakeShard) -> dict[str, Any]:
        numbers = {"StartingSequenceNumber": "0"}
        if shard.closed:
            numbers["EndingSequenceNumber"] = shard.records[-1].sequence if shard.records else "0"
        described: dict[str, Any] = {
            "ShardId": name,
            "HashKeyRange": {"StartingHashKey": str(shard.first), "EndingHashKey": str(shard.last)},
            "SequenceNumberRange": numbers,
        }
        if shard.parent is not None:
            described["ParentShardId"] = shard.parent
        return described
