"""Two pipelines over the same records, and what the second would change. Pure: nothing is delivered.

Events are matched by their ids, which follow from the position in the stream; so an event that moves to another
partition, or changes a field, is seen as changed, not as one missing and one added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from aetherstream.core import Core
from aetherstream.encoded import EVENT_ID, parsed
from aetherstream.records import Event, KinesisRecords, Rejection

PARTITION: Final = "(partition)"
"""Stands among the changed fields for the partition that an event goes to."""

Line = tuple[str, bytes]
"""An event as a sink would get it: partition path, JSON."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a record is rejected."""

    stage: str
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason} ({self.where})"


@dataclass(slots=True)
class Made:
    """What a pipeline makes of a unit of records."""

    records: int = 0
    """User records."""
    sinks: dict[str, dict[str, Line]] = field(default_factory=dict)
    """By sink, the events by id."""
    rejected: dict[str, tuple[Cause, str]] = field(default_factory=dict)
    """By record (`shard:sequence[:sub]`): why, and the message."""
    dropped: int = 0


def make(core: Core, batch: KinesisRecords) -> Made:
    """Run the pure part of a pipeline over records."""
    prepared = core.prepare(batch, 0, len(batch))
    events = prepared.events
    made = Made(records=len(prepared.seen), dropped=prepared.dropped)
    for name, places in prepared.groups.items():
        made.sinks[name] = {
            events.ids[index]: (path, events.lines([index], name).rstrip(b"\n"))
            for path, members in places.items()
            for index in members
        }
    for rejection in prepared.rejections:
        cause = Cause(rejection.stage, rejection.where, rejection.reason)
        made.rejected[_record_id(batch, rejection)] = cause, rejection.message
    return made


def _record_id(batch: KinesisRecords, rejection: Rejection) -> str:
    at = f"{batch.shard}:{batch.sequences[rejection.record]}"
    return at if rejection.sub is None else f"{at}:{rejection.sub}"


@dataclass(frozen=True, slots=True)
class Change:
    """A field of an event that differs; `None` where a side does not have it."""

    field: str
    before: str | None
    """As JSON."""
    after: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """One event that differs."""

    kind: str
    """`added`, `missing` or `changed`."""
    id: str
    event: Event | None = None
    """Added or missing: the event."""
    why: str = ""
    """Added or missing: what the other pipeline does with its record, as far as that is known."""
    changes: Sequence[Change] = ()


@dataclass(slots=True)
class SinkDiff:
    """What changes for one sink, in events."""

    before: int = 0
    after: int = 0
    same: int = 0
    added: int = 0
    missing: int = 0
    changed: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    """Of how many changed events each field differs."""
    why_missing: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class Diff:
    """What changes for all records that were looked at. Its size does not grow with them."""

    keep: int = 3
    """How many examples of each kind it keeps."""
    records: int = 0
    sinks: dict[str, SinkDiff] = field(default_factory=dict)
    rejected_before: int = 0
    rejected_after: int = 0
    only_before: Counter[Cause] = field(default_factory=Counter)
    """Rejections that the candidate does not make, or makes for another cause."""
    only_after: Counter[Cause] = field(default_factory=Counter)
    messages: dict[Cause, tuple[str, str]] = field(default_factory=dict)
    """For each of those causes: the first record and its message."""
    dropped_before: int = 0
    dropped_after: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether both pipelines do the same with everything."""
        moved = any(sink.added or sink.missing or sink.changed for sink in self.sinks.values())
        return not (moved or self.only_before or self.only_after or self.dropped_before != self.dropped_after)

    def add(self, before: Made, after: Made) -> None:
        """Take in what both pipelines made of the same unit."""
        self.records += max(before.records, after.records)
        self.dropped_before += before.dropped
        self.dropped_after += after.dropped
        for name in dict.fromkeys([*before.sinks, *after.sinks]):
            self._add_sink(name, before, after)
        self.rejected_before += len(before.rejected)
        self.rejected_after += len(after.rejected)
        for record in dict.fromkeys([*before.rejected, *after.rejected]):
            was, now = before.rejected.get(record), after.rejected.get(record)
            if was is not None and now is not None and was[0] == now[0]:
                continue
            for found, counter in ((was, self.only_before), (now, self.only_after)):
                if found is not None:
                    counter[found[0]] += 1
                    self.messages.setdefault(found[0], (record, found[1]))

    def _add_sink(self, name: str, before: Made, after: Made) -> None:
        diff = self.sinks.setdefault(name, SinkDiff())
        old, new = before.sinks.get(name, {}), after.sinks.get(name, {})
        diff.before += len(old)
        diff.after += len(new)
        for event_id, line in old.items():
            if event_id not in new:
                why = _why(event_id, name, after)
                diff.missing += 1
                diff.why_missing[why] += 1
                self._note(diff, "missing", event_id, line, why)
                continue
            changes = list(changes_of(line, new[event_id]))
            if not changes:
                diff.same += 1
                continue
            diff.changed += 1
            diff.fields.update(change.field for change in changes)
            if self._wants(diff, "changed"):
                diff.examples.append(Example("changed", event_id, changes=changes))
        for event_id, line in new.items():
            if event_id not in old:
                diff.added += 1
                self._note(diff, "added", event_id, line, _why(event_id, name, before))

    def _note(self, diff: SinkDiff, kind: str, event_id: str, line: Line, why: str) -> None:
        if self._wants(diff, kind):
            event = parsed(line[1])
            event.pop(EVENT_ID)
            diff.examples.append(Example(kind, event_id, event, why))

    def _wants(self, diff: SinkDiff, kind: str) -> bool:
        return sum(example.kind == kind for example in diff.examples) < self.keep


def _why(event_id: str, sink: str, made: Made) -> str:
    """What a pipeline did with the record of an event that it did not make for a sink."""
    record = ":".join(event_id.split(":")[:3])
    found = made.rejected.get(record) or made.rejected.get(record.rpartition(":")[0])
    if found is not None:
        return f"rejected: {found[0]}"
    if sink not in made.sinks:
        return "there is no such sink"
    if any(event_id in events for name, events in made.sinks.items() if name != sink):
        return "routed elsewhere"
    return "dropped, or not made"


def changes_of(before: Line, after: Line) -> Iterator[Change]:
    """The fields that differ between two forms of an event, by dotted path; and its partition."""
    if before[0] != after[0]:
        yield Change(PARTITION, before[0], after[0])
    if before[1] == after[1]:
        return
    old, new = dict(_leaves("", parsed(before[1]))), dict(_leaves("", parsed(after[1])))
    for path in dict.fromkeys([*old, *new]):
        if old.get(path) != new.get(path):
            yield Change(path, old.get(path), new.get(path))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    # As JSON: 1 is not 1.0 and not true.
    if isinstance(value, Mapping) and value:
        for name, held in value.items():
            yield from _leaves(f"{path}.{name}" if path else str(name), held)
    else:
        yield path, msgspec.json.encode(value, order="deterministic").decode()
