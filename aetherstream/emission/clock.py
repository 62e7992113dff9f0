"""How far the stream has been committed in event time: the watermark, from the progress items of its shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from math import inf

from aetherstream.delivery.aggregates.watermark import STOPPED, ShardTime, newest, watermark
from aetherstream.delivery.progress import Progress, ProgressStore, peek, progress_key
from aetherstream.emission.shards import Shards

STILL = 600.0
"""Seconds after which a shard that goes on, but brings no later event time, no longer holds the watermark back: all of
its records are refused, filtered out, or as old as can be."""
LONG_FOLDED = 3600.0
"""Seconds after which a shard to which nothing has come need not have its last log kept; a log expires much later
(the template's lifecycle rule), and one that is gone stops its shard: nobody would know whether it was folded."""
_AT_ONCE = 16
"""Shards that are asked together whether anything waits in them."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What the shards say now."""

    watermark: float | None
    """Event time, epoch seconds; None: nothing may be closed."""
    newest: float | None
    """The latest event time that any shard has committed."""
    held_by: tuple[str, ...]
    """The live shards without which the watermark would be later."""
    items: Mapping[str, Progress]
    """By shard that the stream has."""
    quiet: frozenset[str]
    """Shards at which nobody is at work, and to which nothing has come for a while."""


class Clocks:
    """Reads the clock of one pipeline and stream; remembers since when shards stand still."""

    def __init__(
        self,
        pipeline: str,
        stream: str,
        shards: Shards,
        progress: ProgressStore,
        executor: Executor,
        *,
        now: Callable[[], float],
    ) -> None:
        """`stream`: its ARN; `now`: epoch seconds; `executor` runs the requests: `shards` and `progress` take several
        at a time.
        """
        self._pipeline, self._stream = pipeline, stream
        self._shards, self._progress, self._executor, self._now = shards, progress, executor, now
        self._since: dict[str, tuple[float | None, float]] = {}

    def item(self, shard: str) -> Progress:
        """The progress item of a shard, also of one that the stream has no longer. Raises Retryable."""
        return peek(self._progress, progress_key(self._pipeline, self._stream, shard))

    def settle(self, item: Progress) -> None:
        """Let the item of a shard that lies still no longer point at its last log, which is folded: logs expire.

        `item`: as it was read. Where it has moved on meanwhile, nothing is changed. Raises Retryable.
        """
        long_ago = self._now() - item.completed_arrival / 1000 >= LONG_FOLDED
        if item.pending is not None and item.pending.inline is None and long_ago:
            self._progress.write(replace(item, revision=item.revision + 1, pending=None))

    def look(self) -> Clock:
        """Find out how far the shards are. Raises Retryable, ConfigurationError."""
        ids = self._shards.ids()
        items = dict(zip(ids, self._executor.map(self.item, ids), strict=True))
        now = self._now()
        times = {shard: self._time(shard, item, now) for shard, item in items.items()}
        self._since = {shard: since for shard, since in self._since.items() if shard in items}
        self._ask(times, items)
        arrived = max((item.completed_arrival / 1000 for item in items.values()), default=0.0)
        mark = watermark(times.values(), now - arrived)
        held_by = [
            shard
            for shard, time in times.items()
            if not time.idle and (time.committed is None or time.committed == mark)
        ]
        quiet = frozenset(
            shard
            for shard, item in items.items()
            if now - item.completed_arrival / 1000 >= STOPPED and (item.attempt.ended or times[shard].idle)
        )
        return Clock(mark, newest(times.values()), tuple(held_by), items, quiet)

    def _time(self, shard: str, item: Progress, now: float) -> ShardTime:
        """What the item says; whether anything is behind it is still to be asked."""
        before, since = self._since.get(shard, (None, now))
        if before != item.event_time:
            since = now
        self._since[shard] = (item.event_time, since)
        lease = item.lease is not None and item.lease.until > now * 1000
        keeps_pace = item.completed_arrival > 0 and now - item.completed_arrival / 1000 < STOPPED
        if keeps_pace and now - since >= STILL:
            return ShardTime(shard, item.event_time, behind=False, lease=lease)
        return ShardTime(shard, item.event_time, claimed=not item.attempt.ended, lease=lease)

    def _ask(self, times: dict[str, ShardTime], items: Mapping[str, Progress]) -> None:
        """Ask the shards that hold the watermark back whether anything is behind what they have completed.

        From the earliest one on, until one is live: the others can't hold it back any further. A claim that stands open
        says nothing where nothing is behind: its attempt was killed, and its records were redriven since.
        """
        held_at = min((_order(time) for time in times.values() if time.lease), default=inf)
        ordered = sorted((time for time in times.values() if time.behind and not time.lease), key=_order)
        for start in range(0, len(ordered), _AT_ONCE):
            some = ordered[start : start + _AT_ONCE]
            if _order(some[0]) >= held_at:
                return
            answers = list(self._executor.map(lambda time: self._has_more(items[time.shard]), some))
            for time, more in zip(some, answers, strict=True):
                times[time.shard] = time._replace(behind=more, claimed=time.claimed and more)
            if any(answers):
                return

    def _has_more(self, item: Progress) -> bool:
        shard = item.key.rpartition("#")[2]
        return self._shards.has_more(shard, item.completed[3:])


def _order(time: ShardTime) -> float:
    return -inf if time.committed is None else time.committed
