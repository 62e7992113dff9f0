"""What is known about one sink's circuit breaker, shared by every process; and the steps from one state to the next.

The item is written whole, on the condition that its revision is the one that was read, as progress items are; whoever
acts on a stale picture learns the present one by the write that fails. The steps are pure: times are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

State = Literal["closed", "open", "half_open"]

LONGEST_WAIT = 300.0
"""Seconds: waits for the next probe double up to this (or stay at `probe_after`, where that is longer)."""

OVERDUE = 300.0
"""Seconds that a probe may be due before the stream function lets live traffic probe: nobody runs the drain."""

PREFIX = "#breaker#"
"""Begins the keys of breakers. No pipeline has an empty name, so no progress item's key begins so."""

_WORDS = 500
"""Most characters that are kept of a cause."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a breaker opens, and how patient it is: the pipeline file's `breaker`."""

    failures: int = 5
    """Consecutive requests in which every document failed that open it."""
    share: float = 0.5
    """Share of the documents of the last `window` seconds that opens it by failing."""
    window: float = 60.0
    """Seconds."""
    patience: float = 15.0
    """Most seconds that one delivery may take."""
    probe_after: float = 30.0
    """Seconds from the first opening to the first probe."""


@dataclass(frozen=True, slots=True)
class DrainLease:
    """Who drains the sink's spill now."""

    owner: str
    """For people."""
    number: int
    """Raised by every taking; tells this drain from every other one."""
    until: int
    """When another drain may take it, epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a drain came in a spill object that it could not finish."""

    key: str
    etag: str
    """Of the object as it was read; another one makes the cursor void."""
    rows: int
    """So many of its first rows are delivered or stand in the quarantine."""


@dataclass(frozen=True, slots=True)
class BreakerItem:
    """The breaker of one (pipeline, sink)."""

    key: str
    revision: int = 0
    """Raised by every write; 0 means that nothing is stored: closed."""
    state: State = "closed"
    since: int = 0
    """When the state began, epoch milliseconds; 0: always."""
    why: str = ""
    """What brought the state about, in words."""
    by: str = ""
    """Who did: `stream`, `drain`, or a person."""
    wait: int = 0
    """Milliseconds from the last opening or failed probe to the next probe."""
    probe_at: int = 0
    """While open: when a probe is due, epoch milliseconds."""
    held: bool = False
    """Opened by hand: it stays open, without probes, until it is closed by hand."""
    answered: bool = False
    """While half open: whether the sink has taken documents since."""
    opened: int = 0
    """How often it has opened in all."""
    probes: int = 0
    """How many probes have failed since it was last closed."""
    lease: DrainLease | None = None
    number: int = 0
    """Number of the last lease."""
    unclean: int = 0
    """When a lease was last taken whose holder had not given it back, epoch milliseconds."""
    cursor: Cursor | None = None
    others: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the stored item that this version does not know; written back as they came."""


class BreakerStore(Protocol):
    """Where the breakers' items live. Implementations are safe to use from one thread at a time."""

    def read(self, key: str, /) -> BreakerItem:
        """The item as it stands now (strongly consistent); `BreakerItem(key)` where there is none.

        Raises Retryable when the store is down; ConfigurationError when it may not be read.
        """

    def write(self, item: BreakerItem, /) -> BreakerItem | None:
        """Store `item` if the stored revision is `item.revision - 1` (0: nothing is stored).

        Returns None when it was written, otherwise the item that is stored. A write of which only the answer was lost
        may come back as its own conflict: the caller compares. Raises like `read`; Retryable: the outcome is unknown.
        """


def breaker_key(pipeline: str, sink: str) -> str:
    """Key of the item in the progress table."""
    return f"{PREFIX}{pipeline}#{sink}"


def due(item: BreakerItem, now: float, *, late: float = 0.0) -> bool:
    """Tell whether a probe has been due for `late` seconds."""
    return item.state == "open" and not item.held and now * 1000 >= item.probe_at + late * 1000


# -- The steps; each gives the item to be written ------------------------------------------------------------------


def opened(item: BreakerItem, now: float, why: str, by: str, rules: Rules) -> BreakerItem:
    """Open it, or open it again: from half open, and where a probe has failed, the next one waits twice as long."""
    first = round(rules.probe_after * 1000)
    again = item.state != "closed"
    wait = min(item.wait * 2, max(first, round(LONGEST_WAIT * 1000))) if again and item.wait else first
    at = round(now * 1000)
    return replace(
        item,
        revision=item.revision + 1,
        state="open",
        since=item.since if item.state == "open" else at,
        why=why[:_WORDS],
        by=by,
        wait=wait,
        probe_at=at + wait,
        held=False,
        answered=False,
        opened=item.opened + (item.state == "closed"),
        probes=item.probes + again,
    )


def held_open(item: BreakerItem, now: float, why: str, by: str) -> BreakerItem:
    """Open it by hand: it stays so until it is closed by hand."""
    return replace(
        item,
        revision=item.revision + 1,
        state="open",
        since=item.since if item.state == "open" else round(now * 1000),
        why=why[:_WORDS],
        by=by,
        held=True,
        answered=False,
        opened=item.opened + (item.state == "closed"),
    )


def half_opened(item: BreakerItem, now: float, why: str, by: str, *, answered: bool) -> BreakerItem:
    """Let live traffic flow again; `answered`: the sink has taken documents."""
    return replace(
        item,
        revision=item.revision + 1,
        state="half_open",
        since=round(now * 1000),
        why=why[:_WORDS],
        by=by,
        held=False,
        answered=answered,
    )


def has_answered(item: BreakerItem) -> BreakerItem:
    """Note that the sink has taken documents while half open."""
    return replace(item, revision=item.revision + 1, answered=True)


def closed(item: BreakerItem, now: float, why: str, by: str) -> BreakerItem:
    """Close it: what came before counts no more."""
    return replace(
        item,
        revision=item.revision + 1,
        state="closed",
        since=round(now * 1000),
        why=why[:_WORDS],
        by=by,
        wait=0,
        probe_at=0,
        held=False,
        answered=False,
        probes=0,
    )
