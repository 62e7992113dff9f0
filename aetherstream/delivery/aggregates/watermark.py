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
    """Whether an attempt is at work, or was killed: its claim stands open."""
    behind: bool = True
    """Whether the stream has anything after `completed`, or nobody could find out. A shard that is blocked is."""
    lease: bool = False
    """Whether somebody redrives it now."""

    @property
    def idle(self) -> bool:
        """Whether nothing is to be expected of it for now."""
        return not (self.claimed or self.behind or self.lease)


def watermark(shards: Iterable[ShardTime]) -> float | None:
    """The event time up to which windows may be closed.

    That is the least committed time of the live shards. Where all are idle, it is the latest one of all: the stream has
    nothing else up to there, and what comes later than that is not known. So the last windows of a stream that stops
    stay open until an event passes their end.

    Returns:
        None where nothing may be closed: a live shard has committed nothing, or none has.
    """
    shards = list(shards)
    live = [shard.committed for shard in shards if not shard.idle]
    if live:
        return watermark_of(live)
    return max((shard.committed for shard in shards if shard.committed is not None), default=None)


def advanced(before: float | None, newest: float | None) -> float | None:
    """A shard's committed event time after a commit whose latest event time is `newest`: it never goes back."""
    known = [time for time in (before, newest) if time is not None]
    return max(known, default=None)


def closes_upto(aggregate: Aggregate, watermark: float | None) -> float | None:
    """Windows that end here (event time) or before are due."""
    return None if watermark is None else watermark - aggregate.lateness


def sessions_floor(aggregate: Aggregate, watermark: float | None, keep: float) -> float | None:
    """Sessions that ended before this (event time) may be forgotten.

    Args:
        aggregate: Whose windows are sessions.
        watermark: Up to which they were closed and emitted.
        keep: Seconds of event time for which closed ones are kept for redrives and late events.
    """
    upto = closes_upto(aggregate, watermark)
    return None if upto is None else upto - keep
