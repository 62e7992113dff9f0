"""KPL aggregates: one Kinesis record that holds many user records.

Magic, protobuf message, MD5 of the message (amazon-kinesis-producer, `aggregation-format.md`). The messages are those
of `aws-kinesis-agg`; its loop is not used (docs/adr/0006-decoding.md).
"""

from __future__ import annotations

import hashlib
from typing import Any

from aetherstream.errors import Rejected

MAGIC = b"\xf3\x89\x9a\xc2"
"""The same as `aetherstream.kpl.MAGIC`, which would import protobuf (40 ms) to compare four bytes."""
_DIGEST = 16


def is_aggregate(data: bytes) -> bool:
    """Tell whether the bytes begin like an aggregate. No JSON text and no compression can: they are not UTF-8."""
    return data[:4] == MAGIC


def open_aggregate(data: bytes) -> tuple[list[bytes], dict[int, Rejected]]:
    """Return the data of all sub-records, in order, and what is wrong with some of them, by their index.

    A sub-record whose key can't be found is refused alone: where it belongs is unknown, its siblings are sound.

    Raises:
        Rejected: the aggregate as a whole can't be trusted.
    """
    if len(data) <= len(MAGIC) + _DIGEST:
        raise Rejected("KPL aggregate: truncated", f"KPL aggregate: {len(data)} bytes leave no room for a message")
    message = data[len(MAGIC) : -_DIGEST]
    if hashlib.md5(message, usedforsecurity=False).digest() != data[-_DIGEST:]:
        raise Rejected(
            "KPL aggregate: checksum mismatch", "KPL aggregate: the MD5 behind the message is not that of the message"
        )
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    from aetherstream.kpl import AggregatedRecord

    try:
        aggregate = AggregatedRecord.FromString(message)
    except DecodeError as error:
        raise Rejected("KPL aggregate: unreadable message", f"KPL aggregate: {error}") from error
    records = list(aggregate.records)  # each pass over protobuf's own sequence makes its wrappers again
    if not records:
        raise Rejected("KPL aggregate: no records")
    keys, hashes = len(aggregate.partition_key_table), len(aggregate.explicit_hash_key_table)
    sound = (
        aggregate.IsInitialized()
        and max([r.partition_key_index for r in records]) < keys
        and max([r.explicit_hash_key_index for r in records]) < max(hashes, 1)
        and (hashes > 0 or True not in [r.HasField("explicit_hash_key_index") for r in records])
    )
    refused = {} if sound else {i: r for i, record in enumerate(records) if (r := _fault(record, keys, hashes))}
    return [r.data for r in records], refused


def _fault(record: Any, keys: int, hashes: int) -> Rejected | None:
    """Say what is wrong with one sub-record."""
    if not record.IsInitialized():
        return Rejected("KPL aggregate: incomplete sub-record", "KPL aggregate: a sub-record lacks its key or its data")
    for field, size in (("partition_key_index", keys), ("explicit_hash_key_index", hashes)):
        index = getattr(record, field)
        if record.HasField(field) and index >= size:
            return Rejected(
                "KPL aggregate: index out of range",
                f"KPL aggregate: {field} {index} points outside its table of {size}",
            )
    return None
