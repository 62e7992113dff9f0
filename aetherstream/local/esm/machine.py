"""A Kinesis event source mapping as a state machine: records and outcomes in, invocations and discards out.

It starts no thread, opens no connection and reads no clock: `now` (epoch seconds) is handed into each call and never
goes back. Randomness comes from the `rng` handed in, so equal inputs give equal outputs. Not thread-safe: a driver
with threads holds a lock around each call.

    mapping = Mapping(settings, random.Random())
    mapping.add_shard("shardId-000000000000")
    loop:
        for each shard with room(shard) > 0: GetRecords(Limit=room), feed(shard, records, now); at its end: shard_end(shard)
        for action in mapping.poll(now): invoke (finished(id, result, now) when it ends), or send to the destination
        wait until next_wake(now), a finished invocation or new records
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aetherstream.local.esm.actions import Action, Result
from aetherstream.local.esm.backoff import Backoff
from aetherstream.local.esm.events import StreamRecord
from aetherstream.local.esm.settings import MappingSettings


class Mapping:
    """One mapping over all shards of its stream."""

    def __init__(self, settings: MappingSettings, rng: random.Random, backoff: Backoff | None = None) -> None:
        raise NotImplementedError

    def add_shard(
        self, shard_id: str, parents: Iterable[str] = (), *, after: str | None = None, from_start: bool = False
    ) -> None:
        """Make a shard known. Its records wait until every known parent is completely processed.

        Add parents before children; parents that the mapping does not know count as processed (trimmed). `after` is
        the checkpoint of an earlier run. `from_start` is for shards that appear while the mapping runs (a reshard):
        they are read from their first record also with `LATEST`. A shard that is known already is left as it is.
        """
        raise NotImplementedError

    def iterator(self, shard_id: str) -> dict[str, Any]:
        """The arguments of `GetShardIterator` that continue after the last record fed (or at the start position)."""
        raise NotImplementedError

    def room(self, shard_id: str) -> int:
        """How many records to fetch now, at most 10,000 (AWS: `GetRecords` `Limit`); 0: not now."""
        raise NotImplementedError

    def feed(self, shard_id: str, records: Sequence[StreamRecord], now: float) -> None:
        """Take records of a shard in their order; those at or below the last one fed are ignored."""
        raise NotImplementedError

    def shard_end(self, shard_id: str) -> None:
        """The shard is closed and read to its end (`NextShardIterator` is null)."""
        raise NotImplementedError

    def poll(self, now: float) -> list[Action]:
        """Everything that is to be done now. Each action is given out once."""
        raise NotImplementedError

    def finished(self, invocation_id: str, result: Result, now: float) -> bool:
        """An invocation ended, or the driver gave it up (time-out: `FunctionError`). Call `poll` afterwards.

        False, and without effect, for one that is unknown or has finished before: an abandoned attempt that ends late.
        """
        raise NotImplementedError

    def next_wake(self, now: float) -> float | None:
        """When `poll` has something to do without further input: `now` if at once, `None` if it only waits."""
        raise NotImplementedError

    def checkpoint(self, shard_id: str) -> str | None:
        """The sequence number up to which every record is finished (delivered, filtered or discarded)."""
        raise NotImplementedError

    def done(self, shard_id: str) -> bool:
        """The shard has ended and everything of it is finished: its children may start."""
        raise NotImplementedError

    @property
    def idle(self) -> bool:
        """Nothing is buffered, in flight, waiting for a retry or in an open tumbling window."""
        raise NotImplementedError
