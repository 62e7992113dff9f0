"""What a redrive came to: the accounting of one unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from aetherstream.report import AccountingError, AggregateCount


@dataclass(slots=True)
class RedriveCount:
    """One sink's share, in events that were chosen for it."""

    events: int = 0
    held: int = 0
    """That it held already, or that stand in the quarantine because it refused them."""
    delivered: int = 0
    """To a per-record sink: handed over again, whether or not it held them."""
    quarantined: int = 0
    """That it refused now."""
    left: int = 0
    """That it could not take now."""


@dataclass(slots=True)
class RedriveReport:
    """The accounting of a unit. Counts are of user records; a Kinesis record that was not opened counts as one."""

    shard: str = ""
    origin: str = ""
    """`dead_letter`, `quarantine` or `replay`; `discard` where a dead letter was settled without delivering it."""
    kinesis_records: int = 0
    first: str = ""
    last: str = ""
    """Sequence numbers."""
    dry_run: bool = False
    records: int = 0
    passed: int = 0
    """Of which at least one event went to a sink now."""
    held: int = 0
    """Whose events stood in every object sink that they go to already; or that are refused, though a sink has them."""
    held_refused: int = 0
    """Of a replay: how many of these are refused, so that a sink without their events does not get them."""
    quarantined: int = 0
    """That were refused, and are in the quarantine now for the first time."""
    still_quarantined: int = 0
    """That stood in the quarantine, and stay there."""
    dropped: int = 0
    """Of which a filter left nothing."""
    not_chosen: int = 0
    left: int = 0
    """Of which a per-record sink could not take an event now: redrive the unit again."""
    sinks: dict[str, RedriveCount] = field(default_factory=dict)
    aggregates: dict[str, AggregateCount] = field(default_factory=dict)
    """Of the events that nobody had folded."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Refused now, whether or not it stood in the quarantine before: `stage: reason` → how many."""
    still_refused: list[str] = field(default_factory=list)
    """Ids (`shard:sequence[:sub]`) of the user records that were refused now; and of no others."""
    undelivered: dict[str, str] = field(default_factory=dict)
    """What is left, by event id, and why."""
    objects: list[str] = field(default_factory=list)
    """`bucket/key` of what was put; of a dry run, what would be."""
    bytes: int = 0
    emptied: int = 0
    """Objects of unfinished attempts and redrives that were emptied."""
    numbers: list[int] = field(default_factory=list)
    """The epochs of this redrive."""
    version: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing of the unit is left for another redrive."""
        return self.origin == "discard" or not (self.left or self.not_chosen)

    def count(self, sink: str) -> RedriveCount:
        """One sink's share."""
        return self.sinks.setdefault(sink, RedriveCount())

    def fold(self, counts: Mapping[str, AggregateCount]) -> None:
        """Add what a part brought to the aggregates."""
        for name, count in counts.items():
            before = asdict(self.aggregates.get(name, AggregateCount()))
            self.aggregates[name] = AggregateCount(
                **{each: before[each] + more for each, more in asdict(count).items()}
            )

    def refuse(self, names: list[str], reasons: Counter[str]) -> None:
        """Note what was refused."""
        self.still_refused += names
        self.reasons = dict(Counter(self.reasons) + reasons)

    def check(self) -> None:
        """Raise AccountingError where the accounting does not balance."""
        parts = {
            "passed on": self.passed,
            "held already": self.held,
            "quarantined": self.quarantined,
            "in the quarantine before": self.still_quarantined,
            "dropped": self.dropped,
            "not chosen": self.not_chosen,
            "left": self.left,
        }
        if self.records != sum(parts.values()):
            told = " + ".join(f"{number} {name}" for name, number in parts.items())
            raise AccountingError(f"{self.records} records in the unit, but {told} = {sum(parts.values())}")
        for name, count in self.sinks.items():
            if count.events != count.held + count.delivered + count.quarantined + count.left:
                raise AccountingError(f"sink {name}: {count} does not balance")
        for name, share in self.aggregates.items():
            if share.events != share.folded + share.late + share.quarantined:
                raise AccountingError(f"aggregate {name}: {share} does not balance")

    def totals(self, sinks: Iterable[str]) -> dict[str, int]:
        """What it adds to the shard's totals of redrives (`Progress.redriven`).

        User records `delivered` of dead letters, `replayed` from the quarantine, and `quarantined`; by sink of those
        named, the events `delivered`. What was found held is not counted: it was counted when it was delivered. By
        aggregate, the events `folded`, `late` and `quarantined`.
        """
        found = {"dead_letter": {"delivered": self.passed}, "quarantine": {"replayed": self.passed}}
        delivered = {f"{name}.delivered": self.sinks[name].delivered for name in sinks if name in self.sinks}
        folded = {
            f"aggregates.{name}.{what}": getattr(count, what)
            for name, count in self.aggregates.items()
            for what in ("events", "folded", "late", "quarantined")
            if getattr(count, what)
        }
        return {**found.get(self.origin, {}), "quarantined": self.quarantined, **delivered, **folded}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "finished": self.finished}
