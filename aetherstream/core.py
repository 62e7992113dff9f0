"""The pure part of a batch: decode, validate, transform, event time.

No network, no clock, no environment: the same records and the same pipeline version give the same events.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from aetherstream.errors import Rejected
from aetherstream.eventtime import EventTime, field_reader
from aetherstream.records import Events, KinesisRecords, Rejection
from aetherstream.timings import Timings

CHUNK = 2_000


class Decode(Protocol):
    """Opens Kinesis records (`aetherstream.decode`)."""

    def decode(self, records: KinesisRecords, start: int, end: int, rejections: list[Rejection], /) -> Events:
        """Return the user records of `[start:end]`; what can't be opened is appended to `rejections`."""


class Transforming(Protocol):
    """Runs the steps of the pipeline (`aetherstream.transforms`)."""

    def apply(self, events: Events, rejections: list[Rejection], timings: dict[str, float] | None = None, /) -> int:
        """Change the events in place; return how many user records a filter dropped."""


@dataclass(slots=True)
class Prepared:
    """What became of the records `[start:end]` of a batch."""

    start: int
    end: int
    """Before the end that was asked for when the time ran out."""
    events: Events = field(default_factory=Events)
    rejections: list[Rejection] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    """For each user record that was found: index of its Kinesis record."""
    dropped: int = 0
    timings: Timings = field(default_factory=Timings)


class Core:
    """decode → validate → transform → event time."""

    def __init__(
        self,
        decoder: Decode,
        *,
        validate: Callable[[Events, list[Rejection]], None] | None = None,
        transform: Transforming | None = None,
        event_time: EventTime | None = None,
        identity: Sequence[str] = (),
        chunk: int = CHUNK,
    ) -> None:
        """`chunk`: records that are prepared between two looks at the time that is left."""
        self._decoder = decoder
        self._validate = validate
        self._transform = transform
        self._event_time = event_time or EventTime()
        self._identity = [field_reader(path) for path in identity]
        self._identity_names = list(identity)
        self._chunk = chunk

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
        while done.end < end and has_time():
            upto = min(end, done.end + self._chunk)
            self._prepare_part(batch, done.end, upto, done)
            done.end = upto
        return done

    def _prepare_part(self, batch: KinesisRecords, start: int, end: int, done: Prepared) -> None:
        rejections: list[Rejection] = []
        with done.timings.step("decode"):
            events = self._decoder.decode(batch, start, end, rejections)
            seen = events.records + [rejection.record for rejection in rejections]
        if self._validate is not None:
            with done.timings.step("validate"):
                self._validate(events, rejections)
        if self._transform is not None:
            with done.timings.step("transform"):
                done.dropped += self._transform.apply(events, rejections, done.timings)
        with done.timings.step("event_time"):
            self._event_time.apply(events, batch.arrivals, rejections)
            if self._identity:
                self._identify(events, rejections)
        done.seen += seen
        done.rejections += rejections
        done.events.extend(events)

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
        for index, refusal in refused.items():
            record, sub = events.records[index], events.subs[index]
            rejections.append(Rejection(record, sub, "transform", "identity", refusal.reason, refusal.message))
        events.remove({(events.records[index], events.subs[index]) for index in refused})


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
