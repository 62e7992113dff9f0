"""From user records to entries: which records travel together, in which lane, and to which shard by today's map."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from aetherstream.producer.aggregate import Aggregate
from aetherstream.producer.entry import Entry
from aetherstream.producer.model import Aggregation, Limits, Timing, UserRecord
from aetherstream.producer.shards import ShardMap


class Assembly:
    """Open aggregates and the shard map. Every method gives the entries that it completed, in order."""

    def __init__(self, aggregation: Aggregation, ordered: bool, limits: Limits, timing: Timing) -> None:
        self.epoch = 0
        self.generation = 0
        self.shards_stale = False
        self._aggregation = aggregation
        self._ordered = ordered
        self._limits = limits
        self._timing = timing
        self._open: dict[Hashable, Aggregate] = {}
        self._shards = ShardMap([])
        self._shards_asked_at: float | None = None

    def add(self, record: UserRecord, now: float) -> list[Entry]:
        """Take a record; it is among the entries given back when it goes alone."""
        if self._aggregation == "none":
            own = (record.partition_key, record.explicit_hash_key) if self._ordered else None
            return [self._entry([record], record.size, now, own, None)]
        shard = self.shard_of(record) if self._aggregation == "shard" else None
        lane = self._lane(record, shard)
        if self._aggregation == "shard" and shard is None:
            self.shards_stale = True
            return [self._entry([record], record.size, now, lane, None)]
        completed: list[Entry] = []
        aggregate = self._open.get(lane)
        size = aggregate.size_with(record) if aggregate else 0
        if aggregate is not None and size > self._limits.aggregate_bytes:
            completed.append(self._close(lane))
            aggregate = None
        if aggregate is None:
            aggregate = Aggregate(now, shard)
            size = aggregate.size_with(record)
            if size > self._limits.aggregate_bytes:
                return [*completed, self._entry([record], record.size, now, lane, shard)]
            self._open[lane] = aggregate
        aggregate.add(record, size)
        return completed

    def lingered(self, now: float) -> list[Entry]:
        """Aggregates that have waited long enough for company."""
        completed: list[Entry] = []
        while self._open:
            lane, aggregate = next(iter(self._open.items()))
            if aggregate.opened_at + self._timing.linger > now:
                break
            completed.append(self._close(lane))
        return completed

    def close_all(self) -> list[Entry]:
        """Every open aggregate."""
        return [self._close(lane) for lane in list(self._open)]

    def wake_at(self) -> float | None:
        """When `lingered` will have something."""
        return next(iter(self._open.values())).opened_at + self._timing.linger if self._open else None

    def shard_of(self, record: UserRecord) -> str | None:
        """The shard that takes this record, by the present map."""
        return self._shards.shard_of(record.hash_key)

    def wants_shards(self, now: float) -> bool:
        """Whether ListShards should be asked now. It says so again later if `use_shards` does not follow."""
        if self._aggregation != "shard":
            return False
        asked = self._shards_asked_at
        age = float("inf") if asked is None else now - asked
        if age < (self._timing.shards_min_age if self.shards_stale else self._timing.shards_max_age):
            return False
        self._shards_asked_at = now
        self.shards_stale = True
        return True

    def use_shards(self, shards: ShardMap) -> list[Entry]:
        """Take a fresh shard map; where it differs, what is open was filled by the old one."""
        self.shards_stale = False
        if shards == self._shards:
            return []
        completed = self.close_all()
        self._shards = shards
        self.generation += 1
        return completed

    def _lane(self, record: UserRecord, shard: str | None) -> Hashable:
        # Records with and without an explicit hash key never share an aggregate: aws-kinesis-agg's reader gives the
        # first hash key of the table to those that have none.
        if self._aggregation == "shard":
            return (self.generation, shard, record.explicit_hash_key is not None)
        return (record.partition_key, record.explicit_hash_key)

    def _close(self, lane: Hashable) -> Entry:
        aggregate = self._open.pop(lane)
        size = aggregate.size if len(aggregate.records) > 1 else aggregate.records[0].size
        return self._entry(aggregate.records, size, aggregate.opened_at, lane, aggregate.shard)

    def _entry(self, records: Sequence[UserRecord], size: int, born: float, lane: Hashable, shard: str | None) -> Entry:
        return Entry(
            records=records,
            size=size,
            born=born,
            epoch=self.epoch,
            lane=lane,
            generation=self.generation,
            checked=self.generation,
            crowd=self._limits.request_records,
            shard=shard,
        )
