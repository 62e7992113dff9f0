"""The pure part of a batch: decode, validate, transform, event time, partition, encode.

No network, no clock, no environment: the same records and the same pipeline version give the same events.
"""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from aetherstream.encoded import EncodedEvents, OwnLines, Unencodable
from aetherstream.errors import Rejected
from aetherstream.eventtime import EventTime, field_reader
from aetherstream.records import Events, KinesisRecords, Rejection
from aetherstream.sinks.base import ObjectSink, Placement
from aetherstream.timings import Timings

if TYPE_CHECKING:
    from aetherstream.aggregates.columns import ColumnReader, Columns

CHUNK = 500
"""Most Kinesis records, and"""
CHUNK_BYTES = 200_000
"""most base64 text of a part: small enough that its values stay in the processor's cache until they are encoded."""


class Decode(Protocol):
    """Opens Kinesis records (`aetherstream.decode`)."""

    def decode(self, records: KinesisRecords, start: int, end: int, rejections: list[Rejection], /) -> Events:
        """Return the user records of `[start:end]`; what can't be opened is appended to `rejections`."""

    def payloads(self, records: KinesisRecords, index: int, /) -> list[bytes] | None:
        """Return the bytes of each user record of one Kinesis record, by flat index; None where it holds one."""


class Transforming(Protocol):
    """Runs the steps of the pipeline (`aetherstream.transforms`)."""

    def apply(self, events: Events, rejections: list[Rejection], timings: dict[str, float] | None = None, /) -> int:
        """Change the events in place; return how many user records a filter dropped."""


Groups = dict[str, list[int]]
"""Place in a sink (partition path, index) → indices of its events, ascending."""


@dataclass(slots=True)
class Prepared:
    """What became of the records `[start:end]` of a batch."""

    start: int
    end: int
    """Before the end that was asked for when the time ran out."""
    events: EncodedEvents = field(default_factory=EncodedEvents)
    groups: dict[str, Groups] = field(default_factory=dict)
    """By sink."""
    rejections: list[Rejection] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    """For each user record that was found: index of its Kinesis record."""
    dropped: int = 0
    columns: Columns | None = None
    """What aggregates read of the events; None where there is no aggregate."""
    timings: Timings = field(default_factory=Timings)


