"""What an attempt is going to write: which objects, under which keys, holding which events. Pure.

An object's key follows from the first position of its own events. So a retry whose part of the batch contains that
event makes the same key again, however the batch was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aetherstream.core import Core, Prepared
from aetherstream.quarantine import Quarantine
from aetherstream.records import Events, KinesisRecords, Rejection, event_ids, sortable
from aetherstream.sinks.base import ObjectSink

EVENT_ID = "_event_id"
"""Field of every line that is written: the event's identity, `shard:sequence:sub[:n]`."""
IDENTITY = "_identity"
"""Field of every line where the pipeline names an `identity:`."""


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
    ids: list[str]
    """Event ids, a column beside the events."""
    objects: list[PlannedObject] = field(default_factory=list)
    quarantine: str = ""
    """Key of the attempt's quarantine object; every claim reserves it."""
    capped: bool = False
    """Whether the records end early because a sink may not open more partitions."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be written anywhere."""
        return not self.prepared.events.values and not self.prepared.rejections


class Planner:
    """Makes plans for the sinks of one pipeline."""

    def __init__(self, core: Core, sinks: Sequence[ObjectSink], quarantine: Quarantine) -> None:
        self._core = core
        self._sinks = list(sinks)
        self._quarantine = quarantine

    def plan(self, batch: KinesisRecords, prepared: Prepared) -> Plan:
        """Place the prepared events. Where a sink has too many partitions, the plan covers fewer records."""
        groups = self._place(prepared)
        end = min((_cap(paths, sink.max_partitions, prepared) for sink, paths in groups), default=prepared.end)
        if end < prepared.end:
            # Prepared again, and not cut: so that everything that is counted speaks of these records alone.
            plan = self.plan(batch, self._core.prepare(batch, prepared.start, end))
            plan.capped = True
            return plan
        events = prepared.events
        plan = Plan(prepared, event_ids(batch.shard, batch.sequences, events))
        for value, event_id in zip(events.values, plan.ids, strict=True):
            value[EVENT_ID] = event_id
        if events.identities is not None:
            for value, identity in zip(events.values, events.identities, strict=True):
                value[IDENTITY] = identity
        for sink, paths in groups:
            for path, members in paths.items():
                record, sub = events.records[members[0]], events.subs[members[0]]
                key = sink.target.key(path, batch.shard, _position(batch, record, sub))
                plan.objects.append(PlannedObject(sink, sink.target.bucket, key, record, members))
        start = prepared.start
        plan.quarantine = self._quarantine.key(batch, start, _position(batch, start, 0))
        return plan

    def _place(self, prepared: Prepared) -> list[tuple[ObjectSink, dict[str, list[int]]]]:
        """Group the events by sink and partition; a record of which an event can't be placed is rejected whole."""
        events = prepared.events
        while True:
            groups = []
            refused: list[Rejection] = []
            for sink in self._sinks:
                paths, errors = sink.partition(events, routed(events, sink.name))
                groups.append((sink, paths))
                where = f"sinks.{sink.name}.partition"
                refused += [
                    Rejection(events.records[i], events.subs[i], "partition", where, e.reason, e.message)
                    for i, e in errors.items()
                ]
            if not refused:
                return groups
            first_of = {(rejection.record, rejection.sub or 0): rejection for rejection in reversed(refused)}
            prepared.rejections += first_of.values()
            events.remove(first_of.keys())


def routed(events: Events, sink: str) -> Sequence[int]:
    """Indices of the events that go to this sink."""
    if events.routes is None:
        return range(len(events))
    return [index for index, sinks in enumerate(events.routes) if sinks is None or sink in sinks]


def _cap(paths: dict[str, list[int]], most: int, prepared: Prepared) -> int:
    """Index of the first record that opens a partition too many; a single record may open as many as it likes."""
    if len(paths) <= most:
        return prepared.end
    firsts = sorted(members[0] for members in paths.values())
    return max(prepared.events.records[firsts[most]], prepared.start + 1)


def _position(batch: KinesisRecords, record: int, sub: int) -> str:
    return f"{sortable(batch.sequences[record])}-{sub:06d}"
