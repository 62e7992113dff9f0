"""The bytes of states: compact, canonical (equal content, equal bytes), and readable by later versions.

Every state begins with the number of its format. A reader knows all formats up to its own; what is newer it refuses by
name, so that a rollback says what is wrong instead of misreading.
"""

from __future__ import annotations

import struct
from typing import Any

from ..errors import ConfigurationError
from .scalars import Scalar, decode_scalar, encode_scalar

_DOUBLE = struct.Struct(">d")


class UnreadableState(ConfigurationError):
    """The bytes of a state are of a later version, of an aggregate declared otherwise, or damaged."""


class Writer:
    """Collects the bytes of one state."""

    def __init__(self, format: int) -> None:  # noqa: A002 - the field's word
        self._out = bytearray((format,))

    def uint(self, value: int) -> Writer:
        """Seven bits a byte, the lowest first."""
        out = self._out
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
        return self

    def sint(self, value: int) -> Writer:
        """An integer of any size: its length, then two's complement."""
        data = value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)
        return self.blob(data)

    def double(self, value: float) -> Writer:
        """Eight bytes; -0.0 is written as 0.0."""
        self._out += _DOUBLE.pack(value + 0.0)
        return self

    def blob(self, value: bytes) -> Writer:
        """The length, then the bytes."""
        size = len(value)
        if size < 128:  # as most are: states have thousands of these
            self._out.append(size)
        else:
            self.uint(size)
        self._out += value
        return self

    def text(self, value: str) -> Writer:
        """UTF-8."""
        return self.blob(value.encode("utf-8", "surrogatepass"))

    def scalar(self, value: Scalar) -> Writer:
        """A JSON scalar with its type."""
        return self.blob(encode_scalar(value))

    def done(self) -> bytes:
        """The bytes."""
        return bytes(self._out)


class Reader:
    """Reads what a `Writer` wrote; refuses formats later than `newest`."""

    def __init__(self, data: bytes, what: str, newest: int = 1) -> None:
        if not data:
            raise UnreadableState(f"the state of {what} is empty")
        self.format = data[0]
        if not 1 <= self.format <= newest:
            raise UnreadableState(
                f"the state of {what} has format {self.format}, and this version reads 1 to {newest}: deploy the "
                "version that wrote it, or a later one"
            )
        self._data, self._at, self._what = data, 1, what

    def uint(self) -> int:
        """Read an unsigned integer."""
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def sint(self) -> int:
        """Read a signed integer."""
        return int.from_bytes(self.blob(), "big", signed=True)

    def double(self) -> float:
        """Read a double."""
        value: float = _DOUBLE.unpack(self._take(8))[0]
        return value

    def blob(self) -> bytes:
        """Read bytes with their length."""
        return self._take(self.uint())

    def text(self) -> str:
        """Read a text."""
        return self.blob().decode("utf-8", "surrogatepass")

    def scalar(self) -> Any:
        """Read a JSON scalar."""
        try:
            return decode_scalar(self.blob())
        except (ValueError, IndexError, struct.error):
            raise self.damaged() from None

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._at != len(self._data):
            raise self.damaged()

    def damaged(self) -> UnreadableState:
        """Make the error of bytes that nobody wrote."""
        return UnreadableState(f"the state of {self._what} is damaged at byte {self._at} of {len(self._data)}")

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise self.damaged()
        taken = self._data[self._at : end]
        self._at = end
        return taken
