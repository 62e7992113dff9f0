"""An event source mapping of a stream as a state machine: records and outcomes in, invocations and discards out.

It starts no thread, opens no connection and reads no clock: `now` (epoch seconds) is handed into each call and never
goes back. Randomness comes from the `rng` handed in, so equal inputs give equal outputs. Not thread-safe: a driver
with threads holds a lock around each call.

    mapping = Mapping(settings, random.Random())
    mapping.add_shard("shardId-000000000000")
    loop:
        for each shard with room(shard) > 0: GetRecords(Limit=room), feed(shard, records, now)
        at a shard's end: shard_end(shard)
        for action in mapping.poll(now): invoke (finished(id, result, now) when it ends), or send to the destination
        wait until next_wake(now), a finished invocation or new records
"""

import random
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from aetherstream.errors import UsageError
from aetherstream.local.esm.actions import Action, Invoke, Result
from aetherstream.local.esm.backoff import Backoff
from aetherstream.local.esm.changes import change_bytes, fixed_change_bytes, is_table
from aetherstream.local.esm.counts import Counts
from aetherstream.local.esm.events import StreamRecord, fixed_bytes, record_bytes, region_of
from aetherstream.local.esm.filters import FilterSet, compile_filters
from aetherstream.local.esm.lane import EVENT_LIMIT, Entry, Lane
from aetherstream.local.esm.settings import MappingSettings

MAX_READ = 10_000
"""Records of one `GetRecords` (AWS: `Limit` 1-10000)."""


class _Shard:
    """Buffers, lanes and position of one shard."""

    def __init__(self, shard_id: str, parents: tuple[str, ...], after: str | None, from_start: bool) -> None:
        self.shard_id = shard_id
        self.parents = parents
        self.from_start = from_start
        self.checkpoint = after
        self.last_fed = after
        self.ended = False
        self.lanes: list[Lane] = []
        self.fixed_bytes = 0
        self._base = 0
        self._unfinished: deque[tuple[str, int]] = deque()
        self.buffered_bytes = 0

    def note(self, sequence_number: str, size: int) -> int:
        """Take the next ordinal for a record."""
        self._unfinished.append((sequence_number, size))
        self.buffered_bytes += size
        return self._base + len(self._unfinished) - 1

    def settle(self) -> None:
        """Move the checkpoint up to the first record that is not finished."""
        waiting = [low for lane in self.lanes if (low := lane.lowest()) is not None]
        low = min(waiting, default=self._base + len(self._unfinished))
        while self._base < low:
            self.checkpoint, size = self._unfinished.popleft()
            self.buffered_bytes -= size
            self._base += 1

    @property
    def buffered(self) -> int:
        return len(self._unfinished)

    @property
    def idle(self) -> bool:
        return all(lane.idle for lane in self.lanes)

    @property
    def done(self) -> bool:
        return self.ended and self.idle


