"""An object store that only keeps what it is given: for a dry run, and for runs without AWS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aetherstream.delivery.put import Head


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
