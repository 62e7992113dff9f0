"""Writing objects so that the newest attempt wins: conditional puts that carry the epoch of their attempt.

The epoch stands in the metadata, where it can be read without opening the object, *and in the bytes*: an ETag is a
digest of the bytes, and equal bytes of two attempts would let a late writer of the older one through its `If-Match`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from aetherstream.errors import Retryable, Superseded

EPOCH = "aether-epoch"
DIGEST = "aether-digest"
_TRIES = 8


class PreconditionFailed(Exception):
    """S3's 412: the condition of a put did not hold."""


class Conflict(Exception):
    """S3's 409: another conditional operation on this key was under way; put again."""


class Missing(Exception):
    """S3's 404 to a put with `If-Match`: the object is gone."""


@dataclass(frozen=True, slots=True)
class Head:
    """What S3 tells of an object without its bytes."""

    etag: str
    metadata: Mapping[str, str]
    size: int | None
    """Bytes; None where the answer does not say: a proxy may drop the length of a body that does not come."""


class ObjectStore(Protocol):
    """The two requests of S3 that delivery needs. Implementations are thread-safe."""

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        """Put the object if its ETag is `if_match`, or (None) if there is no object (`If-None-Match: *`).

        Raises PreconditionFailed, Conflict, Missing; Retryable when S3 is down or the outcome is unknown;
        ConfigurationError when the bucket does not exist or may not be written.
        """

    def overwrite(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /) -> None:
        """Put the object without a condition (delivery `at_least_once`). Raises like `put`."""

    def head(self, bucket: str, key: str, /) -> Head | None:
        """Return the object's ETag and user metadata, None where there is none. Raises like `put`."""


def put(store: ObjectStore, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], epoch: int) -> None:
    """Make `body` the content of the object, unless a newer epoch has written it.

    Raises Superseded when a newer epoch has; Retryable when S3 does not let it through now.
    """
    digest = hashlib.sha256(body).hexdigest()[:32]
    metadata = {**metadata, EPOCH: str(epoch), DIGEST: digest}
    etag: str | None = None
    for _ in range(_TRIES):
        try:
            store.put(bucket, key, body, metadata, if_match=etag)
        except Conflict:
            continue
        except Missing:
            etag = None
            continue
        except PreconditionFailed:
            head = store.head(bucket, key)
            if head is None:
                etag = None
                continue
            text = head.metadata.get(EPOCH, "")
            stored = int(text) if text.isdecimal() else -1
            if stored > epoch:
                raise Superseded(
                    f"s3://{bucket}/{key} was written by epoch {stored}, this attempt is {epoch}"
                ) from None
            if stored < 0:
                raise Retryable(
                    f"s3://{bucket}/{key} was not written by AetherStream and stands where a batch must go; "
                    "it is left as it is: move it out of the sink's prefix"
                ) from None
            if stored == epoch and head.metadata.get(DIGEST) == digest:
                return  # our own put, of which the answer was lost
            etag = head.etag
        else:
            return
    raise Retryable(f"s3://{bucket}/{key}: {_TRIES} puts in a row met another writer")