class Mapping:
    """One mapping over all shards of its stream.

    `enabled` may be changed: while it is false nothing is invoked and positions are kept. `counts` are running totals.
    """

    def __init__(self, settings: MappingSettings, rng: random.Random, backoff: Backoff | None = None) -> None:
        self.settings = settings
        self.enabled = settings.enabled
        self.counts = Counts()
        self._rng = rng
        self._backoff = backoff or Backoff()
        self._filters: FilterSet = compile_filters(settings.filters)
        self._of_table = is_table(settings.stream_arn)
        self._size = change_bytes if self._of_table else record_bytes
        self._shards: dict[str, _Shard] = {}
        self._flying: dict[str, tuple[_Shard, Lane]] = {}
        factor = settings.parallelization_factor
        self._capacity = max(MAX_READ, 2 * settings.batch_size * factor)
        self._capacity_bytes = 2 * EVENT_LIMIT * factor

    def add_shard(
        self, shard_id: str, parents: Iterable[str] = (), *, after: str | None = None, from_start: bool = False
    ) -> None:
        """Make a shard known. Its records wait until every known parent is completely processed.

        Add parents before children; parents that the mapping does not know count as processed (trimmed). `after` is
        the checkpoint of an earlier run. `from_start` is for shards that appear while the mapping runs (a reshard):
        they are read from their first record also with `LATEST`. A shard that is known already is left as it is.
        """
        if shard_id in self._shards:
            return
        settings = self.settings
        shard = _Shard(shard_id, tuple(p for p in parents if p), after, from_start)
        shard.lanes = [
            Lane(shard_id, settings, self._rng, self._backoff, self.counts)
            for _ in range(settings.parallelization_factor)
        ]
        shard.fixed_bytes = (
            fixed_change_bytes(settings.stream_arn)
            if self._of_table
            else fixed_bytes(shard_id, stream_arn=settings.stream_arn, role_arn=settings.role_arn)
        )
        self._shards[shard_id] = shard

    @property
    def shards(self) -> list[str]:
        """The shards that are known, in the order they were added."""
        return list(self._shards)

    def iterator(self, shard_id: str) -> dict[str, Any]:
        """The arguments of `GetShardIterator` that continue after the last record fed (or at the start position)."""
        shard = self._shard(shard_id)
        if shard.last_fed is not None:
            return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": shard.last_fed}
        if self.settings.starting_position == "AT_TIMESTAMP":
            return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self.settings.starting_timestamp}
        return {"ShardIteratorType": "TRIM_HORIZON" if shard.from_start else self.settings.starting_position}

    def room(self, shard_id: str) -> int:
        """How many records to fetch now, at most 10,000 (AWS: `GetRecords` `Limit`); 0: not now.

        0 while parents are unfinished, after the shard's end, while the mapping is disabled and while the buffer is
        full. With a parallelisation factor above 1, a lane that keeps failing fills the shard's buffer in the end and
        then holds up the other lanes.
        """
        shard = self._shard(shard_id)
        if shard.ended or not self.enabled or not self._ready(shard) or shard.buffered_bytes >= self._capacity_bytes:
            return 0
        return max(0, min(MAX_READ, self._capacity - shard.buffered))

    def feed(self, shard_id: str, records: Sequence[StreamRecord], now: float) -> None:
        """Take records of a shard in their order; those at or below the last one fed are ignored."""
        shard = self._shard(shard_id)
        fixed, size_of, lanes, filters = shard.fixed_bytes, self._size, shard.lanes, self._filters
        last = _order(shard.last_fed) if shard.last_fed is not None else (-1, "")
        for record in records:
            order = _order(record.sequence_number)
            if order <= last:
                continue
            last = order
            shard.last_fed = record.sequence_number
            self.counts.polled += 1
            size = size_of(record, fixed)
            ordinal = shard.note(record.sequence_number, size)
            if filters and not self._passes(filters, shard_id, record):
                self.counts.filtered += 1
                continue
            lane = lanes[zlib.crc32(record.partition_key.encode()) % len(lanes)] if len(lanes) > 1 else lanes[0]
            lane.append(Entry(ordinal, size, record), now)
        shard.settle()

    def shard_end(self, shard_id: str) -> None:
        """The shard is closed and read to its end (`NextShardIterator` is null)."""
        shard = self._shard(shard_id)
        shard.ended = True
        for lane in shard.lanes:
            lane.ended = True

    def poll(self, now: float) -> list[Action]:
        """Everything that is to be done now. Each action is given out once."""
        actions: list[Action] = []
        if not self.enabled:
            return actions
        for shard in self._shards.values():
            if not self._ready(shard):
                continue
            for lane in shard.lanes:
                for action in lane.poll(now):
                    actions.append(action)
                    if isinstance(action, Invoke):
                        self._flying[action.invocation_id] = (shard, lane)
            shard.settle()
        return actions

    def finished(self, invocation_id: str, result: Result, now: float) -> bool:
        """An invocation ended, or the driver gave it up (time-out: `FunctionError`). Call `poll` afterwards.

        False, and without effect, for one that is unknown or has finished before: an abandoned attempt that ends late.
        """
        shard, lane = self._flying.pop(invocation_id, (None, None))
        if shard is None or lane is None:
            return False
        lane.finished(result, now)
        shard.settle()
        return True

    def next_wake(self, now: float) -> float | None:
        """When `poll` has something to do without further input: `now` if at once, `None` if it only waits."""
        if not self.enabled:
            return None
        times = [
            due
            for shard in self._shards.values()
            if self._ready(shard)
            for lane in shard.lanes
            if (due := lane.due()) is not None
        ]
        return max(now, min(times)) if times else None

    def checkpoint(self, shard_id: str) -> str | None:
        """The sequence number up to which every record is finished (delivered, filtered or discarded)."""
        return self._shard(shard_id).checkpoint

    def buffered(self, shard_id: str) -> int:
        """How many records were fed and lie above the checkpoint."""
        return self._shard(shard_id).buffered

    def done(self, shard_id: str) -> bool:
        """The shard has ended and everything of it is finished: its children may start."""
        return self._shard(shard_id).done

    @property
    def idle(self) -> bool:
        """Nothing is buffered, in flight, waiting for a retry or in an open tumbling window."""
        return all(shard.idle for shard in self._shards.values())

    def _shard(self, shard_id: str) -> _Shard:
        try:
            return self._shards[shard_id]
        except KeyError:
            known = ", ".join(self._shards) or "none"
            raise UsageError(f"shard {shard_id!r} is not known (known: {known}); call add_shard first") from None

    def _ready(self, shard: _Shard) -> bool:
        return all(self._shards[parent].done for parent in shard.parents if parent in self._shards)

    def _passes(self, filters: FilterSet, shard_id: str, record: StreamRecord) -> bool:
        if self._of_table:  # its patterns name the record's own fields, such as `dynamodb` and `eventName`
            return filters.passes(orjson.loads(record.data), b"")
        return filters.passes(self._fields(shard_id, record), record.data)

    def _fields(self, shard_id: str, record: StreamRecord) -> dict[str, Any]:
        """The fields that filter patterns see, beside `data`."""
        return {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": record.sequence_number,
            "approximateArrivalTimestamp": record.arrival,
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventName": "aws:kinesis:record",
            "eventID": f"{shard_id}:{record.sequence_number}",
            "invokeIdentityArn": self.settings.role_arn,
            "awsRegion": region_of(self.settings.stream_arn),
            "eventSourceARN": self.settings.stream_arn,
        }


def _order(sequence_number: str) -> tuple[int, str]:
    """Orders sequence numbers as integers without making integers of 129 digits."""
    return len(sequence_number), sequence_number
