"""What an attempt is going to write: which objects, under which keys, holding which events. Pure.

An object's key follows from the first position of its own events. So a retry whose part of the batch contains that
event makes the same key again, however the batch was cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aetherstream.core import Core, Groups, Prepared
from aetherstream.quarantine import Quarantine
from aetherstream.records import KinesisRecords, sortable
from aetherstream.sinks.base import ObjectSink
from aetherstream.spill import Spill


@dataclass(slots=True)
class PlannedObject:
    """A partition of a sink that is to become an object."""

    sink: ObjectSink
    bucket: str
    key: str
    first: int
    """Index in the batch of the Kinesis record of its first event."""
    members: list[int]
    """Indices of its events, ascending."""

    @property
    def location(self) -> str:
        """`bucket/key`, as the progress item notes it."""
        return f"{self.bucket}/{self.key}"


@dataclass(slots=True)
class Plan:
    """What an attempt is going to deliver."""

    prepared: Prepared
    objects: list[PlannedObject] = field(default_factory=list)
    quarantine: str = ""
    """`bucket/key` of the attempt's quarantine object; every claim reserves it, and"""
    spills: dict[str, str] = field(default_factory=dict)
    """`bucket/key` of its spill object by per-record sink that has one."""
    capped: bool = False
    """Whether the records end early because a sink may not open more partitions."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be written anywhere."""
        return not len(self.prepared.events) and not self.prepared.rejections


class Planner:
    """Makes plans for the sinks of one pipeline."""

    def __init__(self, core: Core, quarantine: Quarantine, spills: Iterable[Spill] = ()) -> None:
        self._core = core
        self._quarantine = quarantine
        self._spills = list(spills)

    def plan(self, batch: KinesisRecords, prepared: Prepared) -> Plan:
        """Name the objects. Where a sink has too many partitions, the plan covers fewer records."""
        sinks = self._core.sinks
        end = min(
            (_cap(prepared.groups[sink.name], sink.max_partitions, prepared) for sink in sinks if prepared.groups),
            default=prepared.end,
        )
        if end < prepared.end:
            # Prepared again, and not cut: so that everything that is counted speaks of these records alone.
            plan = self.plan(batch, self._core.prepare(batch, prepared.start, end))
            plan.capped = True
            return plan
        events = prepared.events
        plan = Plan(prepared, quarantine=_location(self._quarantine, batch, prepared.start))
        plan.spills = {spill.sink: _location(spill, batch, prepared.start) for spill in self._spills}
        for sink in sinks:
            for path, members in prepared.groups.get(sink.name, {}).items():
                record, sub = events.records[members[0]], events.subs[members[0]]
                key = sink.target.key(path, batch.shard, _position(batch, record, sub))
                plan.objects.append(PlannedObject(sink, sink.target.bucket, key, record, members))
        return plan


def _cap(paths: Groups, most: int, prepared: Prepared) -> int:
    """Index of the first record that opens a partition too many; a single record may open as many as it likes."""
    if len(paths) <= most:
        return prepared.end
    firsts = sorted(members[0] for members in paths.values())
    return max(prepared.events.records[firsts[most]], prepared.start + 1)


def _location(keeper: Quarantine | Spill, batch: KinesisRecords, first: int) -> str:
    return f"{keeper.target.bucket}/{keeper.key(batch, first, _position(batch, first, 0))}"


def _position(batch: KinesisRecords, record: int, sub: int) -> str:
    return f"{sortable(batch.sequences[record])}-{sub:06d}"
