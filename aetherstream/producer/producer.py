"""`Producer`: puts records into a stream from any thread, in full batches, until each is delivered or told of.

A thin shell of threads, one lock and the client around `core.Core`, which decides everything.
"""

from __future__ import annotations

import atexit
import logging
import random as randomness
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

from aetherstream.errors import UsageError
from aetherstream.producer import calls
from aetherstream.producer.core import Core
from aetherstream.producer.entry import Batch, CallFailure
from aetherstream.producer.model import (
    Aggregation,
    BufferFull,
    Callback,
    Counters,
    FlushTimeout,
    Limits,
    RecordsLostError,
    Timing,
    user_record,
)

logger = logging.getLogger("aetherstream.producer")


class Producer:
    """Puts user records into one stream. Safe to share between threads; not between processes (no use after a fork).

    A record is retried until it is delivered, finally refused, or `timing.delivery_timeout` seconds old; then its
    callback is told. An answer that was lost is retried too, so a record may be delivered twice, with two positions.

    `aggregation`: "none"; "key" (records of one partition key travel together); "shard" (records of one shard do, which
    fills aggregates best; needs kinesis:ListShards).
    `ordered`: records of one partition key and explicit hash key arrive in the order they were put. Without aggregation
    that is one record per key and round trip, so aggregate where keys are few (see `core`).
    `max_buffered_bytes` bounds memory; `senders` is the number of requests in flight at once.
    `on_delivery` is called for every record that `put` was given no callback of its own for. Callbacks run in the
    sender threads: they should be quick, must not flush or close, and may put (at once or not at all).
    """

    def __init__(
        self,
        stream: str,
        *,
        client: calls.KinesisClient | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
        aggregation: Aggregation = "none",
        ordered: bool = False,
        limits: Limits | None = None,
        timing: Timing | None = None,
        max_buffered_bytes: int = 64 * 1024 * 1024,
        senders: int = 4,
        on_delivery: Callback | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        if senders < 1:
            raise UsageError(f"senders is {senders}; at least one is needed")
        self.stream = stream
        self._limits = limits or Limits()
        self._client = client or calls.connect(endpoint_url, region, senders)
        self._on_delivery = on_delivery
        self._clock = clock
        self._core = Core(
            aggregation=aggregation,
            ordered=ordered,
            limits=self._limits,
            timing=timing or Timing(),
            max_buffered_bytes=max_buffered_bytes,
            random=random,
        )
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._progress = threading.Condition(self._lock)
        self._wake_at = float("inf")
        self._closing = False
        self._abandoned = False
        if self._core.wants_shards(clock()):
            self._core.use_shards(calls.shard_map(self._client, stream))
        # Daemons, because an ordinary thread would be joined before atexit gets to flush.
        self._senders = [
            threading.Thread(target=self._send, name=f"aetherstream-producer-{number}", daemon=True)
            for number in range(senders)
        ]
        for sender in self._senders:
            sender.start()
        atexit.register(self._at_exit)

    def put(
        self,
        data: bytes,
        partition_key: str,
        *,
        explicit_hash_key: str | None = None,
        on_delivery: Callback | None = None,
        context: Any = None,
        timeout: float | None = None,
    ) -> None:
        """Take a record to be sent. Blocks while the buffer is full, at most `timeout` seconds (None: for ever).

        `context` comes back in the `Delivery`. Raises `RecordRefused` with the limit named, `BufferFull`, or
        `UsageError` when the producer is closed.
        """
        callback = on_delivery or self._on_delivery
        record = user_record(data, partition_key, self._limits, explicit_hash_key, callback, context)
        size = record.size
        with self._lock:
            if not self._core.has_room(size) and not self._closing:
                # A sender that waits for room waits for itself.
                patience = 0.0 if threading.current_thread() in self._senders else timeout
                self._progress.wait_for(lambda: self._closing or self._core.has_room(size), patience)
            if self._closing:
                raise UsageError("the producer is closed; records must be put before close()")
            if not self._core.has_room(size):
                raise BufferFull(
                    f"the buffer of the producer for {self.stream} is full: the stream takes records slower than they "
                    "are put. Wait longer, raise max_buffered_bytes, or add shards"
                )
            self._core.put(record, self._clock())
            self._rouse()

    def flush(self, timeout: float | None = None) -> None:
        """Send everything that was put before, and return when each record is settled and its callback has returned.

        Raises `FlushTimeout` after `timeout` seconds, and `RecordsLostError` if records failed that had no callback.
        """
        if threading.current_thread() in self._senders:
            raise UsageError("flush() was called from a delivery callback; it would wait for itself")
        with self._lock:
            self._wait_flushed(timeout)
        self._raise_losses()

    def close(self, timeout: float | None = None) -> None:
        """Flush and stop. What is not sent after `timeout` seconds is given up, and told; raises as `flush` does."""
        if threading.current_thread() in self._senders:
            raise UsageError("close() was called from a delivery callback; it would wait for itself")
        with self._lock:
            self._closing = True
            self._progress.notify_all()
            try:
                self._wait_flushed(timeout)
            finally:
                self._abandoned = True
                self._core.abandon()
                self._work.notify_all()
        atexit.unregister(self._at_exit)
        for sender in self._senders:
            sender.join()
        self._raise_losses()

    @property
    def counters(self) -> Counters:
        """The totals so far, a balanced copy."""
        with self._lock:
            return self._core.counters

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except (RecordsLostError, FlushTimeout):
            logger.exception("while leaving the producer on another error")

    def _wait_flushed(self, timeout: float | None) -> None:
        epoch = self._core.flush()
        self._work.notify_all()
        if not self._progress.wait_for(lambda: self._core.flushed(epoch), timeout):
            raise FlushTimeout(
                f"{self._core.counters.pending} records for {self.stream} are still on their way after {timeout} s"
            )

    def _raise_losses(self) -> None:
        with self._lock:
            lost, self._core.unreported_failures = self._core.unreported_failures, 0
            last = self._core.last_unreported
        if lost:
            raise RecordsLostError(
                f"{lost} records were not delivered to {self.stream}; the last error: {last}"
            ) from last

    def _at_exit(self) -> None:
        try:
            self.close()
        except (RecordsLostError, FlushTimeout):
            logger.exception("at exit")

    def _rouse(self) -> None:
        # Waking a sender for every record would cost more than the record: only when it would oversleep.
        wake_at = self._core.wake_at()
        if wake_at is not None and wake_at < self._wake_at:
            self._wake_at = wake_at
            self._work.notify()

    def _send(self) -> None:
        while True:
            with self._lock:
                job = self._next_job()
            if job is None:
                return
            if job == "list shards":
                self._refresh_shards()
                continue
            outcome = calls.put(self._client, self.stream, job)
            with self._lock:
                self._take(job, outcome)

    def _next_job(self) -> Batch | Literal["list shards"] | None:
        while True:
            now = self._clock()
            if self._abandoned:
                self._core.abandon()
            elif self._core.wake_at() is not None and self._core.wants_shards(now):
                return "list shards"
            batch = self._core.next_batch(now)
            self._tell()
            if batch is not None:
                # This one will be busy: another sender looks after what is left.
                self._wake_at = float("inf")
                self._rouse()
                return batch
            if self._abandoned:
                return None
            wake_at = self._core.wake_at()
            self._wake_at = float("inf") if wake_at is None else wake_at
            self._work.wait(None if wake_at is None else max(0.0, wake_at - now))

    def _take(self, batch: Batch, outcome: calls.Outcome) -> None:
        now = self._clock()
        if isinstance(outcome, CallFailure):
            logger.warning("PutRecords to %s failed: %s: %s", self.stream, outcome.code, outcome.message)
            self._core.failed(batch, outcome, now)
        else:
            self._core.answered(batch, outcome, now)
        self._tell()

    def _tell(self) -> None:
        """Call the callbacks of what is settled, with the lock released meanwhile."""
        settled = self._core.settled()
        if not settled:
            return
        callbacks = [told for entry in settled for told in entry.callbacks]
        if callbacks:
            self._lock.release()
            try:
                for callback, delivery in callbacks:
                    try:
                        callback(delivery)
                    except Exception:  # the application's code: its bug must not stop the sending
                        logger.exception("a delivery callback failed")
            finally:
                self._lock.acquire()
        self._core.told(settled)
        self._progress.notify_all()

    def _refresh_shards(self) -> None:
        try:
            shards = calls.shard_map(self._client, self.stream)
        except UsageError as error:
            logger.warning("the old shard map stays: %s", error)
            return
        with self._lock:
            self._core.use_shards(shards)
