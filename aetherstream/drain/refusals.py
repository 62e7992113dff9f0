"""The quarantine object that belongs to one spill object: what the sink refused for good when it was drained.

Its key follows from the spill object's, so that whoever drains that object again finds it; a row that stands in it is
settled. The number of the drain that wrote it stands in its bytes: after a drain that did not end by itself, the next
one writes it anew before it delivers anything, and a put that is still under way then fails by its condition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from aetherstream.delivery.put import DIGEST, EPOCH, Conflict, Missing, ObjectStore, PreconditionFailed
from aetherstream.delivery.reader import ObjectReader
from aetherstream.drain.lease import LeaseLost
from aetherstream.errors import Retryable
from aetherstream.objects import Name, Target, compressor, lines_of
from aetherstream.spill import SpilledRow, UnusableSpill

DRAIN = "aether-drain"
"""Metadata: number of the drain that wrote it."""

_TRIES = 5
_compress = compressor("gzip", 3)


class _Line(msgspec.Struct):
    id: str
    event: msgspec.Raw


_read = msgspec.json.Decoder(_Line)


def refusals_key(quarantine: Target, name: Name, sink: str) -> str:
    """Key of the quarantine object that belongs to a spill object."""
    folder = name.folder.removesuffix("/")
    return quarantine.key(folder, f"{name.shard}-spill-{sink}", name.position)


@dataclass(slots=True)
class Refusals:
    """The quarantine object as it was found, and as it is written."""

    bucket: str
    key: str
    lines: list[bytes]
    """Those that stand in it."""
    etag: str | None
    """None: there is no such object."""
    settled: set[tuple[str, bytes]]

    def holds(self, row: SpilledRow) -> bool:
        """Tell whether a row was refused before."""
        return bool(self.settled) and (row.id, row.body) in self.settled

    def write(self, store: ObjectStore, more: Sequence[bytes], *, drain: int, epoch: int, version: str) -> None:
        """Add lines. Raises LeaseLost where another drain has written the object since; else like `ObjectStore.put`."""
        lines = [*self.lines, *more]
        body = _compress(b"".join(line + b"\n" for line in lines), drain & 0xFFFFFFFF)
        digest = hashlib.sha256(body).hexdigest()[:32]
        metadata = {
            EPOCH: str(epoch),
            DIGEST: digest,
            DRAIN: str(drain),
            "aether-count": str(len(lines)),
            "aether-version": version,
        }
        for _ in range(_TRIES):
            try:
                store.put(self.bucket, self.key, body, metadata, if_match=self.etag)
            except Conflict:
                continue
            except (PreconditionFailed, Missing):
                pass  # perhaps our own put, of which the answer was lost
            break
        else:
            raise Retryable(f"s3://{self.bucket}/{self.key}: {_TRIES} puts in a row met another writer")
        head = store.head(self.bucket, self.key)
        if head is None or head.metadata.get(DIGEST) != digest or head.metadata.get(DRAIN) != str(drain):
            raise LeaseLost(f"s3://{self.bucket}/{self.key}: another drain has written it, this one is {drain}")
        self.etag, self.lines = head.etag, lines
        self.settled |= set(_rows(lines))


def find(store: ObjectStore, reader: ObjectReader, bucket: str, key: str) -> Refusals:
    """Read the quarantine object. Raises UnusableSpill where something else stands under its key."""
    head = store.head(bucket, key)
    if head is None:
        return Refusals(bucket, key, [], None, set())
    body = reader.get(bucket, key)
    if body is None:
        raise Retryable(f"s3://{bucket}/{key} was removed while it was read")
    try:
        lines = lines_of(key, body)
        settled = set(_rows(lines))
    except Exception as error:  # the decompressor has errors of its own
        raise UnusableSpill(
            "not readable",
            f"s3://{bucket}/{key} stands where refused documents must go, and can't be read ({error}): restore it "
            "from an earlier version, or move it out of the quarantine's prefix",
        ) from error
    return Refusals(bucket, key, lines, head.etag, settled)


def _rows(lines: Iterable[bytes]) -> Iterable[tuple[str, bytes]]:
    for line in lines:
        read = _read.decode(line)
        yield read.id, bytes(read.event)
