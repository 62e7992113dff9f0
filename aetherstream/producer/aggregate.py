"""KPL aggregates: many user records as the data of one Kinesis record, with the size known before it is encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from aetherstream.kpl import MAGIC, AggregatedRecord
from aetherstream.producer.model import UserRecord

_FRAME = len(MAGIC) + 16  # magic in front, MD5 behind


def encode(records: Iterable[UserRecord]) -> bytes:
    """The data of a Kinesis record that carries these user records in this order."""
    message = AggregatedRecord()
    keys: dict[str, int] = {}
    hash_keys: dict[str, int] = {}
    for record in records:
        inner = message.records.add(
            partition_key_index=keys.setdefault(record.partition_key, len(keys)), data=record.data
        )
        if record.explicit_hash_key is not None:
            inner.explicit_hash_key_index = hash_keys.setdefault(record.explicit_hash_key, len(hash_keys))
    message.partition_key_table.extend(keys)
    message.explicit_hash_key_table.extend(hash_keys)
    return frame(message)


def frame(message: Any) -> bytes:
    """An `AggregatedRecord` message as the bytes that go into a Kinesis record."""
    body: bytes = message.SerializeToString()
    return MAGIC + body + hashlib.md5(body, usedforsecurity=False).digest()


class Aggregate:
    """User records that will go as one, and the exact size they will have: encoded, with the outer keys."""

    __slots__ = ("_hash_keys", "_keys", "opened_at", "records", "shard", "size")

    def __init__(self, opened_at: float, shard: str | None = None) -> None:
        self.opened_at = opened_at
        self.shard = shard
        self.records: list[UserRecord] = []
        self.size = 0
        self._keys: dict[str, int] = {}
        self._hash_keys: dict[str, int] = {}

    def size_with(self, record: UserRecord) -> int:
        """Bytes that PutRecords would count if `record` were added."""
        size = self.size or _FRAME + record.size - len(record.data)
        table, index = _table_cost(self._keys, record.partition_key)
        inner = 1 + _varint(index) + 1 + _varint(len(record.data)) + len(record.data)
        if record.explicit_hash_key is not None:
            hash_table, hash_index = _table_cost(self._hash_keys, record.explicit_hash_key)
            table += hash_table
            inner += 1 + _varint(hash_index)
        return size + table + 1 + _varint(inner) + inner

    def add(self, record: UserRecord, size: int) -> None:
        """Add a record; `size` is what `size_with` answered for it."""
        self.size = size
        self.records.append(record)
        self._keys.setdefault(record.partition_key, len(self._keys))
        if record.explicit_hash_key is not None:
            self._hash_keys.setdefault(record.explicit_hash_key, len(self._hash_keys))


def _table_cost(table: dict[str, int], key: str) -> tuple[int, int]:
    index = table.get(key)
    if index is not None:
        return 0, index
    length = len(key.encode())
    return 1 + _varint(length) + length, len(table)


def _varint(value: int) -> int:
    """Bytes of an unsigned protobuf varint."""
    return max(1, (value.bit_length() + 6) // 7)
