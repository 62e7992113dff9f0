"""What a person does to a breaker: look, open, close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aetherstream.delivery.breaker_item import BreakerItem, BreakerStore, breaker_key, closed, held_open
from aetherstream.delivery.put import ObjectStore
from aetherstream.drain.drainer import Drainer
from aetherstream.drain.parts import Spilling
from aetherstream.errors import Retryable

COUNTED = 500
"""Objects whose documents are counted: each is a request."""

_TRIES = 10


class ByHand:
    """Shows and turns the breakers of one pipeline."""

    def __init__(
        self,
        pipeline: str,
        drainer: Drainer,
        store: ObjectStore,
        breakers: BreakerStore,
        clock: Callable[[], float],
    ) -> None:
        """`clock`: epoch seconds."""
        self._pipeline = pipeline
        self._drainer = drainer
        self._store = store
        self._breakers = breakers
        self._clock = clock

    def show(self, spilling: Spilling) -> dict[str, Any]:
        """How the breaker and the spill stand, with the documents that are spilled. Raises like the stores."""
        report, backlog = self._drainer.look(spilling)
        documents = 0
        for listed in backlog.first[:COUNTED]:
            head = self._store.head(spilling.target.bucket, listed.key)
            count = "" if head is None else head.metadata.get("aether-count", "")
            documents += int(count) if count.isdecimal() else 0
        return {
            **report.as_json(),
            "documents": documents,
            "counted": min(COUNTED, len(backlog.first)),
            "spill": f"s3://{spilling.target.bucket}/{spilling.target.prefix}/",
        }

    def open(self, spilling: Spilling, by: str, why: str) -> dict[str, Any]:
        """Open it; it stays open until it is closed by hand. Raises Retryable and ConfigurationError."""
        now = self._clock()
        self._write(spilling, lambda item: held_open(item, now, why or "opened by hand", by))
        return self.show(spilling)

    def close(self, spilling: Spilling, by: str, why: str) -> dict[str, Any]:
        """Close it, whatever is still spilled. Raises Retryable and ConfigurationError."""
        now = self._clock()
        self._write(spilling, lambda item: closed(item, now, why or "closed by hand", by))
        return self.show(spilling)

    def _write(self, spilling: Spilling, step: Callable[[BreakerItem], BreakerItem]) -> None:
        item = self._breakers.read(breaker_key(self._pipeline, spilling.sink.name))
        for _ in range(_TRIES):
            changed = step(item)
            stored = self._breakers.write(changed)
            if stored is None or stored == changed:  # equal: our own write, of which the answer was lost
                return
            item = stored
        raise Retryable(f"{item.key}: {_TRIES} writes in a row met another writer")
