"""The data that flows through a batch: positions, the Kinesis records, the events made from them, the rejections.

A batch is held *by column* (parallel lists), not as one object a record: two frozen objects a record cost 1.3 µs, most
of what a batch may spend above its floor (docs/adr/0002-batch-by-column.md).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple, overload

OF_EVENTS = frozenset({"deliver", "aggregate"})
"""Stages that refuse single events of a record whose other events, or which elsewhere, go on."""

Event = dict[str, Any]
"""One event: a JSON object as Python values."""


class Position(NamedTuple):
    """Where a user record stands in its stream."""

    shard: str
    """Shard id, for example `shardId-000000000001`."""
    sequence: str
    """Sequence number of the Kinesis record, decimal digits; compare with `sortable`, never as text."""
    sub: int = 0
    """Flat index inside the Kinesis record: KPL sub-record, array element, line; given before anything is rejected."""

    def __str__(self) -> str:
        return f"{self.shard}:{self.sequence}:{self.sub}"


def sortable(sequence: str) -> str:
    """Turn a sequence number into a string that sorts like the integer: three digits of length, then the digits.

    Kinesis sequence numbers have up to 129 digits (API pattern `0|([1-9]\\d{0,128})`): too many for a DynamoDB number.
    """
    return f"{len(sequence):03d}{sequence}"


class Sortable(Sequence[str]):
    """The sortable forms of sequence numbers, made when they are asked for: a search needs a few of ten thousand."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = sequences

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sortable: ...

    def __getitem__(self, index: int | slice) -> str | Sortable:
        if isinstance(index, slice):
            return Sortable(self._sequences[index])
        return sortable(self._sequences[index])

    def __len__(self) -> int:
        return len(self._sequences)


@dataclass(slots=True)
class KinesisRecords:
    """The Kinesis records of one batch, in stream order, all of one shard; by column."""

    stream: str
    """ARN of the stream."""
    shard: str
    sequences: list[str]
    arrivals: list[float]
    """Approximate arrival, epoch seconds."""
    keys: list[str]
    """Partition keys."""
    data: list[str]
    """Payloads as they came: base64 text (not yet checked)."""

    def __len__(self) -> int:
        return len(self.sequences)

    def part(self, start: int, end: int) -> KinesisRecords:
        """Return the records `[start:end]`."""
        return KinesisRecords(
            self.stream,
            self.shard,
            self.sequences[start:end],
            self.arrivals[start:end],
            self.keys[start:end],
            self.data[start:end],
        )


@dataclass(frozen=True, slots=True)
class Rejection:
    """One user record (or, at the stages `deliver` and `aggregate`, one event) that will never work, and why."""

    record: int
    """Index of its Kinesis record in the batch."""
    sub: int | None
    """Flat index inside the Kinesis record; None where the whole Kinesis record could not be opened."""
    stage: str
    """`decode`, `validate`, `transform`, `event_time`, `partition`, `deliver`, `aggregate` or `crashed`."""
    where: str
    """The part of the pipeline that refused it, for example `transforms[2].cast` or `sinks.search`."""
    reason: str
    """Stable words that group equal causes."""
    message: str
    """The whole text, with the values of this record."""
    payload: bytes | None = None
    """The bytes of just this user record (a line, an element, a KPL sub-record) where its Kinesis record holds several;
    else None: the bytes are those of the whole Kinesis record."""
    event: Event | None = None
    """At the stages `deliver` and `aggregate`: the event that was refused."""


@dataclass(slots=True)
class Events:
    """Events by column: the i-th entries of all columns belong together. Ordered by (record, sub, nth)."""

    values: list[Event] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    """Index of the Kinesis record that each event came from."""
    subs: list[int] = field(default_factory=list)
    """Flat index of its user record inside the Kinesis record."""
    nths: list[int] | None = None
    """Which of the events made from one user record; None as long as each record made at most one (all are 0)."""
    routes: list[frozenset[str]] | None = None
    """Names of the sinks that each event goes to; None as long as every event goes to every sink."""
    times: list[float] | None = None
    """Event times, epoch seconds; set when the events are complete."""
    identities: list[str] | None = None
    """The data's own identities, where the pipeline names an `identity:`."""

    def __len__(self) -> int:
        return len(self.values)

    def keep(self, flags: Sequence[object]) -> None:
        """Keep, in place, the events whose flag is true."""
        for name in ("values", "records", "subs", "nths", "routes", "times", "identities"):
            column = getattr(self, name)
            if column is not None:
                setattr(self, name, list(compress(column, flags)))

    def remove(self, refused: Collection[tuple[int, int]]) -> None:
        """Remove, in place, every event of the user records `(record, sub)`: a record passes whole or not at all."""
        if refused:
            self.keep([pair not in refused for pair in zip(self.records, self.subs, strict=True)])


def event_ids(shard: str, sequences: Sequence[str], events: Events) -> list[str]:
    """Text form of each event's identity: `shard:sequence:sub`, and `:n` behind it for the n-th event (n > 0).

    It follows from the position in the stream and the deterministic transform alone, so a retry makes the same ids.
    """
    if events.nths is None and not any(events.subs):
        return [f"{shard}:{sequences[r]}:0" for r in events.records]
    if events.nths is None:
        return [f"{shard}:{sequences[r]}:{s}" for r, s in zip(events.records, events.subs, strict=True)]
    return [
        f"{shard}:{sequences[r]}:{s}:{n}" if n else f"{shard}:{sequences[r]}:{s}"
        for r, s, n in zip(events.records, events.subs, events.nths, strict=True)
    ]
