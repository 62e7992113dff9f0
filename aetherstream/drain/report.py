"""What one run of the drain did for one sink, and how its breaker and its spill stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aetherstream.delivery.breaker_item import BreakerItem, State
from aetherstream.drain.backlog import NAMED, Backlog


@dataclass(slots=True)
class DrainReport:
    """One sink."""

    sink: str
    state: State | None = None
    """None: the breaker's item could not be read."""
    since: int = 0
    """Epoch milliseconds; 0: always."""
    why: str = ""
    by: str = ""
    held: bool = False
    """Opened by hand: it stays open until it is closed by hand."""
    probe_at: int = 0
    """While open: when the next probe is due, epoch milliseconds."""
    failed_probes: int = 0
    drained: int = 0
    """Documents that the sink has now; also those that it had before."""
    rejected: int = 0
    """Documents that the sink refused for good and that stand in the quarantine now."""
    configuration: int = 0
    """How many of these it refused for a cause that somebody has to mend: an index that is closed or missing."""
    emptied: int = 0
    """Spill objects that are done."""
    objects: int = 0
    """Spill objects that wait, after the run."""
    bytes: int = 0
    looked: bool = False
    """Whether the spill could be listed: without it, what is said of objects says nothing."""
    oldest: float | None = None
    """Age of the oldest of them, seconds."""
    unfinished: int = 0
    """Objects that were met and are not final: the shard's mark has not passed all of their rows."""
    left: int = 0
    """Objects of which the sink would not take every document."""
    unusable: list[str] = field(default_factory=list)
    """What below the spill's prefix the engine did not write so, and why; named."""
    unusables: int = 0
    """How many of these there are."""
    stopped: str = ""
    """Why the run ended before the spill did; empty where it did not."""
    trouble: str = ""
    """What hindered the run and is no fault of the sink."""

    def tell(self, item: BreakerItem) -> None:
        """Take in how the breaker stands."""
        self.state, self.since, self.why, self.by = item.state, item.since, item.why, item.by
        self.held, self.failed_probes = item.held, item.probes
        self.probe_at = item.probe_at if item.state == "open" and not item.held else 0

    def name_unusable(self, message: str) -> None:
        """Name an object that the engine did not write so, unless enough are named."""
        if len(self.unusable) < NAMED:
            self.unusable.append(message)

    def count(self, backlog: Backlog, now: float) -> None:
        """Take in what waits; `now`: epoch seconds."""
        self.looked = True
        self.objects, self.bytes = backlog.objects, backlog.bytes
        self.oldest = None if backlog.oldest is None else max(0.0, now - backlog.oldest)

    def as_json(self) -> dict[str, Any]:
        """For people and programs; times in ISO 8601."""
        return {
            "sink": self.sink,
            "state": self.state,
            "since": _time(self.since),
            "why": self.why,
            "by": self.by,
            "held": self.held,
            "probe_at": _time(self.probe_at),
            "failed_probes": self.failed_probes,
            "drained": self.drained,
            "rejected": self.rejected,
            "configuration": self.configuration,
            "emptied": self.emptied,
            "objects": self.objects,
            "bytes": self.bytes,
            "oldest": None if self.oldest is None else round(self.oldest, 1),
            "unfinished": self.unfinished,
            "left": self.left,
            "unusable": self.unusable,
            "unusables": self.unusables,
            "stopped": self.stopped,
            "trouble": self.trouble,
        }


def _time(milliseconds: int) -> str | None:
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
