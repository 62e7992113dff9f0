"""The scalars of JSON as canonical bytes: what counts as equal here has the same bytes.

Numbers are equal by value (1 and 1.0 are one value), `true` is not 1, and "1" is not 1.
"""

from __future__ import annotations

import struct
from typing import Any

Scalar = bool | int | float | str | None

_DOUBLE = struct.Struct(">d")


def normal(value: Any) -> Any:
    """Give an integral float as the integer that it equals, so that equal numbers look alike; others as they are."""
    return int(value) if value.__class__ is float and value.is_integer() else value


def encode_scalar(value: Scalar) -> bytes:
    """Write a scalar with its type: a letter, then UTF-8, a double, or two's complement.

    Raises:
        TypeError: it is no scalar.
    """
    match value:
        case str():
            return b"s" + value.encode("utf-8", "surrogatepass")
        case None:
            return b"n"
        case bool():
            return b"t" if value else b"f"
        case int():
            return b"i" + value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)
        case float():
            return b"d" + _DOUBLE.pack(value)
    raise TypeError(f"{type(value).__name__} is no scalar")


def canonical(value: Scalar) -> bytes:
    """Write a scalar so that equal numbers have equal bytes."""
    return encode_scalar(normal(value))


def decode_scalar(data: bytes) -> Scalar:
    """Read what `encode_scalar` wrote.

    Raises:
        ValueError, IndexError, struct.error: nobody wrote that.
    """
    kind, rest = data[:1], data[1:]
    match kind:
        case b"s":
            return rest.decode("utf-8", "surrogatepass")
        case b"n":
            return None
        case b"t":
            return True
        case b"f":
            return False
        case b"i":
            return int.from_bytes(rest, "big", signed=True)
        case b"d":
            number: float = _DOUBLE.unpack(rest)[0]
            return number
    raise ValueError(f"no scalar begins with {kind!r}")
