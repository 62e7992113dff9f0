"""What a unit is, and what follows from that for the shard's mark and for what stands in the quarantine. Pure."""

from __future__ import annotations

from typing import Literal

from aetherstream.delivery.progress import Progress
from aetherstream.engine import RECREATED_TOLERANCE
from aetherstream.errors import ConfigurationError, UsageError
from aetherstream.records import KinesisRecords, sortable
from aetherstream.recovery.held import Held
from aetherstream.recovery.redrive_report import RedriveReport
from aetherstream.recovery.unit import without

Origin = Literal["dead_letter", "quarantine", "replay"]
"""What the unit is.

`dead_letter`: Lambda has given it up, so the shard's mark moves past it; what stands in the quarantine stays there.
`quarantine`: envelopes; the mark is left alone, and records that pass now are delivered though they stand in the
quarantine. `replay`: records read again; the mark and the quarantine are left alone.
"""


class BeyondTheMark(UsageError):
    """The unit has records that the stream function has not settled yet: they are its own to deliver."""


def check_mark(item: Progress, unit: KinesisRecords, origin: Origin) -> None:
    """Raise BeyondTheMark, or ConfigurationError for a unit of another stream of that name."""
    if item.completed >= sortable(unit.sequences[-1]):
        return
    if origin != "dead_letter":
        raise BeyondTheMark(
            f"{unit.shard}: the unit ends at {unit.sequences[-1]}, and the stream function has settled records up to "
            f"{item.completed[3:] or 'none'} only: it delivers what is behind that itself"
        )
    if unit.arrivals[-1] + RECREATED_TOLERANCE < item.completed_arrival / 1000:
        raise ConfigurationError(
            f"{item.key}: record {unit.sequences[-1]} lies behind the shard's mark but arrived "
            f"{item.completed_arrival / 1000 - unit.arrivals[-1]:.0f} s before it: it is of another stream of that name"
        )


def excluded(before: Progress, unit: KinesisRecords, origin: Origin) -> set[str]:
    """`bucket/key` of the objects that a redrive would empty before it looks."""
    passes = origin == "dead_letter" and before.completed < sortable(unit.sequences[-1])
    return {*before.redrive_keys, *(before.open if passes else ())}


def undecided(unit: KinesisRecords, held: Held, origin: Origin, report: RedriveReport) -> KinesisRecords:
    """The unit without what stands in the quarantine whole, and stays there.

    Not even decoded: a record that is quarantined whole may be one that kills the process.
    """
    if origin == "quarantine":
        return unit
    left = without(unit, held.quarantined)
    report.records += len(unit) - len(left)
    report.still_quarantined += len(unit) - len(left)
    return left
