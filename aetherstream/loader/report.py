"""What one invocation of the loader did for one table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class LoadReport:
    """One sink."""

    sink: str
    announced: int = 0
    """Objects, each counted once however often it was announced."""
    loaded: int = 0
    rows: int = 0
    """Rows that COPY read of them."""
    known: int = 0
    """Objects that the ledger knew already, loaded or set aside."""
    emptied: int = 0
    """Objects that hold nothing any more."""
    set_aside: int = 0
    """Objects that were set aside now."""
    waiting: int = 0
    """Objects that come again."""
    rewritten: list[str] = field(default_factory=list)
    """`bucket/key` of objects that were loaded and have other bytes now: what was loaded of them stays."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why objects wait."""
    faults: dict[str, str] = field(default_factory=dict)
    """`bucket/key` of the objects that were set aside now → why."""
    loads: list[str] = field(default_factory=list)
    """Ids of the loads that brought rows."""
    failed: int = 0
    """Loads that were refused, and one more where something else hindered."""
    misconfigured: bool = False
    """Whether somebody has to change the deployment or the table before all of it loads."""
    trouble: str = ""
    """What hindered."""
    changes: list[str] = field(default_factory=list)
    """What was changed of the table first."""
    oldest: float | None = None
    """Seconds since the oldest of the objects that were loaded now, or wait, was put."""
    seconds: float = 0.0

    @property
    def is_bad(self) -> bool:
        """Whether something went wrong."""
        return bool(self.trouble or self.failed or self.set_aside)

    @property
    def needs_somebody(self) -> bool:
        """Whether it does not come right by itself."""
        return self.misconfigured or bool(self.rewritten)

    def as_json(self) -> dict[str, Any]:
        """For the log, without what says nothing."""
        told = {
            "announced": self.announced,
            "loaded": self.loaded,
            "rows": self.rows,
            "known": self.known,
            "emptied": self.emptied,
            "set_aside": self.faults or self.set_aside,
            "waiting": dict(self.reasons) or self.waiting,
            "rewritten": self.rewritten,
            "loads": self.loads,
            "failed": self.failed,
            "trouble": self.trouble,
            "changes": self.changes,
            "oldest": None if self.oldest is None else round(self.oldest, 1),
            "seconds": round(self.seconds, 3),
        }
        return {name: value for name, value in told.items() if value not in (None, "", 0, [], {})}

    def metrics(self) -> dict[str, float]:
        """What is measured, by name; ages and times in seconds."""
        measured: dict[str, float] = {
            "LoadObjects": self.loaded,
            "LoadRows": self.rows,
            "LoadWaiting": self.waiting,
            "LoadSetAside": self.set_aside,
            "LoadFailed": self.failed,
            "LoadMisconfigured": int(self.misconfigured),
            "LoadRewritten": len(self.rewritten),
            "LoadSeconds": self.seconds,
        }
        return measured if self.oldest is None else {**measured, "LoadOldestAge": self.oldest}


@dataclass(slots=True)
class Handled:
    """What became of the messages of one invocation."""

    messages: int = 0
    again: list[str] = field(default_factory=list)
    """Ids of those that come again."""
    refused: int = 0
    """How many went to the dead letters: this loader is not for them."""
    reports: list[LoadReport] = field(default_factory=list)
    """One a sink of which something was announced."""
    trouble: str = ""
    """What hindered before or after the loads: the progress items, or the queue."""
