"""Which of a unit's events are to be delivered, and where: those that nobody holds yet. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from aetherstream.core import Prepared
from aetherstream.documents import members_of
from aetherstream.encoded import parsed
from aetherstream.records import KinesisRecords, Rejection
from aetherstream.recovery.held import Held
from aetherstream.recovery.redrive_report import RedriveReport
from aetherstream.sinks.base import ObjectSink, Outcome, RecordSink

Select = Callable[[str], bool]
"""Tells whether a user record (`shard:sequence:sub`; `shard:sequence` where it can't be opened) is chosen."""


class _Fate(Enum):
    CHOSEN = 0
    NOT_CHOSEN = 1
    IN_QUARANTINE = 2


@dataclass(slots=True)
class ChosenObject:
    """An object that is to be put."""

    sink: ObjectSink
    key: str
    members: list[int]
    """Indices of its events, ascending."""

    @property
    def location(self) -> str:
        """`bucket/key`."""
        return f"{self.sink.target.bucket}/{self.key}"


@dataclass(slots=True)
class Choice:
    """What is to be delivered of one part of a unit."""

    prepared: Prepared
    name: str
    """What stands in the keys instead of a position."""
    frees: bool = False
    """Whether what stands in the quarantine is delivered, and folded, if it passes now."""
    objects: list[ChosenObject] = field(default_factory=list)
    documents: dict[str, list[int]] = field(default_factory=dict)
    """By per-record sink: indices of the events it is to get."""
    rejections: list[Rejection] = field(default_factory=list)
    """For the quarantine, which does not hold them yet."""
    chosen: set[tuple[int, int]] = field(default_factory=set)
    """The user records (record, sub) that pass and are chosen; of these,"""
    held: set[tuple[int, int]] = field(default_factory=set)
    """all that every object sink they go to holds already; and"""
    left: set[tuple[int, int]] = field(default_factory=set)
    """those of which a per-record sink could not take an event now."""


def choose(
    unit: KinesisRecords,
    prepared: Prepared,
    held: Held,
    *,
    number: int,
    select: Select | None,
    frees: bool,
    sinks: Sequence[ObjectSink],
    record_sinks: Sequence[RecordSink],
    report: RedriveReport,
) -> Choice:
    """Choose among the events of a prepared part, and count what needs nothing more.

    `number` takes the place of a position in the keys; `frees`: records that stand in the quarantine are delivered, if
    they pass now. What goes to the sinks is counted by `settle`.
    """
    events = prepared.events
    pairs = list(zip(events.records, events.subs, strict=True))
    fates = _fates(unit, prepared, held, select, frees=frees)
    chosen = [fates[pair] is _Fate.CHOSEN for pair in pairs]
    choice = Choice(
        prepared, f"redrive-{number:09d}", frees, chosen={pair for pair, fate in fates.items() if fate is _Fate.CHOSEN}
    )
    fresh_pairs: set[tuple[int, int]] = set()
    for sink in sinks:
        holds, count = held.events.get(sink.name, set()), report.count(sink.name)
        for path, members in prepared.groups.get(sink.name, {}).items():
            mine = [index for index in members if chosen[index]]
            fresh = [index for index in mine if events.ids[index] not in holds]
            count.events += len(mine)
            count.held += len(mine) - len(fresh)
            choice.held.update(pairs[index] for index in mine)
            fresh_pairs.update(pairs[index] for index in fresh)
            if fresh:
                choice.objects.append(ChosenObject(sink, sink.target.key(path, unit.shard, choice.name), fresh))
    choice.held -= fresh_pairs
    for record_sink in record_sinks:
        name = record_sink.name
        settled = set() if frees else held.refused.get(name, set()) | held.spilled.get(name, set())
        mine = [index for index in members_of(prepared, name) if chosen[index]]
        fresh = [index for index in mine if events.ids[index] not in settled]
        count = report.count(name)
        count.events += len(mine)
        count.held += len(mine) - len(fresh)
        choice.documents[name] = fresh
    _choose_rejections(unit, choice, held, select, report)
    report.records += len(prepared.seen)
    report.dropped += prepared.dropped
    report.not_chosen += sum(fate is _Fate.NOT_CHOSEN for fate in fates.values())
    report.still_quarantined += sum(fate is _Fate.IN_QUARANTINE for fate in fates.values())
    return choice


def _fates(
    unit: KinesisRecords, prepared: Prepared, held: Held, select: Select | None, *, frees: bool
) -> dict[tuple[int, int], _Fate]:
    fates: dict[tuple[int, int], _Fate] = {}
    for pair in zip(prepared.events.records, prepared.events.subs, strict=True):
        if pair not in fates:
            record = user_record(unit, *pair)
            if select is not None and not select(record):
                fates[pair] = _Fate.NOT_CHOSEN
            else:
                stays = not frees and held.in_quarantine(record)
                fates[pair] = _Fate.IN_QUARANTINE if stays else _Fate.CHOSEN
    return fates


def _choose_rejections(
    unit: KinesisRecords, choice: Choice, held: Held, select: Select | None, report: RedriveReport
) -> None:
    told: Counter[str] = Counter()
    refused: list[str] = []
    for rejection in choice.prepared.rejections:
        record = user_record(unit, rejection.record, rejection.sub)
        if select is not None and not select(record):
            report.not_chosen += 1
        elif held.in_quarantine(record) or (choice.frees and record in held.lacking):
            report.still_quarantined += 1
            refused.append(record)
            told[f"{rejection.stage}: {rejection.reason}"] += 1
        elif record in held.records and not (rejection.stage == "crashed" and report.origin == "dead_letter"):
            report.held += 1  # delivered by an attempt of a version that did not refuse it
            if report.origin == "replay":  # into a sink that lacks it, perhaps: it goes on lacking it
                report.held_refused += 1
                told[f"{rejection.stage}: {rejection.reason}"] += 1
        else:  # also a crasher of which a filtered redrive has delivered a part: nobody can tell what the rest is
            report.quarantined += 1
            choice.rejections.append(rejection)
            refused.append(record)
            told[f"{rejection.stage}: {rejection.reason}"] += 1
    report.refuse(refused, told)


def settle(
    unit: KinesisRecords, choice: Choice, held: Held, outcomes: Mapping[str, Outcome], report: RedriveReport
) -> list[Rejection]:
    """Count what became of the chosen events; returns what per-record sinks refused for the first time.

    A record passes whole: while a per-record sink has not taken all of its documents, it is left out of the objects.
    Else a version that refuses it by then would find it delivered, and its documents would be missing.
    """
    events = choice.prepared.events
    left: set[tuple[int, int]] = set()
    refused: list[Rejection] = []
    for sink, indices in choice.documents.items():
        count, outcome = report.count(sink), outcomes.get(sink, Outcome())
        for index in indices:
            key, event_id = events.keys[index], events.ids[index]
            record, sub = events.records[index], events.subs[index]
            if (error := outcome.rejected.get(key)) is not None:
                if event_id in held.refused.get(sink, ()):
                    count.held += 1
                else:
                    count.quarantined += 1
                    where, value = f"sinks.{sink}", parsed(events.line(index))
                    refused.append(Rejection(record, sub, "deliver", where, error.reason, error.message, event=value))
                report.refuse([user_record(unit, record, sub)], Counter([f"deliver: {error.reason}"]))
            elif (why := outcome.undelivered.get(key)) is not None:
                count.left += 1
                left.add((record, sub))
                report.undelivered[event_id] = f"sink {sink}: {why}"
            else:
                count.delivered += 1
    for planned in choice.objects:
        count, members = report.count(planned.sink.name), planned.members
        planned.members = [index for index in members if (events.records[index], events.subs[index]) not in left]
        count.delivered += len(planned.members)
        count.left += len(members) - len(planned.members)
    choice.objects = [planned for planned in choice.objects if planned.members]
    choice.left = left
    report.left += len(left)
    report.held += len(choice.held - left)
    report.passed += len(choice.chosen - choice.held - left)
    return refused


def user_record(unit: KinesisRecords, record: int, sub: int | None) -> str:
    """Name of a user record: `shard:sequence:sub`, or `shard:sequence` where it could not be opened."""
    whole = f"{unit.shard}:{unit.sequences[record]}"
    return whole if sub is None else f"{whole}:{sub}"