class Core:
    """decode → validate → transform → event time → partition → encode."""

    def __init__(
        self,
        decoder: Decode,
        *,
        sinks: Sequence[ObjectSink] = (),
        places: Sequence[Placement] = (),
        validate: Callable[[Events, list[Rejection]], None] | None = None,
        transform: Transforming | None = None,
        event_time: EventTime | None = None,
        identity: Sequence[str] = (),
        columns: ColumnReader | None = None,
        chunk: int = CHUNK,
    ) -> None:
        """`places`: of the per-record sinks; `columns`: reads what the aggregates need; `chunk`: records prepared
        between two looks at the time that is left.
        """
        self.sinks = tuple(sinks)
        self.places = tuple(places)
        self._decoder = decoder
        self._validate = validate
        self._transform = transform
        self._event_time = event_time or EventTime()
        self._identity = [field_reader(path) for path in identity]
        self._identity_names = list(identity)
        self._columns = columns
        self._chunk = chunk

    def decoding(self, wrap: Callable[[Decode], Decode]) -> Core:
        """The same steps behind another decoder, made from this one's."""
        made = copy(self)
        made._decoder = wrap(self._decoder)
        return made

    def placing(self, sinks: Sequence[ObjectSink], places: Sequence[Placement]) -> Core:
        """The same steps before other sinks."""
        made = copy(self)
        made.sinks, made.places = tuple(sinks), tuple(places)
        return made

    def prepare(
        self,
        batch: KinesisRecords,
        start: int,
        end: int,
        has_time: Callable[[], bool] = lambda: True,
        timings: Timings | None = None,
    ) -> Prepared:
        """Prepare the records `[start:end]`, or as many of them as there is time for."""
        done = Prepared(start, start, timings=Timings() if timings is None else timings)
        done.groups = {each.name: {} for each in (*self.sinks, *self.places)}
        done.columns = None if self._columns is None else self._columns.none()
        for upto in self._parts(batch, start, end):
            if not has_time():
                break
            self._prepare_part(batch, done.end, upto, done)
            done.end = upto
        return done

    def _parts(self, batch: KinesisRecords, start: int, end: int) -> Iterator[int]:
        """The ends of the parts, each of at least one record."""
        sizes = list(accumulate(map(len, batch.data[start:end]), initial=0))
        at = start
        while at < end:
            full = start + bisect_right(sizes, sizes[at - start] + CHUNK_BYTES) - 1
            at = min(end, at + self._chunk, max(at + 1, full))
            yield at

    def _prepare_part(self, batch: KinesisRecords, start: int, end: int, done: Prepared) -> None:
        rejections: list[Rejection] = []
        step = done.timings.step
        with step("decode"):
            events = self._decoder.decode(batch, start, end, rejections)
            done.seen += events.records
            done.seen += [rejection.record for rejection in rejections]
        if self._validate is not None:
            with step("validate"):
                self._validate(events, rejections)
        if self._transform is not None:
            with step("transform"):
                done.dropped += self._transform.apply(events, rejections, done.timings)
        with step("event_time"):
            self._event_time.apply(events, batch.arrivals, rejections)
            if self._identity:
                self._identify(events, rejections)
        self._encode(events, batch, done, rejections)
        if self._columns is not None and done.columns is not None:
            with step("aggregate"):
                done.columns.extend(self._columns.read(events.values), events.times or ())
        done.rejections += self.with_payloads(rejections, batch)

    def with_payloads(self, rejections: list[Rejection], batch: KinesisRecords) -> list[Rejection]:
        """Give each rejection the bytes of its user record alone where its Kinesis record holds several.

        The quarantine would else repeat the whole Kinesis record for each of them. One record is open at a time.
        """
        found = list(rejections)
        bare: dict[int, list[int]] = {}
        for at, rejection in enumerate(rejections):
            if rejection.payload is None and rejection.sub is not None:
                bare.setdefault(rejection.record, []).append(at)
        for record, places in bare.items():
            payloads = self._decoder.payloads(batch, record)
            if payloads is None:
                continue
            for at in places:
                sub = rejections[at].sub
                if sub is not None and sub < len(payloads):
                    found[at] = replace(rejections[at], payload=payloads[sub])
        return found

    def _encode(self, events: Events, batch: KinesisRecords, done: Prepared, rejections: list[Rejection]) -> None:
        """Place the events and write them as lines; a record with an event that can't be goes whole."""
        base = len(done.events)
        while True:
            with done.timings.step("partition"):
                placed, refused = self._place(events)
            if not refused:
                try:
                    with done.timings.step("encode"):
                        done.events.append(events, batch)
                except Unencodable as error:
                    refused = {index: ("transform", "encode", why) for index, why in error.refused.items()}
                else:
                    break
            _refuse(events, refused, rejections)
        self._rewrite(events, placed, done)
        for name, groups in placed.items():
            whole = done.groups[name]
            for path, members in groups.items():
                shifted = [base + index for index in members] if base else members
                if path in whole:
                    whole[path] += shifted
                else:
                    whole[path] = shifted

    def _rewrite(self, events: Events, placed: Mapping[str, Groups], done: Prepared) -> None:
        """Write the lines of the sinks that store their own."""
        base, end = len(done.events) - len(events), len(done.events)
        for sink in self.sinks:
            if sink.rewrite is not None:
                with done.timings.step("rewrite"):
                    own = done.events.own.setdefault(sink.name, OwnLines())
                    groups = placed[sink.name].values()
                    if sum(map(len, groups)) == len(events):
                        own.append(sink.rewrite(events.values), range(base, end))
                    else:
                        members = sorted(chain.from_iterable(groups))
                        lines = sink.rewrite([events.values[index] for index in members])
                        own.append(lines, [base + index for index in members])

    def _place(self, events: Events) -> tuple[dict[str, Groups], dict[int, tuple[str, str, Rejected]]]:
        placed: dict[str, Groups] = {}
        refused: dict[int, tuple[str, str, Rejected]] = {}
        placement: Placement
        for placement in (*self.sinks, *self.places):
            indices = routed(events, placement.name)
            placed[placement.name], errors = placement.partition(events, indices)
            for index, error in errors.items():
                refused.setdefault(index, ("partition", f"sinks.{placement.name}.partition", error))
        return placed, refused

    def _identify(self, events: Events, rejections: list[Rejection]) -> None:
        refused: dict[int, Rejected] = {}
        events.identities = identities = []
        for index, value in enumerate(events.values):
            try:
                identities.append(identity_text([read(value) for read in self._identity]))
            except Rejected as error:
                identities.append("")
                refused[index] = error
            except (KeyError, TypeError) as error:
                identities.append("")
                names = ", ".join(self._identity_names)
                refused[index] = Rejected("identity is missing", f"identity: one of {names} is missing: {error}")
        _refuse(events, {index: ("transform", "identity", why) for index, why in refused.items()}, rejections)


def routed(events: Events, sink: str) -> Sequence[int]:
    """Indices of the events that go to this sink."""
    if events.routes is None:
        return range(len(events))
    return [index for index, sinks in enumerate(events.routes) if sink in sinks]


def _refuse(events: Events, refused: Mapping[int, tuple[str, str, Rejected]], rejections: list[Rejection]) -> None:
    """Reject the user records of these events (stage, where, why by index), each once and whole."""
    first: dict[tuple[int, int], Rejection] = {}
    for index, (stage, where, error) in sorted(refused.items()):
        pair = (events.records[index], events.subs[index])
        first.setdefault(pair, Rejection(*pair, stage, where, error.reason, error.message))
    rejections += first.values()
    events.remove(first.keys())


def identity_text(parts: Sequence[Any]) -> str:
    """Write the data's own identity as text: a single string as it is, anything else as a JSON array.

    Raises Rejected for null, for a nested value, and past 512 bytes (OpenSearch: the longest `_id`).
    """
    if any(part is None or isinstance(part, dict | list) for part in parts):
        raise Rejected("identity is missing", f"identity {list(parts)!r:.200} has a part that is null or nested")
    text = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else orjson.dumps(parts).decode()
    if len(text.encode("utf-8", "surrogatepass")) > 512:
        raise Rejected("identity is too long", f"identity {text[:80]}… is longer than 512 bytes")
    return text


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the cyclic garbage collector from running in the block."""
    # Ten thousand parsed objects trigger the cyclic collector again and again: a third of the time of parsing them
    # (docs/adr/0002-batch-by-column.md), and JSON values have no cycles to find.
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
