"""How far a poller is, in numbers for progress bars and reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Totals of a poller since its start. Counts are of Kinesis records unless they say otherwise."""

    read: int = 0
    """Records read from the shards."""
    finished: int = 0
    """Records behind a checkpoint: processed, filtered or discarded."""
    discarded: int = 0
    """Records given up: sent to the on-failure destination, or lost where there is none."""
    undelivered: int = 0
    """Of the discarded ones, those of which no destination has a record."""
    invocations: int = 0
    """Invocations that ended, however they ended."""
    failed: int = 0
    """Of these, the ones with a function error."""
    throttled: int = 0
    """Of these, the ones that failed before the function ran."""
    running: int = 0
    """Invocations under way."""
    behind_seconds: float = 0.0
    """By how much the last read of the slowest shard was behind the newest record."""
    last_error: str = ""
    """The text of the last failed or throttled invocation."""

    @property
    def pending(self) -> int:
        """Records read and not finished."""
        return self.read - self.finished
