"""How a commit of aggregates gets into a shard's progress item, beside whatever else that write changes."""

from __future__ import annotations

from typing import Protocol

from aetherstream.delivery.progress import Progress


class Commit(Protocol):
    """A commit whose redo log is written (`aetherstream.aggregation.ShardCommit`)."""

    def upon(self, item: Progress, /) -> Progress:
        """Give `item` with the commit's number, its log as `pending`, and the event time advanced.

        Folds first what is pending there. The caller writes the result on the condition that `item` is what is stored,
        and calls this anew with the stored item where another writer came between.

        Raises Retryable, ConfigurationError.
        """
