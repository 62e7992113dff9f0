"""Which shard a hash key falls into: the open shards of a stream, as ListShards last told."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any


class ShardMap:
    """The hash ranges of the open shards. Immutable; a fresh one replaces it."""

    def __init__(self, ranges: Iterable[tuple[int, int, str]]) -> None:
        """Take (first hash key, last hash key, shard id) of each open shard."""
        self._ranges = sorted(ranges)
        self._starts = [first for first, _, _ in self._ranges]

    @classmethod
    def from_list_shards(cls, shards: Iterable[Mapping[str, Any]]) -> ShardMap:
        """Build from the `Shards` of ListShards; a shard with an ending sequence number is closed and left out."""
        return cls(
            (
                int(shard["HashKeyRange"]["StartingHashKey"]),
                int(shard["HashKeyRange"]["EndingHashKey"]),
                shard["ShardId"],
            )
            for shard in shards
            if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        )

    def shard_of(self, hash_key: int) -> str | None:
        """Id of the open shard that owns the key; None where the map has a hole."""
        index = bisect_right(self._starts, hash_key) - 1
        if index < 0:
            return None
        _, last, shard = self._ranges[index]
        return shard if hash_key <= last else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShardMap) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(tuple(self._ranges))

    def __len__(self) -> int:
        return len(self._ranges)
