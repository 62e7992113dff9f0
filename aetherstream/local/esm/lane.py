"""One lane of a shard: the records of one slice of its partition keys, strictly in order, one invocation at a time.

With `ParallelizationFactor` 1 the lane is the shard. A lane cuts its queue into batches, and holds what is left of a
batch that failed (its *work*) before everything that is queued behind it.
"""

import random
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from aetherstream.local.esm.actions import (
    Action,
    Condition,
    Discard,
    FunctionError,
    Invoke,
    Result,
    Returned,
    Throttled,
    invocation_record,
    s3_key,
)
from aetherstream.local.esm.backoff import Backoff
from aetherstream.local.esm.changes import batch_event
from aetherstream.local.esm.counts import Counts
from aetherstream.local.esm.events import EMPTY_EVENT_BYTES, StreamRecord, window_event
from aetherstream.local.esm.responses import FAILED, Verdict, judge, window_state
from aetherstream.local.esm.settings import MappingSettings
from aetherstream.local.esm.window import IDLE_SECONDS, STATE_LIMIT, TumblingWindow

EVENT_LIMIT = 6 * 1024 * 1024
"""Bytes of an event as JSON, base64 and metadata included (AWS: 6 MiB, synchronous invocation payload)."""

AT_ONCE = float("-inf")
_WINDOW_ENVELOPE = 1024


class Entry(NamedTuple):
    """A queued record: its ordinal in the shard, its bytes in an event, and itself."""

    ordinal: int
    size: int
    record: StreamRecord


@dataclass(slots=True)
class Batch:
    """Records that are invoked together; without records it is the final invoke of a tumbling window."""

    entries: list[Entry]
    charged: int = 0
    """Invocations that count against `MaximumRetryAttempts`."""
    failures: int = 0
    """Failures in a row, throttles included: they set the delay."""
    not_before: float = AT_ONCE
    given_up: bool = False
    request_id: str | None = None
    response: dict[str, Any] | None = None


