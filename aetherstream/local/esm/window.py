"""Tumbling windows: per-shard state over records that arrived in the same span of time.

Chosen where AWS is silent: windows are aligned to the epoch; a record that arrives with a time before the open window
counts into the open one; after an early end the next window has the same bounds and starts with `{}`.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

from aetherstream.local.esm.events import compact_json

STATE_LIMIT = 1024 * 1024
"""Bytes of state as JSON (AWS: 1 MB per shard)."""

IDLE_SECONDS = 120.0
"""How long after its end a window without newer records stays open (AWS: up to 2 minutes)."""


@dataclass(slots=True)
class TumblingWindow:
    """The open window of a shard, `[start, end)` in epoch seconds of arrival."""

    start: float
    end: float
    state: dict[str, Any] = field(default_factory=dict)
    early: bool = False

    @classmethod
    def around(cls, arrival: float, seconds: int, not_before: float) -> "TumblingWindow":
        """The window of a record that arrived at `arrival`; never before `not_before`, where the last one left off."""
        start = max(arrival // seconds * seconds, not_before)
        return cls(start, start + seconds)

    def keep(self, state: dict[str, Any]) -> None:
        """Take the state that a response returned; too large a one ends the window early."""
        self.state = copy.deepcopy(state)
        self.early = len(compact_json(state)) > STATE_LIMIT
