"""Events as they are delivered: lines of JSON in one buffer, and the columns that say where each came from.

Events become lines while their values are still warm in the processor's cache, a part of the batch at a time; ten
thousand parsed events kept until the end cost a third more (docs/adr/0002-batch-by-column.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import msgspec
import orjson

from aetherstream.errors import Rejected
from aetherstream.records import Event, Events, KinesisRecords, event_ids

EVENT_ID = "_event_id"
"""Field of every line: the event's identity, `shard:sequence:sub[:n]`."""
IDENTITY = "_identity"
"""Field of every line where the pipeline names an `identity:`."""


class OwnLines:
    """Lines that one sink stores instead of those that all share."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._members: list[Sequence[int]] = []
        self._count = 0
        self._by_index: dict[int, bytes] = {}

    def append(self, lines: bytes, members: Sequence[int]) -> None:
        """Add the lines of some events, whose indices are greater than those before."""
        self._parts.append(lines)
        self._members.append(members)
        self._count += len(members)

    def of(self, indices: Sequence[int]) -> bytes:
        """The lines of several events (ascending indices), one behind the other."""
        if len(indices) == self._count:
            return b"".join(self._parts)
        # Only now: many objects hold every line, and finding their ends takes a fifth of the time of writing them.
        if len(self._by_index) < self._count:
            lines = b"".join(self._parts).splitlines(keepends=True)
            self._by_index = dict(zip(chain.from_iterable(self._members), lines, strict=True))
        return b"".join(map(self._by_index.__getitem__, indices))


@dataclass(slots=True)
class EncodedEvents:
    """Events by column; the i-th entries of all columns belong together. Ordered by (record, sub, nth)."""

    records: list[int] = field(default_factory=list)
    """Index of the Kinesis record that each event came from."""
    subs: list[int] = field(default_factory=list)
    """Flat index of its user record inside the Kinesis record."""
    nths: list[int] = field(default_factory=list)
    """Which of the events made from one user record."""
    ids: list[str] = field(default_factory=list)
    """Event ids."""
    keys: list[str] = field(default_factory=list)
    """What per-record sinks know the event by: the data's own identity, or the event id."""
    routes: list[frozenset[str] | None] = field(default_factory=list)
    """Names of the sinks that each event goes to; None: to every sink."""
    buffer: bytearray = field(default_factory=bytearray)
    """The lines, one behind the other."""
    bounds: list[int] = field(default_factory=lambda: [0])
    """Line `i` is `buffer[bounds[i]:bounds[i + 1]]`, with its newline."""
    own: dict[str, OwnLines] = field(default_factory=dict)
    """By sink that stores others: its lines."""
    routed_somewhere: bool = False
    """Whether the pipeline routes at all."""

    def __len__(self) -> int:
        return len(self.records)

    def line(self, index: int) -> bytes:
        """The line of one event, without its newline."""
        return bytes(self.buffer[self.bounds[index] : self.bounds[index + 1] - 1])

    def lines(self, indices: Sequence[int], sink: str) -> bytes:
        """The lines that a sink stores of several events (ascending indices), one behind the other."""
        if sink in self.own:
            return self.own[sink].of(indices)
        first, last = indices[0], indices[-1]
        bounds = self.bounds
        with memoryview(self.buffer) as view:
            if last - first + 1 == len(indices):
                return bytes(view[bounds[first] : bounds[last + 1]])
            return b"".join([view[bounds[index] : bounds[index + 1]] for index in indices])

    def before(self, record: int) -> int:
        """How many events come from Kinesis records before this one."""
        return bisect_left(self.records, record)

    def user_records(self, limit: int) -> int:
        """How many user records the first `limit` events come from."""
        return self.nths.count(0) if limit == len(self) else self.nths[:limit].count(0)

    def routed(self, sink: str) -> Sequence[int]:
        """Indices of the events that go to this sink."""
        if not self.routed_somewhere:
            return range(len(self))
        return [index for index, sinks in enumerate(self.routes) if sinks is None or sink in sinks]

    def append(self, events: Events, batch: KinesisRecords) -> None:
        """Encode the events of the next part of the batch.

        Raises Unencodable, and appends nothing, where values can't be written as JSON.
        """
        ids = event_ids(batch.shard, batch.sequences, events)
        values = events.values
        if events.identities is not None:
            for value, identity in zip(values, events.identities, strict=True):
                value[IDENTITY] = identity
        buffer, bounds = self.buffer, self.bounds
        size, count = len(buffer), len(bounds)
        dumps, newline, note = orjson.dumps, orjson.OPT_APPEND_NEWLINE, bounds.append
        try:
            for value, event_id in zip(values, ids, strict=True):
                value[EVENT_ID] = event_id
                # Into one buffer: keeping each result costs a 4 KiB block an event (2.3 µs instead of 0.45).
                buffer += dumps(value, None, newline)
                note(len(buffer))
        except TypeError:
            del buffer[size:], bounds[count:]
            for line in _encode_each(values):
                buffer += line
                note(len(buffer))
        length = len(values)
        self.records += events.records
        self.subs += events.subs
        self.nths += repeat(0, length) if events.nths is None else events.nths
        self.ids += ids
        self.keys += ids if events.identities is None else events.identities
        self.routes += repeat(None, length) if events.routes is None else events.routes
        self.routed_somewhere = self.routed_somewhere or events.routes is not None


class Unencodable(Exception):
    """Some of the values can't be written as JSON: a Python step made something that JSON does not have."""

    def __init__(self, refused: Mapping[int, Rejected]) -> None:
        super().__init__("values can't be written as JSON")
        self.refused = refused
        """Why, by index."""


def encode(value: Event) -> bytes:
    """One value as JSON. Raises TypeError, ValueError or RecursionError where JSON has no form for it."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # orjson writes integers of 64 bits; msgspec, slower here, writes any.
        return _exact(value)


_exact = msgspec.json.Encoder().encode


def _encode_each(values: Sequence[Event]) -> list[bytes]:
    lines: list[bytes] = []
    refused: dict[int, Rejected] = {}
    for index, value in enumerate(values):
        try:
            lines.append(encode(value) + b"\n")
        except (TypeError, ValueError, RecursionError) as error:
            reason = "can't be written as JSON"
            refused[index] = Rejected(reason, f"the event {reason}: {error}")
    if refused:
        raise Unencodable(refused)
    return lines


def parsed(line: bytes) -> Any:
    """The event of a line."""
    return msgspec.json.decode(line)
