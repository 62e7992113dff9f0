"""Where a function's results stand: stream, bucket, progress items and dead letters, read as anybody can read them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from botocore.exceptions import ClientError

from aetherstream.delivery.dynamodb import from_item
from aetherstream.delivery.progress import Progress
from aetherstream.local.environment import Clients
from aetherstream.objects import lines_of
from aetherstream.records import Event


@dataclass(frozen=True, slots=True)
class Written:
    """An object as it stands in S3."""

    key: str
    metadata: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[Event]:
        """Its lines."""
        return [orjson.loads(line) for line in lines_of(self.key, self.body)]

    @property
    def partition(self) -> str:
        """The path between the sink's prefix and the object's name."""
        return self.key.split("/", 2)[2].rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Ground:
    """The resources of one deployed pipeline."""

    clients: Clients
    pipeline: str
    stream: str
    bucket: str
    dead_letters: str
    table: str

    def put(self, events: Iterable[object], key: str = "k") -> list[str]:
        """Put records (events as JSON, bytes as they are) in this order; the event id of each one's first event."""
        return [f"{shard}:{sequence}:0" for shard, sequence in self.put_keyed([(key, event) for event in events])]

    def put_keyed(self, records: list[tuple[str, object]]) -> list[tuple[str, str]]:
        """Put records with a partition key each; shard and sequence number of each."""
        places = []
        for start in range(0, len(records), 500):
            answer = self.clients.kinesis.put_records(
                StreamName=self.stream,
                Records=[
                    {"Data": data if isinstance(data, bytes) else orjson.dumps(data), "PartitionKey": key}
                    for key, data in records[start : start + 500]
                ],
            )
            assert answer["FailedRecordCount"] == 0
            places += [(entry["ShardId"], entry["SequenceNumber"]) for entry in answer["Records"]]
        return places

    def objects(self, prefix: str = "") -> list[Written]:
        """Every object under `<pipeline>/<prefix>`, by key, also the empty ones; redo logs of aggregates aside."""
        return [
            Written(key, answer["Metadata"], answer["Body"].read())
            for key in self.keys(f"{self.pipeline}/{prefix}")
            if "/.aggregates/" not in key
            for answer in [self.clients.s3.get_object(Bucket=self.bucket, Key=key)]
        ]

    def keys(self, prefix: str = "") -> list[str]:
        """The keys in the bucket under the prefix."""
        return _keys(self.clients, self.bucket, prefix)

    def dead(self) -> list[str]:
        """The keys of the dead letters."""
        return _keys(self.clients, self.dead_letters, "")

    def archived(self) -> list[Event]:
        """Every line of the archive in the order of the events, repeats included."""
        found = [event for written in self.objects("archive") for event in written.events]
        return sorted(found, key=lambda event: _order(event["_event_id"]))

    def ids(self) -> list[str]:
        """The event ids in the archive in the order of the events, repeats included."""
        return [event["_event_id"] for event in self.archived()]

    def quarantined(self) -> list[Event]:
        """Every envelope in the quarantine, by position."""
        found = [event for written in self.objects("quarantine") for event in written.events]
        return sorted(found, key=lambda envelope: _order(envelope["id"]))

    def progress(self) -> dict[str, Progress]:
        """The progress item of each shard."""
        found = {}
        for page in self.clients.get("dynamodb").get_paginator("scan").paginate(TableName=self.table):
            for item in page["Items"]:
                if item["pk"]["S"].startswith("#"):
                    continue  # the item of a breaker, or of a load
                progress = from_item(dict(item))
                name, stream, shard = progress.key.split("#")
                if (name, stream) == (self.pipeline, self.stream):
                    found[shard] = progress
        return found

    def counters(self) -> dict[str, int]:
        """The totals of the accounting over all shards."""
        items = self.progress().values()
        return {name: sum(item.counters.get(name, 0) for item in items) for item in items for name in item.counters}

    def in_mid_batch(self) -> set[tuple[str, int]]:
        """Shard and epoch of each attempt of which some objects stand in S3 and some do not, and that has not ended."""
        return {
            (shard, item.epoch)
            for shard, item in self.progress().items()
            if not item.attempt.ended
            and 0 < self._put_by(item) < sum("/archive/" in location for location in item.open)
        }

    def _put_by(self, item: Progress) -> int:
        """How many of the archive's noted keys hold an object of the present epoch."""
        epochs = []
        for bucket, _, key in (location.partition("/") for location in item.open):
            if "/archive/" in key:
                with contextlib.suppress(ClientError):
                    head = self.clients.s3.head_object(Bucket=bucket, Key=key)
                    epochs.append(int(head["Metadata"]["aether-epoch"]))
        return epochs.count(item.epoch)


def ground_deployed(clients: Clients, pipeline: str, outputs: Mapping[str, str]) -> Ground:
    """The ground of a stack that sam deployed, by the outputs of the template."""
    names = ("StreamName", "BucketName", "DeadLetterBucketName", "ProgressTableName")
    return Ground(clients, pipeline, *(outputs[name] for name in names))


def until(holds: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    """Look again and again until something holds; fail when it does not."""
    pause = threading.Event()
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain until {what}"
        pause.wait(0.02)


def _keys(clients: Clients, bucket: str, prefix: str) -> list[str]:
    pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def _order(position: str) -> tuple[str, ...]:
    shard, *numbers = position.split(":")
    return (shard, *(number.rjust(130, "0") for number in numbers))
