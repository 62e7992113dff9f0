"""The form of the objects that are written: their keys, and their bytes as compressed NDJSON.

The epoch of the attempt stands in the bytes (`aetherstream.delivery.put` says why): gzip carries it in its header's
MTIME, zstd in a trailing skippable frame (a leading one breaks readers).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

from isal import igzip

from aetherstream.errors import ConfigurationError

Compression = Literal["gzip", "zstd"]
SUFFIX: dict[str, str] = {"gzip": "ndjson.gz", "zstd": "ndjson.zst"}
EMPTY = 32
"""Bytes: an emptied object has 20 (gzip) or 25 (zstd)."""
_LEVELS = {"gzip": (0, 3), "zstd": (1, 22)}
"""isal's gzip has four levels."""

# RFC 8878, 3.1.2: a skippable frame is a magic of 0x184D2A50..5F, a little-endian length, and that many bytes.
_SKIPPABLE = b"\x50\x2a\x4d\x18\x08\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the objects of a per-object sink go."""

    bucket: str
    prefix: str
    """Without a slash at its end."""
    suffix: str
    """For example `ndjson.gz`; with its dot it ends every key."""

    def key(self, partition: str, shard: str, position: str) -> str:
        """Key of the object of one partition: `<prefix>/<partition>/<shard>-<position>.<suffix>`."""
        middle = f"{partition}/" if partition else ""
        return f"{self.prefix}/{middle}{shard}-{position}.{self.suffix}"


# A shard, and the first position of the events (with `at_least_once` also a digest of the bytes) or a redrive's number.
_STEM = re.compile(r"(?P<shard>.+?)-(?P<position>[0-9]{4,}-[0-9]{6,}(?:-[0-9a-f]{16})?|redrive-[0-9]{9,})")


@dataclass(frozen=True, slots=True)
class Name:
    """What the key of an object says."""

    folder: str
    """Between the prefix and the name, with a slash at its end: `day=2026-11-21/`."""
    shard: str
    position: str
    """Of its first event; of a redrive's object `redrive-<number>`."""
    suffix: str
    """`ndjson.gz` or `ndjson.zst`, whichever compression the pipeline had when it was written."""


def name_of(target: Target, key: str) -> Name | None:
    """Read a key below the target's prefix; None where no object is named so."""
    path = key.removeprefix(f"{target.prefix}/")
    folder, slash, name = path.rpartition("/")
    stem, _, suffix = name.partition(".")
    found = _STEM.fullmatch(stem) if path != key and suffix in SUFFIX.values() else None
    return None if found is None else Name(folder + slash, found["shard"], found["position"], suffix)


_BY_BYTES = re.compile(r"[0-9a-f]{32}")


def key_by_bytes(target: Target, body: bytes) -> str:
    """Key of an object that is named by its bytes: `<prefix>/<32 hex digits>.<suffix>`; equal bytes, equal keys."""
    return f"{target.prefix}/{blake2b(body, digest_size=16).hexdigest()}.{target.suffix}"


def is_named_by_bytes(target: Target, key: str) -> bool:
    """Whether a key is one of `key_by_bytes`, whichever compression the pipeline had when it was written."""
    name = key.removeprefix(f"{target.prefix}/")
    stem, _, suffix = name.partition(".")
    return name != key and _BY_BYTES.fullmatch(stem) is not None and suffix in SUFFIX.values()


def compressor(compression: Compression, level: int) -> Callable[[bytes | bytearray, int], bytes]:
    """Return the function `(body, epoch) -> bytes` of a compression; level in that compression's own scale.

    Raises ConfigurationError for a level that the compression does not have: here, not at the first object.
    """
    low, high = _LEVELS[compression]
    if not low <= level <= high:
        raise ConfigurationError(f"{compression} level {level}: it must be {low} to {high}")
    if compression == "gzip":
        return lambda body, epoch: igzip.compress(body, level, mtime=epoch)
    zstd = _zstd()

    def compress(body: bytes | bytearray, epoch: int) -> bytes:
        frame: bytes = zstd.compress(body, level)
        return frame + _SKIPPABLE + epoch.to_bytes(8, "little")

    return compress


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def empty_object(key: str, epoch: int) -> bytes:
    """Make an object without events, of this epoch, in the compression that the key's suffix tells."""
    return compressor("zstd" if key.endswith(".zst") else "gzip", 1)(b"", epoch)


def lines_of(key: str, body: bytes) -> list[bytes]:
    """Read the lines of an object that was written here; its key's suffix tells the compression."""
    if key.endswith(".zst"):
        lines: bytes = _zstd().decompress(body)  # the skippable frame behind the data is passed over
    else:
        lines = igzip.decompress(body)  # type: ignore[no-untyped-call]
    return lines.splitlines()
