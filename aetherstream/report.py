"""What a batch came to: the accounting, and the response that Lambda reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aetherstream.errors import CONFIGURATION
from aetherstream.timings import Timings

TOO_MANY_GROUPS = "too many groups"
"""Reason of a rejection: a window of an aggregate has all the groups that it may have."""


class AccountingError(RuntimeError):
    """The numbers of a batch do not add up: a bug of ours, found before the batch was called done."""


@dataclass(slots=True)
class SinkCount:
    """One sink's share of a batch, in events."""

    events: int = 0
    """Made for this sink."""
    delivered: int = 0
    quarantined: int = 0
    spilled: int = 0
    """Kept for the sink until its outage is over."""


@dataclass(slots=True)
class AggregateCount:
    """One aggregate's share of a batch, in events."""

    events: int = 0
    folded: int = 0
    late: int = 0
    """Left out because their windows were closed, and not kept (`on_late: drop`)."""
    quarantined: int = 0
    """Refused, or late with `on_late: quarantine`; the sinks have got them."""
    corrected: int = 0
    """Of the folded ones: late for some of their windows at least."""
    skipped: int = 0
    """Values that outputs left aside."""


@dataclass(slots=True)
class Report:
    """The accounting of one batch. Counts are of user records; a Kinesis record that was not opened counts as one."""

    shard: str = ""
    kinesis_records: int = 0
    first: str = ""
    last: str = ""
    records_in: int = 0
    passed: int = 0
    """Records of which at least one event went on to the sinks."""
    quarantined: int = 0
    dropped: int = 0
    """Records of which a filter left nothing."""
    settled: int = 0
    """Kinesis records that an earlier attempt had already settled."""
    left: int = 0
    """Kinesis records left for the next attempt."""
    sinks: dict[str, SinkCount] = field(default_factory=dict)
    aggregates: dict[str, AggregateCount] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    """Quarantined records by `stage: reason`."""
    objects: int = 0
    bytes: int = 0
    """Written to the sinks and the quarantine, compressed."""
    emptied: int = 0
    """Objects of earlier attempts that were emptied."""
    capped: bool = False
    """Whether the batch ended early because a sink may not open more partitions."""
    isolating: bool = False
    """Whether fewer records than there were have been taken, because attempts at this start were killed."""
    epoch: int = 0
    version: str = ""
    timings: Timings = field(default_factory=Timings)
    error: str | None = None
    """Why the batch, or its rest, is left."""
    failed_from: str | None = None
    """Sequence number from which on Lambda is to bring the records again."""

    @property
    def misconfigured(self) -> int:
        """Events that a sink refused because of its own configuration, not for their content."""
        return sum(count for reason, count in self.reasons.items() if reason.startswith(f"deliver: {CONFIGURATION}"))

    @property
    def groups_refused(self) -> int:
        """Events that would have opened a group beyond an aggregate's `max_groups`."""
        return self.reasons.get(f"aggregate: {TOO_MANY_GROUPS}", 0)

    def leave(self, sequence: str, why: str = "") -> None:
        """Note that Lambda is to bring the records from `sequence` on again."""
        self.failed_from = sequence
        self.error = why or None

    def fail(self, why: str) -> None:
        """Note that the whole batch is left: nothing of this attempt counts."""
        self.restart()
        self.leave(self.first, why)
        self.records_in = self.left = self.kinesis_records

    def restart(self) -> None:
        """Forget what has been counted: the batch is looked at anew."""
        self.records_in = self.passed = self.quarantined = self.dropped = self.settled = self.left = 0
        self.sinks, self.aggregates = {}, {}
        self.reasons = {}
        self.objects = self.bytes = 0

    def check(self) -> None:
        """Raise AccountingError where the accounting does not balance."""
        out = self.passed + self.quarantined + self.dropped + self.settled + self.left
        if self.records_in != out:
            raise AccountingError(
                f"{self.records_in} records in, but {self.passed} passed on + {self.quarantined} quarantined + "
                f"{self.dropped} dropped + {self.settled} settled before + {self.left} left = {out}"
            )
        for name, count in self.sinks.items():
            if count.events != count.delivered + count.quarantined + count.spilled:
                raise AccountingError(
                    f"sink {name}: {count.events} events made, but {count.delivered} delivered + "
                    f"{count.quarantined} quarantined + {count.spilled} spilled"
                )

        for name, share in self.aggregates.items():
            if share.events != share.folded + share.late + share.quarantined:
                raise AccountingError(
                    f"aggregate {name}: {share.events} events, but {share.folded} folded + {share.late} late + "
                    f"{share.quarantined} quarantined"
                )

    def totals(self, before: Mapping[str, int]) -> dict[str, int]:
        """Return the shard's running totals after this batch; what is left is not counted before it is done."""
        add = {
            "records": self.passed + self.quarantined + self.dropped,
            "passed": self.passed,
            "quarantined": self.quarantined,
            "dropped": self.dropped,
            "settled": self.settled,
            "objects": self.objects,
            "bytes": self.bytes,
        }
        for name, count in self.sinks.items():
            add[f"{name}.events"] = count.events
            add[f"{name}.delivered"] = count.delivered
            add[f"{name}.quarantined"] = count.quarantined
            if count.spilled:
                add[f"{name}.spilled"] = count.spilled
        for name, share in self.aggregates.items():
            add[f"aggregates.{name}.events"] = share.events
            add[f"aggregates.{name}.folded"] = share.folded
            if share.late:
                add[f"aggregates.{name}.late"] = share.late
            if share.quarantined:
                add[f"aggregates.{name}.quarantined"] = share.quarantined
        return {**before, **{name: before.get(name, 0) + count for name, count in add.items()}}

    def response(self) -> dict[str, Any]:
        """The partial batch response: Lambda retries from `failed_from` on (`ReportBatchItemFailures`)."""
        return {"batchItemFailures": [] if self.failed_from is None else [{"itemIdentifier": self.failed_from}]}
