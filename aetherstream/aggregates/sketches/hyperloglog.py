"""HyperLogLog over 64-bit hashes: registers that merge by their maximum, whatever the order.

Flajolet and others 2007; the estimate is Ertl's of 2017 ("New cardinality estimation algorithms for HyperLogLog
sketches", section 2): one formula from nothing to 2**64, without tables and without switching between estimators. Its
relative standard error is 1.04 / sqrt(registers).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from math import log, sqrt

from ..scalars import Scalar, canonical

BITS = 64


def hash_of(value: Scalar) -> int:
    """Hash a scalar by BLAKE2b, which is the same in every process, on every machine and in every version."""
    return int.from_bytes(blake2b(canonical(value), digest_size=8).digest(), "big")


def registers(hashes: Iterable[int], precision: int) -> bytes:
    """Make the 2**precision registers of some hashes."""
    found = bytearray(1 << precision)
    rest = BITS - precision
    low = (1 << rest) - 1
    for hashed in hashes:
        rank = rest + 1 - (hashed & low).bit_length()
        index = hashed >> rest
        if rank > found[index]:
            found[index] = rank
    return bytes(found)


def merged(a: bytes, b: bytes) -> bytes:
    """Make the registers of both."""
    return a if a == b else bytes(map(max, a, b))


def estimate(found: bytes) -> float:
    """Estimate how many different hashes there were."""
    count = len(found)
    ranks = BITS - (count.bit_length() - 1)
    histogram = Counter(found)
    z = count * _tau(1 - histogram[ranks + 1] / count)
    for rank in range(ranks, 0, -1):
        z = 0.5 * (z + histogram[rank])
    z += count * _sigma(histogram[0] / count)
    return count / (2 * log(2)) * count / z


def standard_error(precision: int) -> float:
    """Relative standard error of the estimate."""
    return 1.04 / sqrt(1 << precision)


def packed(found: bytes) -> bytes:
    """Write registers with six bits each (a rank is at most 61)."""
    quads = zip(found[0::4], found[1::4], found[2::4], found[3::4], strict=True)
    return b"".join((a << 18 | b << 12 | c << 6 | d).to_bytes(3, "big") for a, b, c, d in quads)


def unpacked(data: bytes) -> bytes:
    """Read what `packed` wrote."""
    out = bytearray()
    for a, b, c in zip(data[0::3], data[1::3], data[2::3], strict=True):
        four = a << 16 | b << 8 | c
        out += bytes((four >> 18, four >> 12 & 63, four >> 6 & 63, four & 63))
    return bytes(out)


def _sigma(x: float) -> float:
    if x == 1:
        return float("inf")
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0, 1):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3
