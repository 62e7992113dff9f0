"""Rebuilding windows of a deployed aggregate, and comparing them with the state table: reads only.

What is read is not one moment: on a stream that flows, a window that is open may differ by what came between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.partials import Partials, load, merge
from aetherstream.aggregates.windows import Hopping, Tumbling, Window
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.places import Scope, WindowPlace
from aetherstream.delivery.progress import Progress
from aetherstream.delivery.reader import ObjectReader
from aetherstream.errors import ConfigurationError, UsageError
from aetherstream.eventtime import EventTime
from aetherstream.objects import Target, lines_of, name_of
from aetherstream.recovery.held import TOLERANCE, Held, envelopes
from aetherstream.recovery.recompute import Counted, Difference, Recomputation, chosen, compare

MOST_WINDOWS = 10_000
"""Windows that are compared at once."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where what was delivered, refused and noted stands."""

    archives: Sequence[Target]
    """Of the sinks that hold events; together they hold each event that the aggregates have."""
    quarantine: Target
    notes: Target
    """Of redrives (`recovery.refold.notes`)."""


@dataclass(slots=True)
class Compared:
    """What a comparison came to."""

    span: Window
    windows: int = 0
    """How many were compared; sessions count as one."""
    groups: int = 0
    """Groups that were compared, by window."""
    objects: int = 0
    """Objects of the archive that were read."""
    counted: Counted = field(default_factory=Counted)
    differences: list[Difference] = field(default_factory=list)
    removed: list[Window] = field(default_factory=list)
    """Windows whose states are, or may be, removed: not compared."""
    rebuilt: Partials = field(default_factory=dict)
    """What the archive gives, also of windows that could not be compared."""
    explanations: list[str] = field(default_factory=list)
    """What may lie behind the differences."""


def span_of(aggregate: Aggregate, start: float, end: float | None) -> Window:
    """From the beginning of the window that holds `start` to before `end`; by default that window alone.

    Of windows that overlap it is the one that begins last. Raises UsageError for sessions without an end, and for more
    windows than can be compared at once.
    """
    windows = aggregate.windows
    if not isinstance(windows, Tumbling | Hopping):
        if end is None:
            raise UsageError(f"{aggregate.name} has sessions: say up to where they may begin, with --to")
        return Window(start, end)
    first = windows.assign(start)[-1].start if end is None else start
    span = Window(first, first + _every(windows) if end is None else end)
    if (span.end - span.start) / _every(windows) > MOST_WINDOWS:
        raise UsageError(f"that is more than {MOST_WINDOWS:,} windows of {aggregate.name}: name a shorter time")
    return span


def recompute(
    declaration: Declaration,
    scope: Scope,
    span: Window,
    *,
    time: EventTime,
    places: Places,
    items: Sequence[Progress],
    reader: ObjectReader,
    stores: Stores,
    now: float,
) -> Compared:
    """Rebuild the windows that begin within `span` and compare them with their states.

    `time`: how event times are read, without bounds; `items`: of every shard; `now`: epoch seconds. Raises UsageError,
    ConfigurationError for objects that can't be read, Retryable.
    """
    aggregate = declaration.aggregate
    compared = Compared(span)
    stored, removed, floor = _stored(aggregate, scope, span, stores, now)
    compared.removed = removed
    unfinished = {location for item in items for location in item.redrive_keys}
    held = _refused(reader, places.quarantine, unfinished)
    marks = {item.key.rpartition("#")[2]: item.completed for item in items}
    found = Recomputation(
        aggregate,
        time,
        held,
        marks,
        span=None if aggregate.gap is not None else span,
        distinct=len(places.archives) > 1,
    )
    for target in places.archives:
        for lines in _objects(reader, target, unfinished, _since(aggregate, span)):
            compared.objects += 1
            found.add(lines)
    for lines in _objects(reader, places.notes, unfinished, 0.0):
        found.add_notes(lines)
    compared.counted = found.counted
    compared.rebuilt = chosen(found.partials, aggregate, span, None)
    gone = set(removed)
    ours = {key: partial for key, partial in compared.rebuilt.items() if key.window not in gone}
    ours = chosen(ours, aggregate, span, floor)
    compared.groups = len({*ours, *stored})
    compared.windows = len({key.window for key in (*ours, *stored)})
    compared.differences = list(compare(aggregate, ours, stored))
    if compared.differences:
        compared.explanations = list(_explanations(declaration, items, compared))
    return compared


