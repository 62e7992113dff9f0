"""The memory of loads that go on by themselves, in memory, answering as DynamoDB's conditional writes do."""

from __future__ import annotations

from aetherstream.loader.memory import LoadMemory
from aetherstream.testing.revisions import MemoryItems


class MemoryLoads(MemoryItems[LoadMemory]):
    """`LoadMemories` in memory."""

    def empty(self, key: str) -> LoadMemory:
        """See `MemoryItems.empty`."""
        return LoadMemory(key)
