"""Quarantined records: read from their objects one object at a time, checked, and made into units for a redrive. Pure.

An envelope has the bytes of one user record cut out of its Kinesis record, or of a whole Kinesis record. Either way the
events made from it have to get the positions that they would have had, so a unit carries them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from aetherstream.errors import Rejected
from aetherstream.objects import lines_of
from aetherstream.quarantine import fingerprint
from aetherstream.records import KinesisRecords, Rejection, sortable

_TEXTS = ("id", "fingerprint", "stage", "where", "reason", "message", "pipeline", "version", "stream", "shard")
_MORE = ("sequence", "partition_key", "arrival", "data")


class UnusableEnvelope(Rejected):
    """A line or an object in the quarantine that the engine did not write so; it stays where it is."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One rejected record."""

    id: str
    """`shard:sequence:sub`; without `sub` where the whole Kinesis record could not be opened."""
    fingerprint: str
    stage: str
    where: str
    reason: str
    message: str
    pipeline: str
    version: str
    stream: str
    shard: str
    sequence: str
    sub: int | None
    partition_key: str
    arrival: str
    """ISO 8601."""
    data: str
    """Base64, unless the stage is `decode` and the reason that it is not."""
    alone: bool
    event: Mapping[str, Any] | None = None
    """At the stage `deliver`: the event that the sink refused."""

    def as_json(self) -> dict[str, Any]:
        """The envelope as it stands in its object."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if found["event"] is None:
            del found["event"]
        return found

    def payload(self) -> bytes:
        """The record's bytes (what is not base64 as it came)."""
        try:
            return base64.b64decode(self.data, validate=True)
        except (ValueError, binascii.Error):
            return self.data.encode("utf-8", "surrogatepass")


def envelopes_of(place: str, key: str, body: bytes, pipeline: str) -> Iterator[Envelope | UnusableEnvelope]:
    """Yield the envelopes of an object, in its order; in the place of a bad line, what is wrong with it."""
    try:
        lines = lines_of(key, body)
    except Exception as error:  # noqa: BLE001 - each decompressor has errors of its own
        yield UnusableEnvelope("not readable", f"{place}: can't be decompressed, perhaps half-written: {error}")
        return
    for number, line in enumerate(lines, 1):
        try:
            yield parse(f"{place} line {number}", line, pipeline)
        except UnusableEnvelope as error:
            yield error


