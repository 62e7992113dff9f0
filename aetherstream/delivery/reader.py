"""Reading objects back: what a redrive has to know of the objects that stand already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing tells of it."""

    key: str
    modified: float
    """Epoch seconds."""
    size: int
    """Bytes."""


class ObjectReader(Protocol):
    """Lists and reads objects. Strongly consistent, as S3 is; `get` is thread-safe."""

    def list(self, bucket: str, prefix: str, /) -> Iterator[Listed]:
        """Every object whose key begins with the prefix.

        Raises Retryable when the store is down; ConfigurationError when the bucket does not exist or may not be read.
        """

    def get(self, bucket: str, key: str, /) -> bytes | None:
        """The bytes of an object, None where there is none (any more). Raises like `list`."""
