"""In-memory stores that answer like the services: S3's conditional puts, DynamoDB's conditional writes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from aetherstream.delivery.put import Head, Missing, PreconditionFailed
from aetherstream.delivery.reader import Listed
from aetherstream.delivery.recorded import MemoryProgress

__all__ = ["InlineExecutor", "MemoryObjects", "MemoryProgress", "StoredObject"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it stands in the store."""

    body: bytes
    metadata: Mapping[str, str]
    modified: float = math.inf
    """Epoch seconds."""

    @property
    def etag(self) -> str:
        """S3 under SSE-S3: a digest of the bytes; metadata does not count."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


@dataclass(slots=True)
class MemoryObjects:
    """`ObjectStore` and `ObjectReader` in memory."""

    objects: dict[tuple[str, str], StoredObject] = field(default_factory=dict)
    clock: Callable[[], float] = lambda: math.inf
    """Gives the objects' times, epoch seconds; without one, every object counts as written just now."""

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        """See `ObjectStore.put`."""
        stored = self.objects.get((bucket, key))
        if if_match is None:
            if stored is not None:
                raise PreconditionFailed
        elif stored is None:
            raise Missing
        elif stored.etag != if_match:
            raise PreconditionFailed
        self.overwrite(bucket, key, body, metadata)

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /) -> None:
        """See `ObjectStore.overwrite`."""
        self.objects[bucket, key] = StoredObject(bytes(body), dict(metadata), self.clock())

    def head(self, bucket: str, key: str, /) -> Head | None:
        """See `ObjectStore.head`."""
        stored = self.objects.get((bucket, key))
        return None if stored is None else Head(stored.etag, stored.metadata, len(stored.body))

    def list(self, bucket: str, prefix: str, /) -> Iterator[Listed]:
        """See `ObjectReader.list`."""
        for key, stored in self.under(bucket, prefix):
            yield Listed(key, stored.modified, len(stored.body))

    def get(self, bucket: str, key: str, /) -> bytes | None:
        """See `ObjectReader.get`."""
        stored = self.objects.get((bucket, key))
        return None if stored is None else stored.body

    def under(self, bucket: str, prefix: str) -> Iterator[tuple[str, StoredObject]]:
        """Yield the objects of the bucket whose key begins with the prefix, by key."""
        for (at, key), stored in sorted(self.objects.items()):
            if at == bucket and key.startswith(prefix):
                yield key, stored


class InlineExecutor(Executor):
    """Runs each job at once, in the caller's thread: deterministic."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the job and return its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it belongs to the future
            future.set_exception(error)
        return future