def parse(place: str, line: bytes, pipeline: str) -> Envelope:
    """Read one line. Raises UnusableEnvelope that says what is wrong."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnusableEnvelope("not JSON", f"{place}: not JSON, perhaps half-written: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in (*_TEXTS, *_MORE)):
        raise UnusableEnvelope("no envelope", f"{place}: not an envelope of the quarantine")
    sub, alone, event = found.get("sub"), found.get("alone", False), found.get("event")
    if not (sub is None or (type(sub) is int and sub >= 0)) or not isinstance(alone, bool):
        raise UnusableEnvelope("no envelope", f"{place}: its sub or alone is not as the engine writes it")
    envelope = Envelope(
        **{name: found[name] for name in (*_TEXTS, *_MORE)},
        sub=sub,
        alone=alone,
        event=event if isinstance(event, dict) else None,
    )
    if envelope.pipeline != pipeline:
        raise UnusableEnvelope(
            "another pipeline", f"{place}: from the pipeline {envelope.pipeline!r}, not {pipeline!r}"
        )
    position = f"{envelope.shard}:{envelope.sequence}" + ("" if sub is None else f":{sub}")
    cause = Rejection(0, sub, envelope.stage, envelope.where, envelope.reason, envelope.message)
    if envelope.id != position or not envelope.sequence.isdecimal():
        raise UnusableEnvelope("changed", f"{place}: its id {envelope.id} is not its position {position}")
    if envelope.fingerprint != fingerprint(cause):
        raise UnusableEnvelope("changed", f"{place}: its fingerprint does not follow from its stage, where and reason")
    try:
        datetime.fromisoformat(envelope.arrival)
    except ValueError:
        raise UnusableEnvelope("changed", f"{place}: its arrival {envelope.arrival!r} is no time") from None
    return envelope


# -- Units for a redrive ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnvelopeUnit:
    """Quarantined records of one shard, a row each, so that one sequence number may stand in several rows."""

    records: KinesisRecords
    subs: list[int | None]
    """Flat index of each inside its Kinesis record; None: the row is a whole Kinesis record and has its own."""

    def __len__(self) -> int:
        return len(self.subs)

    def part(self, start: int, end: int) -> EnvelopeUnit:
        """Return the rows `[start:end]`."""
        return EnvelopeUnit(self.records.part(start, end), self.subs[start:end])

    def ids(self) -> list[str]:
        """The envelope id of each row."""
        shard = self.records.shard
        return [
            f"{shard}:{sequence}" + ("" if sub is None else f":{sub}")
            for sequence, sub in zip(self.records.sequences, self.subs, strict=True)
        ]


def units_of(envelopes: Iterable[Envelope], patched: Mapping[str, bytes] | None = None) -> list[EnvelopeUnit]:
    """Make a unit for each stream and shard, in the order of the stream, each user record once.

    `patched`: bytes to be taken instead of the record's own, by envelope id.
    """
    chosen: dict[tuple[str, str], dict[str, Envelope]] = {}
    for envelope in envelopes:
        # At the stage `deliver` a record has an envelope for each event refused; any of them brings it back whole.
        chosen.setdefault((envelope.stream, envelope.shard), {}).setdefault(envelope.id, envelope)
    units = []
    for (stream, shard), by_id in sorted(chosen.items()):
        unit = EnvelopeUnit(KinesisRecords(stream, shard, [], [], [], []), [])
        order = sorted(by_id.values(), key=lambda e: (sortable(e.sequence), -1 if e.sub is None else e.sub))
        whole = {envelope.sequence for envelope in order if envelope.sub is None}
        for envelope in order:
            if envelope.sub is not None and envelope.sequence in whole:
                continue  # it comes with its whole Kinesis record
            new = (patched or {}).get(envelope.id)
            unit.records.sequences.append(envelope.sequence)
            unit.records.arrivals.append(datetime.fromisoformat(envelope.arrival).timestamp())
            unit.records.keys.append(envelope.partition_key)
            unit.records.data.append(envelope.data if new is None else base64.b64encode(new).decode())
            unit.subs.append(envelope.sub)
        units.append(unit)
    return units


# -- Groups -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Group:
    """The envelopes of one cause."""

    example: Envelope
    """Of the earliest arrival."""
    waiting: int = 0
    replayed: int = 0
    discarded: int = 0
    first: str = ""
    """Arrival of the earliest, ISO 8601."""
    last: str = ""

    def add(self, envelope: Envelope, state: str) -> None:
        """Count one in."""
        setattr(self, state, getattr(self, state) + 1)
        if not self.first or envelope.arrival < self.first:
            self.first, self.example = envelope.arrival, envelope
        self.last = max(self.last, envelope.arrival)

    def as_json(self) -> dict[str, Any]:
        """For people and programs."""
        example = self.example
        return {
            "fingerprint": example.fingerprint,
            "stage": example.stage,
            "where": example.where,
            "reason": example.reason,
            "waiting": self.waiting,
            "replayed": self.replayed,
            "discarded": self.discarded,
            "first": self.first,
            "last": self.last,
            "example": {"id": example.id, "message": example.message},
        }


def grouped(found: Iterable[tuple[Envelope, str]]) -> dict[str, Group]:
    """Group envelopes with their states (`waiting`, `replayed`, `discarded`) by fingerprint; one a time in memory."""
    groups: dict[str, Group] = {}
    for envelope, state in found:
        if envelope.fingerprint not in groups:
            groups[envelope.fingerprint] = Group(envelope)
        groups[envelope.fingerprint].add(envelope, state)
    return groups