class Lane:
    """See the module. `ended` is set when the shard has no more records to come."""

    def __init__(
        self, shard_id: str, settings: MappingSettings, rng: random.Random, backoff: Backoff, counts: Counts
    ) -> None:
        self._shard_id = shard_id
        self._settings = settings
        self._rng = rng
        self._backoff = backoff
        self._counts = counts
        self._queue: deque[Entry] = deque()
        self._queue_bytes = 0
        self._work: deque[Batch] = deque()
        self._flying: Batch | None = None
        self._opened = AT_ONCE
        self._window: TumblingWindow | None = None
        self._window_floor = AT_ONCE
        self._final = Batch([])
        self._fed_at = AT_ONCE
        reserved = STATE_LIMIT + _WINDOW_ENVELOPE if settings.tumbling_window else 0
        # A record's size includes the comma after it, which the last one does not have.
        self._room_bytes = EVENT_LIMIT - EMPTY_EVENT_BYTES - reserved + 1
        self.ended = False

    def append(self, entry: Entry, now: float) -> None:
        """Queue a record. The first one after a pause opens the batching window."""
        if not self._queue:
            self._opened = max(self._opened, now)
        self._fed_at = now
        self._queue.append(entry)
        self._queue_bytes += entry.size

    @property
    def idle(self) -> bool:
        """Nothing queued, in flight or waiting, and no tumbling window open."""
        return not (self._queue or self._work or self._flying or self._window)

    def lowest(self) -> int | None:
        """The ordinal of the first record that is not finished."""
        if self._flying and self._flying.entries:
            return self._flying.entries[0].ordinal
        if self._work:
            return self._work[0].entries[0].ordinal
        return self._queue[0].ordinal if self._queue else None

    def due(self) -> float | None:
        """When there is something to do without further input; `None` while an invocation is out or nothing waits."""
        if self._flying:
            return None
        if self._window and self._closes(self._window):
            if self._window.early or self.ended or self._queue:
                return self._final.not_before
            return max(self._final.not_before, max(self._window.end, self._fed_at) + IDLE_SECONDS)
        if self._work:
            return self._work[0].not_before
        return self._cut_due() if self._queue else None

    def poll(self, now: float) -> Iterator[Action]:
        """Give out discards until an invocation is out or nothing is due."""
        while (due := self.due()) is not None and due <= now:
            batch = self._next()
            if batch.given_up:
                yield self._discard("RetryAttemptsExhausted", batch, batch.entries, now)
                continue
            yield from self._drop_expired(batch, now)
            if batch.entries or batch is self._final:
                yield self._invoke(batch)

    def finished(self, result: Result, now: float) -> None:
        """The invocation that is out has ended."""
        batch = self._flying
        if batch is None:
            raise AssertionError(f"{self._shard_id}: an invocation ended that this lane did not start")
        self._flying = None
        self._opened = now
        if isinstance(result, Throttled):
            self._retry(batch, now)
            return
        batch.request_id = result.request_id or batch.request_id
        batch.response = {
            "statusCode": 200,
            "executedVersion": result.executed_version,
            "functionError": result.kind if isinstance(result, FunctionError) else None,
        }
        verdict = self._judge(batch, result)
        self._counts.succeeded += verdict.succeeded
        if verdict.succeeded < len(batch.entries) or verdict.whole:
            self._counts.failed_invocations += 1
            self._counts.failed_invoke += len(batch.entries)
        if batch is self._final:
            self._finish_window(batch, verdict, now)
        elif verdict.succeeded == len(batch.entries):
            return
        elif verdict.succeeded:
            # The call that advanced the checkpoint is not charged to what is left.
            self._retry(Batch(batch.entries[verdict.succeeded :]), now)
        elif verdict.whole and self._settings.bisect and len(batch.entries) > 1:
            self._halve(batch, now)
        else:
            self._charge(batch, now)

    # Cutting batches

    def _cut_due(self) -> float:
        if self.ended or len(self._queue) >= self._settings.batch_size or self._queue_bytes >= self._room_bytes:
            return AT_ONCE
        if self._settings.tumbling_window:
            window = self._window or self._window_of(self._queue[0])
            if self._queue[-1].record.arrival >= window.end:
                return AT_ONCE
        return self._opened + self._settings.batching_window

    def _closes(self, window: TumblingWindow) -> bool:
        """The next thing to do is the final invoke of this window."""
        if window.early:
            return True
        if self._work:
            return False
        return not self._queue or self._queue[0].record.arrival >= window.end

    def _next(self) -> Batch:
        """The batch that `due` spoke of."""
        if self._window and self._closes(self._window):
            return self._final
        return self._work.popleft() if self._work else self._cut()

    def _cut(self) -> Batch:
        """As many queued records as fit by count, by size and into one tumbling window.

        A record that is too big alone is given up without an invocation (AWS: large records; the condition that its
        invocation record names is our choice).
        """
        queue, limit, room = self._queue, self._settings.batch_size, self._room_bytes
        window_end = float("inf")
        if queue[0].size > room:
            self._queue_bytes -= queue[0].size
            return Batch([queue.popleft()], given_up=True)
        if self._settings.tumbling_window:
            window_end = (self._window or self._window_of(queue[0])).end
        entries: list[Entry] = []
        used = 0
        while queue and len(entries) < limit:
            entry = queue[0]
            if used + entry.size > room or entry.record.arrival >= window_end:
                break
            used += entry.size
            entries.append(queue.popleft())
        self._queue_bytes -= used
        return Batch(entries)

    def _window_of(self, entry: Entry) -> TumblingWindow:
        return TumblingWindow.around(entry.record.arrival, self._settings.tumbling_window, self._window_floor)

    # Invoking and judging

    def _invoke(self, batch: Batch) -> Invoke:
        if self._settings.tumbling_window and self._window is None:
            self._window = self._window_of(batch.entries[0])
        invocation_id = self._unique()
        batch.request_id = invocation_id
        self._flying = batch
        self._counts.invocations += 1
        self._counts.invoked += len(batch.entries)
        return Invoke(invocation_id, self._shard_id, self._settings.function_arn, self._event(batch))

    def _event(self, batch: Batch) -> dict[str, Any]:
        records = [entry.record for entry in batch.entries]
        stream_arn, role_arn = self._settings.stream_arn, self._settings.role_arn
        if self._window is None:
            return batch_event(self._shard_id, records, stream_arn=stream_arn, role_arn=role_arn)
        return window_event(
            self._shard_id,
            records,
            stream_arn=stream_arn,
            start=self._window.start,
            end=self._window.end,
            state=self._window.state,
            final=batch is self._final,
            early=self._window.early,
            role_arn=role_arn,
        )

    def _judge(self, batch: Batch, result: Returned | FunctionError) -> Verdict:
        """How many leading records succeeded.

        The state of a window that comes beside failures is kept when the checkpoint advances: it covers the records
        that are not brought again (AWS is silent).
        """
        if isinstance(result, FunctionError):
            return FAILED
        state = window_state(result.payload) if self._window else None
        if self._window and state is None:
            return FAILED
        verdict = judge(
            result.payload,
            [entry.record.sequence_number for entry in batch.entries],
            report_batch_item_failures=self._settings.report_batch_item_failures,
        )
        if self._window and state is not None and verdict.succeeded:
            self._window.keep(state)
        return verdict

    # Failing

    def _retry(self, batch: Batch, now: float) -> None:
        batch.failures += 1
        batch.not_before = now + self._backoff.delay(batch.failures, self._rng)
        if batch is not self._final:
            self._work.appendleft(batch)

    def _charge(self, batch: Batch, now: float) -> None:
        batch.charged += 1
        if 0 <= self._settings.maximum_retry_attempts < batch.charged:
            batch.given_up = True
            batch.not_before = AT_ONCE
            self._work.appendleft(batch)
        else:
            self._retry(batch, now)

    def _halve(self, batch: Batch, now: float) -> None:
        """Two halves, the first one first. The split is not charged (AWS); both go on with the count so far (ours)."""
        middle = len(batch.entries) // 2
        self._work.appendleft(Batch(batch.entries[middle:], batch.charged))
        self._retry(Batch(batch.entries[:middle], batch.charged), now)

    def _finish_window(self, batch: Batch, verdict: Verdict, now: float) -> None:
        """A failed final invoke is repeated until it succeeds: the shard does not progress meanwhile (AWS)."""
        if verdict.whole:
            self._retry(batch, now)
            return
        if self._window:
            self._window_floor = self._window.start if self._window.early else self._window.end
        self._window = None
        self._final = Batch([])

    # Discarding

    def _drop_expired(self, batch: Batch, now: float) -> Iterator[Discard]:
        """Take the records out of the batch that are too old; each run of neighbours is one discard."""
        age = self._settings.maximum_record_age
        if age == -1 or all(now - entry.record.arrival <= age for entry in batch.entries):
            return
        kept: list[Entry] = []
        for expired, run in groupby(batch.entries, lambda entry: now - entry.record.arrival > age):
            if expired:
                yield self._discard("RecordAgeExceeded", batch, list(run), now)
            else:
                kept.extend(run)
        batch.entries = kept

    def _discard(self, condition: Condition, batch: Batch, entries: list[Entry], now: float) -> Discard:
        """`approximateInvokeCount` is 1 also for records that were never invoked (observed for records too old)."""
        settings, records = self._settings, tuple(entry.record for entry in entries)
        self._counts.discarded += len(records)
        unique = self._unique()
        message = invocation_record(
            condition=condition,
            request_id=batch.request_id or unique,
            function_arn=settings.function_arn,
            invoke_count=max(1, batch.charged),
            response=batch.response if condition == "RetryAttemptsExhausted" else None,
            shard_id=self._shard_id,
            stream_arn=settings.stream_arn,
            records=records,
            now=now,
        )
        return Discard(
            self._shard_id,
            condition,
            records,
            settings.on_failure,
            message,
            self._event(Batch(entries)),
            s3_key(settings.uuid, self._shard_id, now, self._unique()),
        )

    def _unique(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
