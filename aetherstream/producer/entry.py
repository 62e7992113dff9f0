"""One entry of a PutRecords request: a user record, or several in an aggregate, and what has happened to it so far."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from aetherstream.producer.aggregate import Aggregate, encode
from aetherstream.producer.model import Callback, Delivery, DeliveryError, UserRecord
from aetherstream.records import Position


@dataclass(slots=True, eq=False)
class Entry:
    """User records that go as one Kinesis record.

    `lane`: entries of one lane go one after the other (ordered producers only). `born`: when its first user record was
    put. `epoch`: which flush it belongs to. `generation`: the shard map it was built under; `checked`: the one its
    shard was last looked up in. `crowd`: how many entries its request may have at most.
    """

    records: Sequence[UserRecord]
    size: int
    born: float
    epoch: int
    lane: Hashable
    generation: int
    checked: int
    crowd: int
    shard: str | None = None
    attempts: int = 0
    error: DeliveryError | None = None

    def request(self) -> dict[str, Any]:
        """The entry as PutRecords takes it. The outer keys of an aggregate are its first record's."""
        first = self.records[0]
        data = first.data if len(self.records) == 1 else encode(self.records)
        entry = {"Data": data, "PartitionKey": first.partition_key}
        if first.explicit_hash_key is not None:
            entry["ExplicitHashKey"] = first.explicit_hash_key
        return entry

    def split(self, shard_of: Callable[[UserRecord], str | None], generation: int) -> list[Entry]:
        """The entry cut so that each piece lies in one shard of a new shard map, in the order of the records."""
        groups: dict[Hashable, list[UserRecord]] = {}
        shards: dict[Hashable, str | None] = {}
        for number, record in enumerate(self.records):
            shard = shard_of(record)
            group: Hashable = number if shard is None else shard
            groups.setdefault(group, []).append(record)
            shards[group] = shard
        return [
            replace(self, records=records, size=_size(records), shard=shards[group], checked=generation)
            for group, records in groups.items()
        ]

    def delivered(self, shard: str, sequence: str) -> list[tuple[Callback, Delivery]]:
        """What to tell whom, now that the stream has it."""
        return [
            (
                record.callback,
                Delivery(
                    record.context,
                    record.data,
                    record.partition_key,
                    self.attempts,
                    position=Position(shard, sequence, sub),
                ),
            )
            for sub, record in enumerate(self.records)
            if record.callback is not None
        ]

    def given_up(self, error: DeliveryError) -> list[tuple[Callback, Delivery]]:
        """What to tell whom, now that it is not tried any more."""
        return [
            (
                record.callback,
                Delivery(record.context, record.data, record.partition_key, self.attempts, error=error),
            )
            for record in self.records
            if record.callback is not None
        ]


def _size(records: Iterable[UserRecord]) -> int:
    aggregate = Aggregate(0.0)
    for record in records:
        aggregate.add(record, aggregate.size_with(record))
    return aggregate.size if len(aggregate.records) > 1 else aggregate.records[0].size


class Batch(NamedTuple):
    """The entries of one request, in order."""

    entries: tuple[Entry, ...]


class CallFailure(NamedTuple):
    """A PutRecords call that failed as a whole.

    `kind`: "throttle" and "retry" are tried again; "refused" is the request's fault: its entries are tried in smaller
    requests until the guilty ones stand alone; "final" will not change by trying (no such stream, no permission).
    """

    kind: Literal["throttle", "retry", "refused", "final"]
    code: str
    message: str


class Settled(NamedTuple):
    """An entry that is done: how many user records of which epoch, and the callbacks that are still to be called."""

    epoch: int
    records: int
    callbacks: list[tuple[Callback, Delivery]]
