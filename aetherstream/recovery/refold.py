"""What a part of a redrive adds to the aggregates: the events that nobody has folded yet, and no others.

An event that a per-object sink holds was committed with it, and folded. One that is put now is folded now. One that an
aggregate refused is held and was not folded: a replay of the quarantine folds it, and leaves a note in an object of its
own, which a further replay finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aetherstream.aggregation import FOR_ONE, Aggregation, Gathered
from aetherstream.encoded import EVENT_ID, parsed
from aetherstream.objects import SUFFIX, Target, compressor
from aetherstream.quarantine import json_line
from aetherstream.records import KinesisRecords, Rejection
from aetherstream.recovery.choice import Choice, user_record
from aetherstream.recovery.held import Held, aggregate_of
from aetherstream.recovery.redrive_report import RedriveReport

_COMPRESS = compressor("gzip", 3)


def notes(bucket: str, pipeline: str, stream: str) -> Target:
    """Where redrives note what they fold of events that stand in the quarantine; `stream` is a name or an ARN.

    They have to stay as long as the quarantine does: without its note an event would be folded a second time.
    """
    return Target(bucket, f"{pipeline}/refolded/{stream.rpartition('/')[2]}", SUFFIX["gzip"])


@dataclass(slots=True)
class Fold:
    """What a part adds."""

    gathered: Gathered = field(default_factory=Gathered)
    rejections: list[Rejection] = field(default_factory=list)
    """For the quarantine, which does not hold them yet."""
    noted: list[dict[str, Any]] = field(default_factory=list)
    """Of each event that stood in the quarantine and is folded now: `_event_id`, `aggregates`, and the `event`."""

    def encode(self, number: int) -> bytes:
        """Make the bytes of the object with the notes."""
        return _COMPRESS(b"".join(map(json_line, self.noted)), number)


def fold(
    aggregation: Aggregation | None,
    unit: KinesisRecords,
    choice: Choice,
    held: Held,
    sinks: Collection[str],
    report: RedriveReport,
) -> Fold:
    """Gather what a part adds, once it is known what goes to the sinks (`choice.settle`), and count it.

    `sinks`: names of the per-object sinks. Raises Retryable, ConfigurationError.
    """
    if aggregation is None or choice.prepared.columns is None:  # events of the archive were committed with it
        return Fold()
    events = choice.prepared.events
    names = [one.name for one in aggregation.aggregates]
    aside = _aside(names, choice, held, sinks)
    if all(len(left) == len(events) for left in aside.values()):
        return Fold()
    gathered = aggregation.gather(unit, choice.prepared, choice.prepared.end, None, aside)
    report.fold(gathered.counts)
    refused = [user_record(unit, each.record, each.sub) for each in gathered.rejections]
    report.refuse(refused, Counter(f"aggregate: {each.reason}" for each in gathered.rejections))
    new = [each for each in gathered.rejections if not held.was_refused(_event_id(each))]
    return Fold(gathered, new, _noted(names, choice, held, aside, gathered))


def _aside(names: Collection[str], choice: Choice, held: Held, sinks: Collection[str]) -> dict[str, set[int]]:
    """By aggregate: the events that it has already, or is not to get."""
    events = choice.prepared.events
    goes = {index for sink in sinks for members in choice.prepared.groups.get(sink, {}).values() for index in members}
    put = {index for planned in choice.objects for index in planned.members}
    aside: dict[str, set[int]] = {name: set() for name in names}
    for index, event_id in enumerate(events.ids):
        pair = (events.records[index], events.subs[index])
        if index not in goes or pair not in choice.chosen or pair in choice.left:
            lacking: Collection[str] = ()
        elif held.was_refused(event_id):
            lacking = [name for name in names if held.lacks(name, event_id)] if choice.frees else ()
        else:
            lacking = names if index in put and not held.is_held(event_id) else ()
        for name in names:
            if name not in lacking:
                aside[name].add(index)
    return aside


def _noted(
    names: Collection[str], choice: Choice, held: Held, aside: Mapping[str, Collection[int]], gathered: Gathered
) -> list[dict[str, Any]]:
    events = choice.prepared.events
    refused = {_event_id(each) for each in gathered.rejections if each.reason not in FOR_ONE}
    gone = {(aggregate_of(each.where), _event_id(each)) for each in gathered.rejections if each.reason in FOR_ONE}
    noted = []
    for index, event_id in enumerate(events.ids):
        if event_id in refused or not held.was_refused(event_id):
            continue
        folded = [name for name in names if index not in aside[name] and (name, event_id) not in gone]
        if folded:
            noted.append({EVENT_ID: event_id, "aggregates": folded, "event": parsed(events.line(index))})
    return noted


def _event_id(rejection: Rejection) -> str:
    return str((rejection.event or {})[EVENT_ID])
