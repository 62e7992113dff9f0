"""The producer without its threads: what to send when, and what an answer means. No I/O, no clock, no lock.

Records come in by `put`, requests go out by `next_batch`, answers come back by `answered` or `failed`, and what is done
is collected with `settled` and confirmed with `told`. Times are seconds of one monotonic clock, handed in.

**Order** (`ordered`): PutRecords promises none inside a request, so records of one lane (partition key and explicit
hash key, or shard when aggregating by shard) go one entry at a time: while an entry is in flight or waits for its
retry, its successors wait behind it. An entry that is given up lets them pass. When the shard map changes, entries
made under the new map wait until those of the old one are done.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from aetherstream.producer.assembly import Assembly
from aetherstream.producer.entry import Batch, CallFailure, Entry, Settled
from aetherstream.producer.model import Aggregation, Counters, DeliveryError, Limits, Timing, UserRecord
from aetherstream.producer.shards import ShardMap

RECORD_OVERHEAD: Final = 256  # bytes of objects around a buffered record, so that empty records fill the buffer too
THROTTLED: Final = "ProvisionedThroughputExceededException"
_NEVER_SENT: Final = DeliveryError("Expired", "not sent within delivery_timeout")
_CLOSED: Final = DeliveryError("Closed", "the producer was closed before the record was sent")


class Core:
    """Batches, lanes, retries and counters of one stream. `unreported_failures` had no callback to tell."""

    def __init__(
        self,
        *,
        aggregation: Aggregation,
        ordered: bool,
        limits: Limits,
        timing: Timing,
        max_buffered_bytes: int,
        random: Callable[[], float],
    ) -> None:
        self.unreported_failures = 0
        self.last_unreported: DeliveryError | None = None
        self._ordered = ordered
        self._limits = limits
        self._timing = timing
        self._max_buffered = max_buffered_bytes
        self._random = random
        self._counters = Counters()
        self._buffered = 0
        self._ready: deque[Entry] = deque()
        self._ready_bytes = 0
        self._lanes: dict[Hashable, deque[Entry]] = {}
        self._waiting: list[tuple[float, int, Entry]] = []
        self._tie = count()
        self._held: deque[Entry] = deque()
        self._live: Counter[int] = Counter()
        self._settled: list[Settled] = []
        self._untold: Counter[int] = Counter()
        self._assembly = Assembly(aggregation, ordered, limits, timing)

    # Records in

    def has_room(self, size: int) -> bool:
        """Whether a record of this size fits into the buffer; an empty buffer takes any one record."""
        return self._buffered == 0 or self._buffered + size + RECORD_OVERHEAD <= self._max_buffered

    def put(self, record: UserRecord, now: float) -> None:
        """Take a checked record that `has_room` has room for."""
        self._counters.records += 1
        self._counters.bytes += len(record.data)
        self._counters.pending += 1
        self._buffered += record.size + RECORD_OVERHEAD
        self._untold[self._assembly.epoch] += 1
        self._enqueue(self._assembly.add(record, now))

    def flush(self) -> int:
        """Make everything due that was put before; the number to ask `flushed` about."""
        self._enqueue(self._assembly.close_all())
        self._assembly.epoch += 1
        return self._assembly.epoch - 1

    def flushed(self, epoch: int) -> bool:
        """Whether all records put before that flush are settled and their callbacks have returned."""
        return all(then > epoch for then in self._untold)

    # Requests out

    def next_batch(self, now: float) -> Batch | None:
        """The next request to send now; None when nothing is due."""
        self._wake(now)
        self._enqueue(self._assembly.lingered(now))
        if not self._is_due(now):
            return None
        entries: list[Entry] = []
        room = self._limits.request_bytes
        crowd = self._limits.request_records
        while self._ready:
            entry = self._ready[0]
            crowd = min(crowd, entry.crowd)
            if entries and (len(entries) >= crowd or entry.size > room):
                break
            self._ready.popleft()
            self._ready_bytes -= entry.size
            if self._is_expired(entry, now):
                self._give_up(entry, (entry.error or _NEVER_SENT).as_expired())
                continue
            if entry.checked != self._assembly.generation and len(entry.records) > 1:
                entry = self._resplit(entry)
            entry.attempts += 1
            self._counters.retries += entry.attempts > 1
            entries.append(entry)
            room -= entry.size
        if not entries:
            return None
        self._counters.requests += 1
        return Batch(tuple(entries))

    def wake_at(self) -> float | None:
        """When `next_batch` will have something, as far as is known now; None: not before another call."""
        times = [self._assembly.wake_at()]
        if self._ready:
            times.append(float("-inf") if self._is_full() else self._due_at(self._ready[0]))
        if self._waiting:
            times.append(self._waiting[0][0])
        return min((at for at in times if at is not None), default=None)

    # Answers in

    def answered(self, batch: Batch, results: Sequence[Mapping[str, Any]], now: float) -> None:
        """Take the `Records` of a PutRecords answer: only the failed entries are sent again."""
        if len(results) != len(batch.entries):
            text = f"the answer has {len(results)} results for {len(batch.entries)} records"
            self.failed(batch, CallFailure("retry", "InternalFailure", text), now)
            return
        for entry, result in zip(batch.entries, results, strict=True):
            code = result.get("ErrorCode")
            if code:
                self._counters.throttles += code == THROTTLED
                self._retry(entry, DeliveryError(code, result.get("ErrorMessage") or ""), now, self._delay(entry))
                continue
            if entry.shard is not None and result["ShardId"] != entry.shard:
                self._assembly.shards_stale = True
                self._counters.misrouted += len(entry.records) > 1
            self._counters.entries += 1
            self._counters.delivered += len(entry.records)
            self._settle(entry, Settled(entry.epoch, len(entry.records), _delivered(entry, result)))

    def failed(self, batch: Batch, failure: CallFailure, now: float) -> None:
        """Take the failure of a whole call."""
        error = DeliveryError(failure.code, failure.message)
        if failure.kind == "final" or (failure.kind == "refused" and len(batch.entries) == 1):
            for entry in batch.entries:
                self._give_up(entry, error)
            return
        self._counters.throttles += failure.kind == "throttle"
        delay = 0.0 if failure.kind == "refused" else self._delay(max(batch.entries, key=lambda entry: entry.attempts))
        for entry in batch.entries:
            if failure.kind == "refused":
                entry.crowd = len(batch.entries) // 2
            self._retry(entry, error, now, delay)

    def settled(self) -> list[Settled]:
        """Entries that are done since the last call. Their callbacks are the caller's to call."""
        settled, self._settled = self._settled, []
        return settled

    def told(self, settled: Sequence[Settled]) -> None:
        """The callbacks of these have returned."""
        for epoch, records, _ in settled:
            self._untold[epoch] -= records
            if not self._untold[epoch]:
                del self._untold[epoch]

    def abandon(self) -> None:
        """Give up everything that is not in flight."""
        self._enqueue(self._assembly.close_all())
        self._ready.extend(entry for _, _, entry in self._waiting)
        self._ready_bytes += sum(entry.size for _, _, entry in self._waiting)
        self._waiting.clear()
        while self._ready:
            entry = self._ready.popleft()
            self._ready_bytes -= entry.size
            self._give_up(entry, (entry.error or _CLOSED).as_expired())

    # Shards

    def wants_shards(self, now: float) -> bool:
        """Whether the caller should ask ListShards now. It is told so again later if `use_shards` does not follow."""
        return self._assembly.wants_shards(now)

    def use_shards(self, shards: ShardMap) -> None:
        """Take a fresh shard map. What was aggregated under the old one is cut anew before it is sent."""
        self._enqueue(self._assembly.use_shards(shards))

    # What is known

    @property
    def counters(self) -> Counters:
        """A copy of the counters."""
        return replace(self._counters)

    @property
    def idle(self) -> bool:
        """Nothing is buffered, in flight or untold."""
        return not self._untold

    # Inside

    def _enqueue(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._live[entry.generation] += 1
            if self._ordered and entry.generation != min(self._live):
                self._held.append(entry)
            else:
                self._admit(entry)

    def _admit(self, entry: Entry) -> None:
        if self._ordered:
            queue = self._lanes.get(entry.lane)
            if queue is not None:
                queue.append(entry)
                return
            self._lanes[entry.lane] = deque()
        self._ready.append(entry)
        self._ready_bytes += entry.size

    def _leave(self, entry: Entry) -> None:
        """An entry is done: let the next of its lane, or of the next generation, go."""
        if self._ordered:
            queue = self._lanes[entry.lane]
            if queue:
                follower = queue.popleft()
                self._ready.append(follower)
                self._ready_bytes += follower.size
            else:
                del self._lanes[entry.lane]
        self._live[entry.generation] -= 1
        if self._live[entry.generation]:
            return
        del self._live[entry.generation]
        while self._held and self._held[0].generation == min(self._live):
            self._admit(self._held.popleft())

    def _resplit(self, entry: Entry) -> Entry:
        first, *rest = entry.split(self._assembly.shard_of, self._assembly.generation)
        self._live[entry.generation] += len(rest)
        if self._ordered:
            self._lanes[entry.lane].extendleft(reversed(rest))
        else:
            self._ready.extendleft(reversed(rest))
            self._ready_bytes += sum(piece.size for piece in rest)
        return first

    def _due_at(self, entry: Entry) -> float:
        hurried = entry.attempts or entry.epoch != self._assembly.epoch or entry.crowd < self._limits.request_records
        return float("-inf") if hurried else entry.born + self._timing.linger

    def _is_full(self) -> bool:
        return len(self._ready) >= self._limits.request_records or self._ready_bytes >= self._limits.request_bytes

    def _is_due(self, now: float) -> bool:
        return bool(self._ready) and (self._is_full() or self._due_at(self._ready[0]) <= now)

    def _is_expired(self, entry: Entry, now: float) -> bool:
        timeout = self._timing.delivery_timeout
        return timeout is not None and now >= entry.born + timeout

    def _delay(self, entry: Entry) -> float:
        # Full jitter: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        ceiling = min(self._timing.backoff_cap, self._timing.backoff * 2.0 ** min(entry.attempts - 1, 30))
        return self._random() * ceiling

    def _wake(self, now: float) -> None:
        woken = []
        while self._waiting and self._waiting[0][0] <= now:
            woken.append(heapq.heappop(self._waiting)[2])
        self._ready.extendleft(reversed(woken))
        self._ready_bytes += sum(entry.size for entry in woken)

    def _retry(self, entry: Entry, error: DeliveryError, now: float, delay: float) -> None:
        entry.error = error
        if self._is_expired(entry, now):
            self._give_up(entry, error.as_expired())
            return
        at = now + delay
        if self._timing.delivery_timeout is not None:
            at = min(at, entry.born + self._timing.delivery_timeout)
        heapq.heappush(self._waiting, (at, next(self._tie), entry))

    def _give_up(self, entry: Entry, error: DeliveryError) -> None:
        callbacks = entry.given_up(error)
        self._counters.failed += len(entry.records)
        if len(callbacks) < len(entry.records):
            self.unreported_failures += len(entry.records) - len(callbacks)
            self.last_unreported = error
        self._settle(entry, Settled(entry.epoch, len(entry.records), callbacks))

    def _settle(self, entry: Entry, settled: Settled) -> None:
        self._counters.pending -= len(entry.records)
        self._buffered -= sum(record.size + RECORD_OVERHEAD for record in entry.records)
        self._settled.append(settled)
        self._leave(entry)


def _delivered(entry: Entry, result: Mapping[str, Any]) -> list[Any]:
    return entry.delivered(result["ShardId"], result["SequenceNumber"])
