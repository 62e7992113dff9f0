"""Batches to feed an engine with, a decoder small enough to see through, and readers of what was written."""

from __future__ import annotations

import base64
import gzip
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from aetherstream.records import Event, Events, KinesisRecords, Rejection
from aetherstream.testing.stores import MemoryObjects

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
SHARD = "shardId-000000000000"
START = 1_763_712_000.0
"""2025-11-21T08:00:00Z."""


def kinesis_records(
    payloads: Iterable[object],
    *,
    sequences: Sequence[int] | None = None,
    first: int = 100,
    shard: str = SHARD,
    stream: str = STREAM,
    arrival: float = START,
) -> KinesisRecords:
    """Make the records of a batch; each payload is encoded as JSON (bytes and text are taken as they are).

    Sequence numbers count from `first` in tens unless they are given; records arrive one second apart.
    """
    data = [base64.b64encode(_bytes(payload)).decode() for payload in payloads]
    numbers = list(sequences) if sequences is not None else [first + 10 * i for i in range(len(data))]
    return KinesisRecords(
        stream,
        shard,
        [str(number) for number in numbers],
        [arrival + i for i in range(len(data))],
        [f"key-{i}" for i in range(len(data))],
        data,
    )


def _bytes(payload: object) -> bytes:
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else orjson.dumps(payload)


class JsonLists:
    """`Decode` of JSON objects and JSON arrays of objects. What isn't JSON or is no object is rejected."""

    def decode(self, records: KinesisRecords, start: int, end: int, rejections: list[Rejection], /) -> Events:
        """See `aetherstream.core.Decode`."""
        events = Events()
        for index in range(start, end):
            try:
                document = orjson.loads(base64.b64decode(records.data[index]))
            except ValueError as error:
                rejections.append(Rejection(index, None, "decode", "decode", "not JSON", str(error)))
                continue
            for sub, value in enumerate(document if isinstance(document, list) else [document]):
                if isinstance(value, dict):
                    events.values.append(value)
                    events.records.append(index)
                    events.subs.append(sub)
                else:
                    payload = orjson.dumps(value)
                    rejections.append(Rejection(index, sub, "decode", "decode", "not an object", f"{value!r}", payload))
        return events

    def payloads(self, records: KinesisRecords, index: int, /) -> list[bytes] | None:
        """See `aetherstream.core.Decode`."""
        document = orjson.loads(base64.b64decode(records.data[index]))
        return list(map(orjson.dumps, document)) if isinstance(document, list) else None


def decompressed(body: bytes) -> bytes:
    """Decompress an object's bytes, whichever of the two compressions they are in."""
    if body[:2] == b"\x1f\x8b":
        return gzip.decompress(body)
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.decompress(body)


def lines(body: bytes) -> list[dict[str, Any]]:
    """Read the lines of a compressed NDJSON object."""
    return [orjson.loads(line) for line in decompressed(body).splitlines()]


def written(objects: MemoryObjects, bucket: str, prefix: str) -> dict[str, list[Event]]:
    """Read every object under the prefix that holds something: key → its lines."""
    found = {key: lines(stored.body) for key, stored in objects.under(bucket, f"{prefix}/")}
    return {key: held for key, held in found.items() if held}


def event_ids_of(held: Mapping[str, Sequence[Event]]) -> list[str]:
    """The event ids of everything that `written` found, sorted: an event that is there twice is seen twice."""
    return sorted(line["_event_id"] for held_lines in held.values() for line in held_lines)
