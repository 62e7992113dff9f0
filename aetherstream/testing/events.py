"""Builders for what arrives: payloads in every form that `aetherstream.decode` opens, and the Lambda event around them.

Everything is a function of its arguments: the same call builds the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from aetherstream import kpl as messages
from aetherstream.decode.compression import zstd_module
from aetherstream.local.esm.events import StreamRecord
from aetherstream.local.esm.events import kinesis_event as lambda_event

STREAM = "arn:aws:kinesis:eu-central-1:000000000000:stream/events"
SHARD = "shardId-000000000000"
FIRST_SEQUENCE = "49590338271490256608559692538361571095921575989136588898"
ARRIVAL = 1_795_244_400.25
"""2026-11-21T07:00:00.25Z."""

Payload = bytes | str | Mapping[str, Any]
"""Bytes as they are, text as UTF-8, an object as compact JSON."""


def payload_bytes(payload: Payload) -> bytes:
    """Return the payload as bytes."""
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else orjson.dumps(payload)


def sequence_numbers(count: int, first: str = FIRST_SEQUENCE) -> list[str]:
    """Return ascending sequence numbers with gaps of uneven size, as a shard gives them."""
    number = int(first)
    numbers = []
    for i in range(count):
        numbers.append(str(number))
        number += 1 + i * 7919 % 997 * 2**16
    return numbers


def kinesis_event(
    payloads: Iterable[Payload],
    *,
    shard: str = SHARD,
    first_sequence: str = FIRST_SEQUENCE,
    arrival: float = ARRIVAL,
    stream_arn: str = STREAM,
    keys: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Build the Lambda event of one batch, one Kinesis record for each payload.

    Args:
        payloads: what the records hold.
        shard: shard id.
        first_sequence: sequence number of the first record, decimal digits.
        arrival: arrival of the first record, epoch seconds; each next one came a millisecond later.
        stream_arn: ARN of the stream.
        keys: partition keys, one for each payload; `key-0` to `key-6` in turn if not given.
    """
    data = [payload_bytes(p) for p in payloads]
    keys = [f"key-{i % 7}" for i in range(len(data))] if keys is None else keys
    numbers = sequence_numbers(len(data), first_sequence)
    arrivals = [round(arrival + i / 1000, 3) for i in range(len(data))]
    return lambda_event(
        shard, [StreamRecord(*row) for row in zip(numbers, keys, data, arrivals, strict=True)], stream_arn=stream_arn
    )


def kpl(payloads: Iterable[Payload], keys: Sequence[str] | None = None) -> bytes:
    """Build a KPL aggregate of the payloads, each under its key (all under `key` if none are given)."""
    message = messages.AggregatedRecord()
    table: dict[str, int] = {}
    for i, payload in enumerate(payloads):
        index = table.setdefault(keys[i] if keys else "key", len(table))
        message.records.add(partition_key_index=index, data=payload_bytes(payload))
    message.partition_key_table.extend(table)
    return kpl_message(message.SerializeToString())


def kpl_message(message: bytes) -> bytes:
    """Put magic and checksum around a serialised `AggregatedRecord`, which may be a wrong one."""
    return messages.MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def gz(*payloads: Payload) -> bytes:
    """Compress with gzip, one member for each payload."""
    return b"".join(gzip.compress(payload_bytes(p), mtime=0) for p in payloads)


def zst(*payloads: Payload) -> bytes:
    """Compress with zstd, one frame for each payload."""
    return b"".join(zstd_module().compress(payload_bytes(p)) for p in payloads)


def ndjson(payloads: Iterable[Payload]) -> bytes:
    """Join the payloads as lines, with a line end behind the last one."""
    return b"".join(payload_bytes(p) + b"\n" for p in payloads)


def array(payloads: Iterable[Payload]) -> bytes:
    """Join the payloads as elements of one JSON array."""
    return b"[" + b",".join(map(payload_bytes, payloads)) + b"]"
