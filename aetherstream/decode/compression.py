"""gzip, zlib and zstd, recognised by their first bytes and expanded up to a limit.

No more than the limit is ever kept (while the parts are joined, twice that), however small the input.
"""

from __future__ import annotations

import sys
from typing import Any

from isal import isal_zlib

from aetherstream.errors import Rejected

_CHUNK = 1 << 16
"""Bytes fed at once: what is left of them is copied at the end of each gzip member, so the whole input would make many
small members quadratic."""
_STEP = 1 << 20
_MEMBERS = 10_000
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def compression_of(data: bytes) -> str | None:
    """Name the compression that these bytes begin with: `gzip`, `zlib`, `zstd` or None.

    A zstd stream may begin with a skippable frame (RFC 8878, 3.1.2). None of these beginnings can start a JSON text.
    """
    head = data[:2]
    if head == _GZIP:
        return "gzip"
    if head in _ZLIB:
        return "zlib"
    return "zstd" if _is_zstd(data[:4]) else None


class Output:
    """What has been expanded so far of a `kind` of compression, never more than `limit` bytes."""

    def __init__(self, kind: str, limit: int) -> None:
        self.kind = kind
        self.limit = limit
        self.size = 0
        self.parts: list[bytes] = []

    @property
    def room(self) -> int:
        """Bytes to ask for: one more than may come, to see that there is more."""
        return min(self.limit - self.size + 1, _STEP)

    def add(self, part: bytes) -> None:
        """Take the next part, or raise Rejected."""
        if self.size + len(part) > self.limit:
            self.size = self.limit
            raise Rejected("expands too far", f"{self.kind}: expands to more than the {self.limit:,} bytes left to it")
        if part:
            self.size += len(part)
            self.parts.append(part)

    def joined(self) -> bytes:
        """Return everything in one piece."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    def truncated(self) -> Rejected:
        """Name the fault of input that ends too early."""
        return Rejected(f"{self.kind}: truncated", f"{self.kind}: the data ends in the middle of a member")

    def corrupt(self, error: Exception) -> Rejected:
        """Name the fault that the library found."""
        return Rejected(f"{self.kind}: corrupt", f"{self.kind}: {error}")


def expand(data: bytes, output: Output) -> bytes:
    """Expand a whole compressed payload: all gzip members or zstd frames, one after the other.

    Raises:
        Rejected: truncated, corrupt, followed by other bytes, or more bytes than the output takes.
    """
    kind = output.kind
    offset = 0
    for _ in range(_MEMBERS):
        offset = _zstd_frame(data, offset, output) if kind == "zstd" else _deflate_member(data, offset, output)
        if kind == "gzip" and data[offset : offset + 1] == b"\0":
            # RFC 1952 knows no padding, tape and block devices do; gzip and Python's gzip module skip it.
            offset = len(data) - len(data[offset:].lstrip(b"\0"))
        if offset == len(data):
            return output.joined()
        follows = data[offset : offset + 4]
        if not (_is_zstd(follows) if kind == "zstd" else kind == "gzip" and follows[:2] == _GZIP):
            raise Rejected(f"{kind}: trailing bytes", f"{kind}: {len(data) - offset} bytes follow the compressed data")
    raise Rejected(f"{kind}: too many members", f"{kind}: more than {_MEMBERS:,} members or frames in one payload")


def _deflate_member(data: bytes, offset: int, output: Output) -> int:
    """Expand one gzip member or zlib stream (checksum checked) and return the offset behind it."""
    member = isal_zlib.decompressobj(31 if output.kind == "gzip" else 15)
    while not member.eof:
        chunk = member.unconsumed_tail
        if not chunk:
            chunk = data[offset : offset + _CHUNK]
            offset += len(chunk)
        try:
            part = member.decompress(chunk, output.room)
        except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stubs call it an instance
            raise output.corrupt(error) from error
        if not part and not chunk and not member.eof:
            raise output.truncated()
        output.add(part)
    return offset - len(member.unused_data)


def _zstd_frame(data: bytes, offset: int, output: Output) -> int:
    """Expand one zstd frame, or skip a skippable one, and return the offset behind it."""
    zstd = zstd_module()
    # A frame's window is allocated at once, whatever the frame holds: up to 2 GiB if nobody bounds it. 8 MiB is what
    # every decoder should support (RFC 8878, 3.1.1.1.2).
    window = min(max(23, (output.limit - 1).bit_length()), 30)
    frame = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window})
    while not frame.eof:
        chunk = data[offset : offset + _CHUNK] if frame.needs_input else b""
        if frame.needs_input and not chunk:
            raise output.truncated()
        offset += len(chunk)
        try:
            part = frame.decompress(chunk, output.room)
        except zstd.ZstdError as error:
            raise output.corrupt(error) from error
        output.add(part)
    return offset - len(frame.unused_data)


def _is_zstd(head: bytes) -> bool:
    return head == _ZSTD or (head[1:] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50)


def zstd_module() -> Any:
    """Import zstd: the standard library's from Python 3.14 on, its backport before; only where a payload needs it."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
