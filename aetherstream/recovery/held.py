"""What the objects of a shard hold of a unit's records already, whatever version of the pipeline put it wherever."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from aetherstream.aggregation import FOR_ONE
from aetherstream.delivery.reader import ObjectReader
from aetherstream.encoded import EVENT_ID
from aetherstream.errors import ConfigurationError
from aetherstream.objects import SUFFIX, Target, lines_of
from aetherstream.records import OF_EVENTS, KinesisRecords, sortable

TOLERANCE = 900.0
"""Seconds by which the clocks of Kinesis (arrival) and S3 (LastModified) may differ."""
_EMPTY = 32
"""Bytes: an emptied object has 20 (gzip) or 25 (zstd), and one with an event id more than this."""
_AT_ONCE = 32
"""Objects that are in memory at a time."""


class _Line(msgspec.Struct):
    event_id: str = msgspec.field(name=EVENT_ID)


class _Envelope(msgspec.Struct):
    id: str
    stage: str
    where: str
    reason: str = ""
    event: _Line | None = None


class _Refolded(msgspec.Struct):
    event_id: str = msgspec.field(name=EVENT_ID)
    aggregates: list[str]


_read_line = msgspec.json.Decoder(_Line)
_read_envelope = msgspec.json.Decoder(_Envelope)
_read_refolded = msgspec.json.Decoder(_Refolded)


@dataclass(slots=True)
class Held:
    """What stands of a unit."""

    events: dict[str, set[str]] = field(default_factory=dict)
    """Event ids by per-object sink."""
    records: set[str] = field(default_factory=set)
    """`shard:sequence:sub`, and `shard:sequence`, of every user record of which a sink holds an event."""
    quarantined: set[str] = field(default_factory=set)
    """Ids of the envelopes of records that were refused whole: `shard:sequence:sub` or `shard:sequence`."""
    refused: dict[str, set[str]] = field(default_factory=dict)
    """Event ids by the per-record sink that refused them."""
    spilled: dict[str, set[str]] = field(default_factory=dict)
    """Event ids by the per-record sink that they wait for: the drain brings them."""
    unfolded: set[str] = field(default_factory=set)
    """Ids of events that an aggregate refused: sinks hold them, and no aggregate has them."""
    late: dict[str, set[str]] = field(default_factory=dict)
    """Event ids by the aggregate that lacks them, because their windows were closed; others have them."""
    refolded: dict[str, set[str]] = field(default_factory=dict)
    """Of those: event ids by the aggregate into which redrives have folded them since."""
    lacking: set[str] = field(default_factory=set)
    """`shard:sequence:sub`, and `shard:sequence`, of every user record of which an aggregate did not take an event."""

    def in_quarantine(self, name: str) -> bool:
        """Tell whether a user record (`shard:sequence[:sub]`) stands in the quarantine, alone or with its whole."""
        return name in self.quarantined or _kinesis_record(name) in self.quarantined

    def is_held(self, event_id: str) -> bool:
        """Tell whether a per-object sink holds an event."""
        return any(event_id in ids for ids in self.events.values())

    def was_refused(self, event_id: str) -> bool:
        """Tell whether an event stands in the quarantine because an aggregate did not take it."""
        return event_id in self.unfolded or any(event_id in ids for ids in self.late.values())

    def lacks(self, aggregate: str, event_id: str) -> bool:
        """Tell whether an aggregate still lacks an event that was refused."""
        refused = event_id in self.unfolded or event_id in self.late.get(aggregate, ())
        return refused and event_id not in self.refolded.get(aggregate, ())

    def add_event(self, sink: str, event_id: str) -> None:
        """Note an event of a sink."""
        self.events.setdefault(sink, set()).add(event_id)
        self.records.add(_kinesis_record(event_id))
        self.records.add(":".join(event_id.split(":")[:3]))

    def add_envelope(self, found: _Envelope) -> None:
        """Note an envelope of the quarantine."""
        if found.stage not in OF_EVENTS:
            self.quarantined.add(found.id)
        elif found.event is None:
            return
        elif found.stage == "deliver":
            self.refused.setdefault(_sink_of(found), set()).add(found.event.event_id)
        else:
            missing = (
                self.late.setdefault(aggregate_of(found.where), set()) if found.reason in FOR_ONE else self.unfolded
            )
            missing.add(found.event.event_id)
            self.lacking |= {found.id, _kinesis_record(found.id)}

    def add_refolded(self, found: _Refolded) -> None:
        """Note what a redrive folded though a sink held it."""
        for aggregate in found.aggregates:
            self.refolded.setdefault(aggregate, set()).add(found.event_id)

    def add_spilled(self, found: _Envelope) -> None:
        """Note a row of a spill."""
        if found.event is not None:
            self.spilled.setdefault(_sink_of(found), set()).add(found.event.event_id)


def aggregate_of(where: str) -> str:
    """The aggregate that a rejection of the stage `aggregate` names: `aggregates.<name>[.<output>]`."""
    return where.split(".")[1]


def _sink_of(found: _Envelope) -> str:
    return found.where.removeprefix("sinks.")


def envelopes(lines: Iterable[bytes]) -> Iterator[_Envelope]:
    """Read envelopes of the quarantine, for `Held.add_envelope`. Raises msgspec.DecodeError."""
    return map(_read_envelope.decode, lines)


def look_up(
    unit: KinesisRecords,
    archive: ObjectReader,
    *,
    sinks: Sequence[tuple[str, Target]],
    spills: Sequence[Target] = (),
    quarantine: Target,
    refolded: Target | None = None,
    excluded: Collection[str] = (),
    executor: Executor,
    between: Callable[[], None] = lambda: None,
) -> Held:
    """Look into every object of the shard that may hold an event of the unit.

    In every partition of every sink, not only where today's pipeline would put the events; among the objects modified
    since the unit's first arrival. `refolded`: where redrives note what they fold of events that a sink holds;
    `excluded`: `bucket/key` of objects that count as empty; `between` is called while the objects are read. Raises
    ConfigurationError for an object that can't be read: it might hold the events.
    """
    held = Held()
    wanted = {f"{unit.shard}:{sequence}" for sequence in unit.sequences}
    for name, target in sinks:
        for line in _lines(unit, archive, target, excluded, executor, between, _read_line):
            if _kinesis_record(line.event_id) in wanted:
                held.add_event(name, line.event_id)
    # Before the quarantine, because the drain takes what a sink refuses from the spill there.
    for target in spills:
        for row in _lines(unit, archive, target, excluded, executor, between, _read_envelope):
            if _kinesis_record(row.id) in wanted:
                held.add_spilled(row)
    for envelope in _lines(unit, archive, quarantine, excluded, executor, between, _read_envelope):
        if _kinesis_record(envelope.id) in wanted:
            held.add_envelope(envelope)
    if refolded is not None:
        for note in _lines(unit, archive, refolded, excluded, executor, between, _read_refolded):
            if _kinesis_record(note.event_id) in wanted:
                held.add_refolded(note)
    return held


def _lines(
    unit: KinesisRecords,
    archive: ObjectReader,
    target: Target,
    excluded: Collection[str],
    executor: Executor,
    between: Callable[[], None],
    decoder: msgspec.json.Decoder[Any],
) -> Iterator[Any]:
    found = _keys(unit, archive, target, excluded)
    while keys := list(islice(found, _AT_ONCE)):
        between()
        for key, body in zip(keys, executor.map(partial(archive.get, target.bucket), keys), strict=True):
            try:
                yield from map(decoder.decode, [] if body is None else lines_of(key, body))
            except Exception as error:  # every library has its own for bytes that are not what they should be
                raise ConfigurationError(
                    f"s3://{target.bucket}/{key} can't be read ({error}), and it might hold events of this unit: "
                    "restore it from an earlier version, or move it out of the sink's prefix"
                ) from error


def _keys(unit: KinesisRecords, archive: ObjectReader, target: Target, excluded: Collection[str]) -> Iterator[str]:
    since = min(unit.arrivals) - TOLERANCE
    last = sortable(unit.sequences[-1])
    for found in archive.list(target.bucket, f"{target.prefix}/"):
        name = found.key.rpartition("/")[2]
        stem, _, suffix = name.partition(".")
        if (
            not stem.startswith(f"{unit.shard}-")
            or suffix not in SUFFIX.values()
            or found.modified < since
            or found.size <= _EMPTY
            or f"{target.bucket}/{found.key}" in excluded
        ):
            continue
        position = stem.removeprefix(f"{unit.shard}-").partition("-")[0]
        if position.isdecimal() and position > last:
            continue  # its first event is behind the unit's last one
        yield found.key


def _kinesis_record(name: str) -> str:
    """`shard:sequence` of an event id, or of an envelope's."""
    shard, sequence, *_ = name.split(":")
    return f"{shard}:{sequence}"
