"""Items with a revision in memory, answering as DynamoDB's conditional writes do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from aetherstream.errors import Retryable


class Revised(Protocol):
    """What is told of an item that is written whole."""

    @property
    def key(self) -> str:
        """Key in the table."""

    @property
    def revision(self) -> int:
        """Raised by every write."""


Item = TypeVar("Item", bound=Revised)


@dataclass(slots=True)
class MemoryItems(ABC, Generic[Item]):
    """A store of such items; what it is for says what stands where nothing is stored."""

    items: dict[str, Item] = field(default_factory=dict)
    reads: int = 0
    writes: int = 0
    down: bool = False
    """Whether it does not answer."""
    loses_answers: bool = False
    """Whether writes take effect and their answers are lost."""

    @abstractmethod
    def empty(self, key: str) -> Item:
        """The item where nothing is stored."""

    def read(self, key: str, /) -> Item:
        """The item as it stands now."""
        self.reads += 1
        if self.down:
            raise Retryable("the table is down")
        return self.items.get(key) or self.empty(key)

    def write(self, item: Item, /) -> Item | None:
        """Store `item` if the stored revision is the one before; otherwise return the item that is stored."""
        self.writes += 1
        if self.down:
            raise Retryable("the table is down")
        stored = self.items.get(item.key) or self.empty(item.key)
        if stored.revision != item.revision - 1:
            return stored
        self.items[item.key] = item
        if self.loses_answers:
            raise Retryable("the answer was lost")
        return None
