"""Stores in memory: for a dry run, for runs without AWS, and for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from aetherstream.delivery.progress import Progress
from aetherstream.delivery.put import Head
from aetherstream.sinks.base import Documents, Outcome


@dataclass(frozen=True, slots=True)
class RecordedObject:
    """What would have been written."""

    bucket: str
    key: str
    body: bytes
    metadata: Mapping[str, str]


@dataclass(slots=True)
class RecordedObjects:
    """`ObjectStore` that writes nothing; the composition root decides what becomes of `objects`."""

    objects: list[RecordedObject] = field(default_factory=list)

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:  # noqa: ARG002
        """See `ObjectStore.put`; every condition holds."""
        self.overwrite(bucket, key, body, metadata)

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /) -> None:
        """See `ObjectStore.overwrite`."""
        self.objects.append(RecordedObject(bucket, key, body, metadata))

    def head(self, bucket: str, key: str, /) -> Head | None:  # noqa: ARG002
        """See `ObjectStore.head`; there is nothing."""
        return None


@dataclass(slots=True)
class RecordedSink:
    """`RecordSink` that writes nothing and takes everything."""

    name: str
    places: Counter[str] = field(default_factory=Counter)
    """How many documents would have gone where."""

    def deliver(self, documents: Documents, seconds: float, /) -> Outcome:  # noqa: ARG002
        """See `RecordSink.deliver`."""
        self.places.update(documents.places)
        return Outcome()


@dataclass(slots=True)
class MemoryProgress:
    """`ProgressStore` in memory; `writes` counts what DynamoDB would bill."""

    items: dict[str, Progress] = field(default_factory=dict)
    writes: int = 0

    def write(self, item: Progress, /) -> Progress | None:
        """See `ProgressStore.write`."""
        self.writes += 1
        stored = self.items.get(item.key)
        if (stored.revision if stored else 0) != item.revision - 1:
            return stored or Progress(item.key)
        self.items[item.key] = item
        return None
