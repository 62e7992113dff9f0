"""The memory of loads that go on by themselves, in memory, answering as DynamoDB's conditional writes do."""

from __future__ import annotations

from dataclasses import dataclass, field

from aetherstream.errors import Retryable
from aetherstream.loader.memory import LoadMemory


@dataclass(slots=True)
class MemoryLoads:
    """`LoadMemories` in memory."""

    items: dict[str, LoadMemory] = field(default_factory=dict)
    writes: int = 0
    down: bool = False
    """Whether it does not answer."""
    loses_answers: bool = False
    """Whether writes take effect and their answers are lost."""

    def read(self, key: str, /) -> LoadMemory:
        """See `LoadMemories.read`."""
        if self.down:
            raise Retryable("the table is down")
        return self.items.get(key, LoadMemory(key))

    def write(self, item: LoadMemory, /) -> LoadMemory | None:
        """See `LoadMemories.write`."""
        self.writes += 1
        if self.down:
            raise Retryable("the table is down")
        stored = self.items.get(item.key, LoadMemory(item.key))
        if stored.revision != item.revision - 1:
            return stored
        self.items[item.key] = item
        if self.loses_answers:
            raise Retryable("the answer was lost")
        return None
