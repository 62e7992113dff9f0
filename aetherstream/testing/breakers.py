"""The breakers' shared state in memory, answering as DynamoDB's conditional writes do."""

from __future__ import annotations

from dataclasses import dataclass, field

from aetherstream.delivery.breaker_item import BreakerItem
from aetherstream.errors import Retryable


@dataclass(slots=True)
class MemoryBreakers:
    """`BreakerStore` in memory."""

    items: dict[str, BreakerItem] = field(default_factory=dict)
    reads: int = 0
    writes: int = 0
    down: bool = False
    """Whether it does not answer."""
    loses_answers: bool = False
    """Whether writes take effect and their answers are lost."""

    def read(self, key: str, /) -> BreakerItem:
        """See `BreakerStore.read`."""
        self.reads += 1
        if self.down:
            raise Retryable("the table is down")
        return self.items.get(key, BreakerItem(key))

    def write(self, item: BreakerItem, /) -> BreakerItem | None:
        """See `BreakerStore.write`."""
        self.writes += 1
        if self.down:
            raise Retryable("the table is down")
        stored = self.items.get(item.key, BreakerItem(item.key))
        if stored.revision != item.revision - 1:
            return stored
        self.items[item.key] = item
        if self.loses_answers:
            raise Retryable("the answer was lost")
        return None
