"""Which windows are due: the watermark over the shards, and the times that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.windows import watermark_of


class ShardTime(NamedTuple):
    """One shard, as its progress item and the stream tell."""

    shard: str
    committed: float | None
    """The latest event time that it has committed; None where it has committed none."""
    claimed: bool = False
    """Whether an attempt is at work, or was killed: its claim stands open, and there is something for it to do."""
    behind: bool = True
    """Whether the stream has anything after `completed`, or nobody could find out. A shard that is blocked is."""
    lease: bool = False
    """Whether somebody redrives it now."""

    @property
    def idle(self) -> bool:
        """Whether nothing is to be expected of it for now."""
        return not (self.claimed or self.behind or self.lease)


STOPPED = 60.0
"""Seconds without any arrival after which a stream counts as stopped."""


def watermark(shards: Iterable[ShardTime], since_arrival: float = 0.0) -> float | None:
    """The event time up to which windows may be closed.

    That is the least committed time of the live shards. Where all are idle, it is the latest one of all: the stream has
    nothing else up to there. When nothing has come for `STOPPED` seconds, it goes on from there with the clock, so that
    the last windows of a stream that stops are closed too. What comes later all the same is judged by its own shard's
    time, and folded; its results go out again.

    Args:
        shards: Those that the stream has.
        since_arrival: Seconds since the last record arrived.

    Returns:
        None where nothing may be closed: a live shard has committed nothing, or none has.
    """
    shards = list(shards)
    live = [shard.committed for shard in shards if not shard.idle]
    if live:
        return watermark_of(live)
    last = newest(shards)
    return last if last is None or since_arrival < STOPPED else last + since_arrival


def newest(shards: Iterable[ShardTime]) -> float | None:
    """The latest event time that any shard has committed."""
    return max((shard.committed for shard in shards if shard.committed is not None), default=None)


def advanced(before: float | None, newest: float | None) -> float | None:
    """A shard's committed event time after a commit whose latest event time is `newest`: it never goes back."""
    known = [time for time in (before, newest) if time is not None]
    return max(known, default=None)


def closes_upto(aggregate: Aggregate, watermark: float | None) -> float | None:
    """Windows that end here (event time) or before are due."""
    return None if watermark is None else watermark - aggregate.lateness


def sessions_upto(aggregate: Aggregate, upto: float, newest: float) -> float:
    """Sessions that end here (event time) or before are closed.

    Args:
        aggregate: Whose windows are sessions.
        upto: Where fixed windows are due. It may lie ahead of all events: by the clock of a stream that stopped, or by
            a person.
        newest: The latest event time that any shard has committed. A session that is there ends a gap later at most;
            one that is yet to come is not closed before it is there.
    """
    return min(upto, newest + (aggregate.gap or 0))


def sessions_floor(upto: float, newest: float, keep: float) -> float:
    """Sessions that ended before this (event time) may be forgotten.

    Args:
        upto: Up to which they were closed and emitted.
        newest: The latest event time that any shard has committed: what comes next, after a pause, is near to it.
        keep: Seconds of event time for which closed ones are kept for redrives and late events.
    """
    return min(upto, newest) - keep
