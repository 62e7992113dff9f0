"""A queue in memory: messages that are taken, come again later, or go to the dead letters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aetherstream.loader.load_queue import notifications
from aetherstream.loader.notifications import Message
from aetherstream.warehouse.sql import ObjectRef


@dataclass(slots=True)
class Held:
    """A message in the queue."""

    body: str
    visible: float
    """When it may be taken, epoch seconds."""
    received: int = 0


@dataclass(slots=True)
class MemoryQueue:
    """`LoaderQueue` and `LoadQueue` in memory, with what Lambda does around them.

    `trouble`, where it is set, is raised by whatever the loader asks.
    """

    clock: Callable[[], float] = lambda: 0.0
    """Epoch seconds."""
    visibility: float = 5400.0
    """Seconds for which a message that was taken is not given again, unless somebody says otherwise."""
    messages: dict[str, Held] = field(default_factory=dict)
    """By id."""
    dead: list[tuple[str, str]] = field(default_factory=list)
    """Body and reason of each dead letter."""
    trouble: Exception | None = None
    _made: int = 0

    def put(self, body: str, delay: float = 0.0) -> str:
        """Send a message, which may be taken after so many seconds; returns its id."""
        self._made += 1
        name = f"m{self._made}"
        self.messages[name] = Held(body, self.clock() + delay)
        return name

    def take(self, most: int = 10_000) -> list[Message]:
        """Take messages, the oldest first, as Lambda does."""
        now = self.clock()
        taken: list[Message] = []
        for name, held in self.messages.items():
            if held.visible <= now and len(taken) < most:
                held.received += 1
                held.visible = now + self.visibility
                taken.append(Message(name, f"{name}#{held.received}", held.body, held.received))
        return taken

    def settle(self, taken: Sequence[Message], again: Collection[str]) -> None:
        """Remove what was taken, but not what is to come again."""
        for message in taken:
            if message.id not in again:
                self.messages.pop(message.id, None)

    def delay(self, waits: Sequence[tuple[Message, int]], /) -> None:
        """See `LoaderQueue.delay`."""
        self._ask()
        for message, seconds in waits:
            if message.id in self.messages:
                self.messages[message.id].visible = self.clock() + seconds

    def refuse(self, message: Message, reason: str, /) -> None:
        """See `LoaderQueue.refuse`."""
        self._ask()
        self.dead.append((message.body, reason))

    def announce(self, objects: Sequence[ObjectRef], /) -> None:
        """See `LoadQueue.announce`."""
        self._ask()
        for body in notifications(objects, self.clock()):
            self.put(body)

    def counts(self) -> Mapping[str, int]:
        """See `LoadQueue.counts`."""
        self._ask()
        now = self.clock()
        taken = sum(held.visible > now for held in self.messages.values())
        return {"waiting": len(self.messages) - taken, "taken": taken, "delayed": 0, "dead": len(self.dead)}

    def _ask(self) -> None:
        if self.trouble is not None:
            raise self.trouble
