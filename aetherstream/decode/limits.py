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
    """JSON values in one document: 32 MiB of `[],[],` would be 11 million lists, 700 MB."""
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

    def check_values(self, document: bytes) -> None:
        """Raise Rejected if the document may hold too many values; counts generously, and only in large documents."""
        if len(document) <= 2 * self.max_values:
            return
        if document.count(b",") + document.count(b"[") + document.count(b"{") > self.max_values:
            raise Rejected("too many values", f"more than {self.max_values:,} JSON values in one document")


class Allowance:
    """What is left of a Kinesis record's expansion limit.

    Spent is spent, also by a part that failed: so the work is bounded however many bombs one aggregate holds.
    """

    def __init__(self, limits: Limits) -> None:
        self.left = limits.max_expanded

    def expand(self, kind: str, data: bytes) -> bytes:
        """Expand compressed data within what is left; raise Rejected if it does not fit or is damaged."""
        output = Output(kind, self.left)
        try:
            return expand(data, output)
        finally:
            self.left -= output.size