def _refused(reader: ObjectReader, quarantine: Target, unfinished: set[str]) -> Held:
    """What aggregates did not take."""
    held = Held()
    for lines in _objects(reader, quarantine, unfinished, 0.0):
        try:
            for envelope in envelopes(lines):
                if envelope.stage == "aggregate":
                    held.add_envelope(envelope)
        except msgspec.DecodeError as error:
            where = f"s3://{quarantine.bucket}/{quarantine.prefix}"
            raise ConfigurationError(f"{where} holds an object with a line that is no envelope: {error}") from error
    return held


def _stored(
    aggregate: Aggregate, scope: Scope, span: Window, stores: Stores, now: float
) -> tuple[Partials, list[Window], float | None]:
    """The states of the windows, merged; which windows may have lost theirs; up to where sessions are forgotten."""
    windows = aggregate.windows
    grid: list[Window | None] = [None]
    if isinstance(windows, Tumbling | Hopping):
        grid = list(_grid(windows, span))
    places = {window: WindowPlace(scope, window) for window in grid}
    marks = stores.windows.marks(list(places.values()))
    removed = []
    partials: Partials = {}
    for window, place in places.items():
        mark = marks.get(place)
        if window is not None and mark is not None and mark.expires is not None and mark.expires <= now:
            removed.append(window)
            continue
        for items in stores.states.window(place):
            for item in items:
                key, partial = item.place.key, load(aggregate, item.state.acc)
                before = partials.get(key)
                partials[key] = partial if before is None else merge(aggregate, before, partial)
    mark = marks.get(WindowPlace(scope, None))
    floor = None if mark is None else mark.floor
    return chosen(partials, aggregate, span, floor), removed, floor


def _every(windows: Tumbling | Hopping) -> int:
    return windows.size if isinstance(windows, Tumbling) else windows.every


def _grid(windows: Tumbling | Hopping, span: Window) -> Iterator[Window]:
    """The windows that begin within a span."""
    start = windows.assign(span.start)[-1].start
    while start < span.end:
        if start >= span.start:
            yield Window(start, start + windows.size)
        start += _every(windows)


def _since(aggregate: Aggregate, span: Window) -> float:
    """When the first object that may hold an event of the span was written: none is further ahead than its limit."""
    if aggregate.future is None or aggregate.gap is not None:
        return 0.0
    return span.start - aggregate.future - TOLERANCE


def _objects(reader: ObjectReader, target: Target, unfinished: set[str], since: float) -> Iterator[list[bytes]]:
    """The lines of each object, without those of redrives that are not finished."""
    for listed in reader.list(target.bucket, f"{target.prefix}/"):
        place = f"{target.bucket}/{listed.key}"
        if listed.modified < since or place in unfinished or name_of(target, listed.key) is None:
            continue
        body = reader.get(target.bucket, listed.key)
        try:
            lines = [] if body is None else lines_of(listed.key, body)
        except Exception as error:  # each decompressor has errors of its own
            raise ConfigurationError(f"s3://{place} can't be decompressed: {error}") from error
        yield lines


def _explanations(declaration: Declaration, items: Sequence[Progress], compared: Compared) -> Iterator[str]:
    name = declaration.name
    late = _total(items, f"aggregates.{name}.late")
    if late:
        yield (
            f"{late:,} late events were dropped by {name} so far (on_late: drop): they stand in the archive, and the "
            "states lack them"
        )
    if isinstance(declaration.aggregate.windows, Hopping) and not declaration.aggregate.correct:
        yield "an event that was late for some of its windows only lacks in those; no place keeps which"
    if any(item.pending is not None for item in items):
        yield "the last commit of a shard may not be folded yet: the next batch does it, or the closer within a minute"
    if compared.counted.unsettled:
        yield f"{compared.counted.unsettled:,} events lie behind their shard's mark: a batch is under way"
    for reason, count in sorted(compared.counted.unusable.items()):
        yield f"{count:,} events of the archive can't be folded by this pipeline file: {reason}"
    yield "events that were delivered before the aggregate was deployed as it is now are in no state"


def _total(items: Sequence[Progress], name: str) -> int:
    counters: list[Mapping[str, Any]] = [item.counters for item in items] + [item.redriven for item in items]
    return sum(int(found.get(name, 0)) for found in counters)
