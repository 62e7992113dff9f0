"""The audit trail: one NDJSON object of one line for each action, under `<pipeline>/audit/` in the quarantine's bucket.

Keys carry the action's own id, so nothing is ever overwritten. A dry run leaves no line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from aetherstream.delivery.put import ObjectStore


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody did."""

    id: str
    """Unique."""
    at: datetime
    by: str
    """Who, as the command or the trigger says."""
    what: str
    """For example `dlq redrive`."""
    target: str
    """The dead letter, or the quarantine objects."""
    result: Mapping[str, Any]

    def line(self) -> bytes:
        """The line, with its newline."""
        facts = {
            "at": self.at.isoformat(timespec="milliseconds"),
            "by": self.by,
            "what": self.what,
            "target": self.target,
            "result": self.result,
            "id": self.id,
        }
        return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)


class Audit:
    """Writes actions."""

    def __init__(self, store: ObjectStore, *, bucket: str, pipeline: str) -> None:
        self._store = store
        self.bucket = bucket
        self.prefix = f"{pipeline}/audit"

    def key(self, action: Action) -> str:
        """Key of the action's object; keys sort by time."""
        return f"{self.prefix}/day={action.at:%Y-%m-%d}/{action.at:%H%M%S.%f}-{action.id}.ndjson"

    def write(self, action: Action) -> str:
        """Write the action's line; returns its key. Raises Retryable and ConfigurationError like every put."""
        key = self.key(action)
        self._store.overwrite(self.bucket, key, action.line(), {})
        return key
