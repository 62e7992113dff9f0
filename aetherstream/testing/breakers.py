"""The breakers' shared state in memory, answering as DynamoDB's conditional writes do."""

from __future__ import annotations

from aetherstream.delivery.breaker_item import BreakerItem
from aetherstream.testing.revisions import MemoryItems


class MemoryBreakers(MemoryItems[BreakerItem]):
    """`BreakerStore` in memory."""

    def empty(self, key: str) -> BreakerItem:
        """See `MemoryItems.empty`."""
        return BreakerItem(key)
