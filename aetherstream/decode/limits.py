"""How much one Kinesis record may turn into, so that no record can take the function's memory or time away."""

from __future__ import annotations

from dataclasses import dataclass

from aetherstream.decode.compression import Output, expand
from aetherstream.errors import ConfigurationError, Rejected

_DEEPEST = 254
"""orjson writes at most 254 levels (it reads 1,024)."""


@dataclass(frozen=True)
class Limits:
    """Bounds for one Kinesis record."""

    max_expanded: int = 32 << 20
    """Bytes that all compressed parts of the record may expand to, together."""
    max_records: int = 100_000
    """User records."""
    max_values: int = 2_000_000
    """JSON values in all that was compressed: 32 MiB of `[],[],` would be 11 million lists, 700 MB. Counted by commas
    and opening brackets, those in strings too. What came uncompressed is bounded by Lambda's 6 MB."""
    max_depth: int = 200
    """Levels of objects and arrays in one event."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ConfigurationError(f"decode: {name} is {value}; it has to be at least 1")
        if self.max_depth > _DEEPEST:
            raise ConfigurationError(
                f"decode: max_depth is {self.max_depth}; events deeper than {_DEEPEST} can't be written as JSON again"
            )

    def check_records(self, count: int) -> None:
        """Raise Rejected if so many user records are too many for one Kinesis record."""
        if count > self.max_records:
            raise Rejected("too many records", f"more than {self.max_records:,} user records in one Kinesis record")


class Allowance:
    """What one Kinesis record may still expand to.

    Spent is spent, also by a part that failed: so the work is bounded however many bombs one aggregate holds.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = limits.max_expanded
        self._values = 0
        self._uncounted: list[bytes] = []
        self._uncounted_bytes = 0

    def expand(self, kind: str, data: bytes) -> bytes:
        """Expand compressed data within what is left; raise Rejected if it does not fit or is damaged."""
        output = Output(kind, self._bytes)
        try:
            return expand(data, output)
        finally:
            self._bytes -= output.size

    def take_values(self, document: bytes) -> None:
        """Account for the values of an expanded document; raise Rejected if they are too many to be parsed.

        Documents are counted only when their bytes are so many that their values might be too.
        """
        self._uncounted.append(document)
        self._uncounted_bytes += len(document)
        if self._values + self._uncounted_bytes <= self._limits.max_values:
            return
        self._values += sum(d.count(b",") + d.count(b"[") + d.count(b"{") for d in self._uncounted)
        self._uncounted.clear()
        self._uncounted_bytes = 0
        if self._values > self._limits.max_values:
            raise Rejected(
                "too many values", f"more than {self._limits.max_values:,} JSON values in what the record expands to"
            )
