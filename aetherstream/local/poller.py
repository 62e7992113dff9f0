"""Drives an event source mapping: reads the shards, runs the function, sends failures to their destination.

The rules are `aetherstream.local.esm`'s; this module gives them threads: one per shard that reads, one per invocation,
one that sends to the destination, one that looks for new shards, and one that asks the mapping what to do. One lock
guards the mapping and the counters; nothing that waits for a network holds it.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.errors import AetherStreamError, UsageError
from aetherstream.local.esm import machine
from aetherstream.local.esm.actions import Discard, FunctionError, Invoke, Returned, Throttled
from aetherstream.local.esm.settings import MappingSettings
from aetherstream.local.invoke import Invoker
from aetherstream.local.progress import Progress
from aetherstream.local.shards import Reader, Source

SHARD_LISTING_SECONDS = 2.0
"""How often new shards are looked for; also done at once when a shard ends."""
READ_FAILURES = 20
"""Consecutive failed reads after which the endpoint counts as gone."""
READ_FAILURE_SECONDS = 0.5

_GONE = "ResourceNotFoundException"
_logger = logging.getLogger(__name__)


class Poller:
    """One event source mapping at work, from `start` to `stop`; also a context manager.

    `source` is the mapping's stream (`source_of`). `resume` holds the checkpoints of an earlier run, by shard.
    `poll_interval` is the seconds between two reads of a shard that has nothing new (AWS: 1, of a table's stream 0.25;
    here shorter, so that waiting for the end is). Times are seconds.
    """

    def __init__(
        self,
        settings: MappingSettings,
        *,
        source: Source,
        invoker: Invoker,
        send: Callable[[Discard], bool],
        resume: Mapping[str, str | None] | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.time,
        poll_interval: float = 0.1,
    ) -> None:
        # A template keeps its mapping disabled here, so that the emulator leaves the stream to us.
        self.settings = replace(settings, enabled=True)
        self._source = source
        self._invoker = invoker
        self._send = send
        self._clock = clock
        self._poll_interval = poll_interval
        self._mapping = machine.Mapping(self.settings, rng or random.Random())  # noqa: S311 (jitter)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._look_for_shards = threading.Event()
        self._threads: list[threading.Thread] = []
        self._discards: queue.SimpleQueue[Discard | None] = queue.SimpleQueue()
        self._unsent = 0
        self._running = 0
        self._totals = {"invocations": 0, "failed": 0, "throttled": 0, "discarded": 0, "undelivered": 0, "read": 0}
        self._last_error = ""
        self._shards: set[str] = set()
        self._resume = dict(resume or {})
        self._behind: dict[str, int] = {}
        self._closed: set[str] = set()
        # What drain waits for: every shard found empty by a read that began after the drain did.
        self._round = 0
        self._empty_in_round: dict[str, int] = {}
        self._listed_in_round = 0
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Take the position of every shard and begin. What is put after this returns is read also with `LATEST`."""
        self._list_shards(at_start=True)
        for name, body in (
            ("decide", self._decide),
            ("destination", self._send_discards),
            ("shards", self._keep_listing),
        ):
            self._spawn(name, body)

    def stop(self, grace: float = 5.0) -> None:
        """Begin nothing new; wait at most `grace` seconds for the invocations under way, then leave them behind."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._running == 0, grace)
        self._look_for_shards.set()
        self._discards.put(None)
        for thread in self._threads:
            thread.join(grace)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def drain(self, timeout: float, watch: Callable[[Progress], None] | None = None) -> Progress:
        """Wait until every record put before this call is processed or stands at its destination.

        `watch` is called with the progress about four times a second. Raises `UsageError` after `timeout` seconds, with
        where it stands, and whatever ended the poller.
        """
        with self._changed:
            self._round += 1
            wanted = self._round
        self._look_for_shards.set()
        until = self._clock() + timeout
        while True:
            with self._changed:
                done = self._changed.wait_for(lambda: self._failure or self._drained(wanted), 0.25)
            self.check()
            progress = self.progress()
            if watch is not None:
                watch(progress)
            if done:
                return progress
            if self._clock() > until:
                raise UsageError(
                    f"after {timeout:.0f} s the stream is not drained: {progress.pending} of {progress.read} records "
                    f"read are unfinished, {progress.running} invocations run, {progress.failed} failed; "
                    f"last error: {progress.last_error or 'none'}"
                )

    def check(self) -> None:
        """Raise what ended the poller, if something did."""
        if isinstance(self._failure, AetherStreamError):
            raise self._failure
        if self._failure is not None:
            raise RuntimeError(f"the poller of {self.settings.stream_arn} ended by an error") from self._failure

    def progress(self) -> Progress:
        """The totals now."""
        with self._changed:
            return Progress(
                finished=self._totals["read"] - sum(map(self._mapping.buffered, self._shards)),
                running=self._running,
                behind_seconds=max(self._behind.values(), default=0) / 1000,
                last_error=self._last_error,
                **self._totals,
            )

    def checkpoints(self) -> dict[str, str | None]:
        """For each shard the sequence number up to which everything is finished."""
        with self._changed:
            return {shard_id: self._mapping.checkpoint(shard_id) for shard_id in sorted(self._shards)}

    def _drained(self, wanted: int) -> bool:
        return (
            self._listed_in_round >= wanted
            and self._mapping.idle
            and not self._running
            and not self._unsent
            and all(self._mapping.done(shard) or self._empty_in_round.get(shard, 0) >= wanted for shard in self._shards)
        )

    def _spawn(self, name: str, body: Callable[[], None]) -> None:
        def run() -> None:
            try:
                body()
            except BaseException as error:  # noqa: BLE001 (a thread's error is shown by check())
                if not self._stopping.is_set():
                    self._fail(error)

        thread = threading.Thread(target=run, daemon=True, name=f"poller-{name}")
        self._threads.append(thread)
        thread.start()

    def _fail(self, error: BaseException) -> None:
        _logger.error("the poller of %s ends: %s", self.settings.stream_arn, error)
        with self._changed:
            self._failure = self._failure or error
            self._stopping.set()
            self._changed.notify_all()

    def _decide(self) -> None:
        """Ask the mapping what to do, whenever something changed or its time has come."""
        while not self._stopping.is_set():
            with self._changed:
                now = self._clock()
                actions = self._mapping.poll(now)
                if not actions:
                    wake = self._mapping.next_wake(now)
                    self._changed.wait(1.0 if wake is None else min(1.0, max(0.001, wake - now)))
                    continue
                self._running += sum(isinstance(action, Invoke) for action in actions)
                self._unsent += sum(isinstance(action, Discard) for action in actions)
                self._changed.notify_all()
            for action in actions:
                if isinstance(action, Invoke):
                    threading.Thread(
                        target=self._invoke, args=(action,), daemon=True, name=f"invoke-{action.shard_id}"
                    ).start()
                else:
                    self._discards.put(action)

    def _invoke(self, invoke: Invoke) -> None:
        try:
            result, error = self._invoker(invoke)
        except BaseException as unexpected:  # noqa: BLE001 (an invoker doesn't raise; a bug there must not hang the shard)
            self._fail(unexpected)
            result, error = Throttled(), str(unexpected)
        with self._changed:
            self._running -= 1
            self._totals["invocations"] += 1
            self._totals["failed"] += isinstance(result, FunctionError)
            self._totals["throttled"] += isinstance(result, Throttled)
            if not isinstance(result, Returned):
                self._last_error = error
            self._mapping.finished(invoke.invocation_id, result, self._clock())
            self._changed.notify_all()
        if not isinstance(result, Returned) and not self._stopping.is_set():
            _logger.warning("an invocation for %s failed: %s", invoke.shard_id, error)

    def _send_discards(self) -> None:
        while (discard := self._discards.get()) is not None:
            delivered = self._send(discard)
            with self._changed:
                self._unsent -= 1
                self._totals["discarded"] += len(discard.records)
                self._totals["undelivered"] += 0 if delivered else len(discard.records)
                self._changed.notify_all()

    def _keep_listing(self) -> None:
        while not self._stopping.is_set():
            self._look_for_shards.wait(SHARD_LISTING_SECONDS)
            self._look_for_shards.clear()
            self._list_shards(at_start=False)

    def _list_shards(self, *, at_start: bool) -> None:
        with self._changed:
            listing_round = self._round
        try:
            shards = self._source.shards()
        except (ClientError, BotoCoreError) as error:
            if at_start:
                raise UsageError(f"the shards of {self.settings.stream_arn} can't be listed: {error}") from error
            return  # the readers notice an endpoint that is gone
        present = {shard.shard_id for shard in shards}
        with self._changed:
            self._closed |= {shard.shard_id for shard in shards if shard.closed}
            # MiniStack takes a shard away when it is split or merged, AWS keeps it until its records expire.
            self._closed |= self._shards - present
            fresh = [shard for shard in shards if shard.shard_id not in self._shards]
            for shard in fresh:
                self._shards.add(shard.shard_id)
                after = self._resume.get(shard.shard_id)
                self._mapping.add_shard(shard.shard_id, shard.parents, after=after, from_start=not at_start)
            positions = {shard.shard_id: self._mapping.iterator(shard.shard_id) for shard in fresh}
            self._listed_in_round = listing_round
            self._changed.notify_all()
        for shard_id, position in positions.items():
            reader = self._source.reader(shard_id, position)
            self._spawn(f"read-{shard_id}", lambda reader=reader, shard_id=shard_id: self._read(reader, shard_id))  # type: ignore[misc]

    def _read(self, reader: Reader, shard_id: str) -> None:
        """Read one shard to its end, never more than the mapping has room for."""
        failures = 0
        while not self._stopping.is_set():
            with self._changed:
                room = self._mapping.room(shard_id)
                if not room:
                    self._changed.wait(1.0)
                    continue
                reading_round, was_closed = self._round, shard_id in self._closed
            try:
                records = reader.read(room)
            except (ClientError, BotoCoreError) as error:
                if isinstance(error, ClientError) and error.response["Error"]["Code"] == _GONE and was_closed:
                    self._end(shard_id)
                    return
                failures += 1
                if failures > READ_FAILURES:
                    raise UsageError(f"{shard_id} of {self.settings.stream_arn} can't be read: {error}") from error
                self._look_for_shards.set()
                self._stopping.wait(READ_FAILURE_SECONDS)
                continue
            failures = 0
            with self._changed:
                self._behind[shard_id] = reader.behind_millis
                if records:
                    self._totals["read"] += len(records)
                    self._mapping.feed(shard_id, records, self._clock())
                else:
                    self._empty_in_round[shard_id] = reading_round
                self._changed.notify_all()
            if reader.ended or (was_closed and not records and not reader.behind_millis):
                self._end(shard_id)
                return
            if not records:
                self._stopping.wait(self._poll_interval)

    def _end(self, shard_id: str) -> None:
        with self._changed:
            self._mapping.shard_end(shard_id)
            self._behind.pop(shard_id, None)
            self._changed.notify_all()
        self._look_for_shards.set()
