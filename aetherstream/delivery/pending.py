"""Where the redo log of a shard's last commit is: a field of the progress item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Pending:
    """Where the log of a commit is (docs/adr/0026-numbered-commits.md)."""

    commit: int
    """Number of the commit whose log it is: the last one that folded anything."""
    inline: bytes | None = None
    bucket: str = ""
    key: str = ""


def to_attribute(pending: Pending) -> dict[str, Any]:
    """Write it as a DynamoDB attribute value."""
    found: dict[str, Any] = {"commit": {"N": str(pending.commit)}}
    if pending.inline is not None:
        return {"M": {**found, "inline": {"B": pending.inline}}}
    return {"M": {**found, "bucket": {"S": pending.bucket}, "key": {"S": pending.key}}}


def from_attribute(value: Mapping[str, Any]) -> Pending:
    """Read a DynamoDB attribute value."""
    found = value["M"]
    commit = int(found["commit"]["N"])
    if "inline" in found:
        return Pending(commit, inline=bytes(found["inline"]["B"]))
    return Pending(commit, bucket=found["bucket"]["S"], key=found["key"]["S"])
