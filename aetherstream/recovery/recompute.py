"""Windows of an aggregate rebuilt from what the archive holds, and compared with their states. Pure.

The archive holds every event that was delivered; the quarantine says which of them the aggregate did not take, and the
notes of redrives what was folded of those since. What no place keeps are late events with `on_late: drop`: they stand
in the archive, and the state lacks them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from aetherstream.aggregates.accumulators.top_k import TopK
from aetherstream.aggregates.aggregate import Aggregate, Key, Output, expressions
from aetherstream.aggregates.columns import ColumnReader, Columns
from aetherstream.aggregates.fold import fold
from aetherstream.aggregates.partials import Partial, Partials, merge, results
from aetherstream.aggregates.sessions import Accs
from aetherstream.aggregates.windows import Window
from aetherstream.encoded import EVENT_ID, parsed
from aetherstream.errors import UsageError
from aetherstream.eventtime import EventTime
from aetherstream.records import Event, Events, sortable
from aetherstream.recovery.held import Held

_ANY = 2**62


class _Note(msgspec.Struct):
    aggregates: list[str]
    event: Event


_read_note = msgspec.json.Decoder(_Note)


@dataclass(slots=True)
class Counted:
    """What became of the events that were read."""

    folded: int = 0
    refolded: int = 0
    """Of the folded ones: refused at first, and folded by a replay of the quarantine."""
    lacking: int = 0
    """That stand in the quarantine, because an aggregate did not take them."""
    unsettled: int = 0
    """Behind their shard's mark: not committed yet."""
    unusable: Counter[str] = field(default_factory=Counter)
    """That can't be folded now, by reason."""


class Recomputation:
    """Folds what is read, object by object; its size grows with the groups, not with the events."""

    def __init__(
        self,
        aggregate: Aggregate,
        time: EventTime,
        held: Held,
        marks: Mapping[str, str],
        *,
        span: Window | None = None,
        distinct: bool = False,
    ) -> None:
        """Rebuild the windows that begin within `span`; None: all, as sessions need it.

        Args:
            aggregate: What is declared.
            time: How event times are read, without the pipeline's bounds: they were held when events were delivered.
            held: What the quarantine says (`Held.add_envelope`).
            marks: By shard, up to which position everything is committed (`Progress.completed`).
            span: Event time.
            distinct: Whether the same event may be read twice, as from several sinks.
        """
        # What these refused stands in the quarantine.
        self._aggregate = replace(aggregate, max_groups=_ANY, future=None)
        self._reader = ColumnReader(expressions([aggregate]))
        self._time, self._held, self._marks, self._span = time, held, marks, span
        self._seen: set[str] | None = set() if distinct else None
        self.partials: Partials = {}
        self.counted = Counted()

    def add(self, lines: Iterable[bytes]) -> None:
        """Take in the lines of an object of the archive. Raises UsageError for a line that is no event."""
        found: list[Event] = []
        for line in lines:
            event = parsed(line)
            event_id = event.get(EVENT_ID) if isinstance(event, dict) else None
            if not isinstance(event_id, str):
                raise UsageError(f"a line of the archive is no event with its {EVENT_ID}: {line[:80]!r}")
            if self._seen is not None:
                if event_id in self._seen:
                    continue
                self._seen.add(event_id)
            shard, sequence, *_ = event_id.split(":")
            if sortable(sequence) > self._marks.get(shard, ""):
                self.counted.unsettled += 1
            elif self._lacks(event_id):
                self.counted.lacking += 1
            else:
                found.append(event)
        self.counted.folded += self._fold(found)

    def add_notes(self, lines: Iterable[bytes]) -> None:
        """Take in the lines of an object in which a redrive noted what it folded (`recovery.refold`)."""
        notes = map(_read_note.decode, lines)
        folded = self._fold([note.event for note in notes if self._aggregate.name in note.aggregates])
        self.counted.folded += folded
        self.counted.refolded += folded

    def _lacks(self, event_id: str) -> bool:
        held = self._held
        return event_id in held.unfolded or event_id in held.late.get(self._aggregate.name, ())

    def _fold(self, found: Sequence[Event]) -> int:
        events = Events(list(found), list(range(len(found))), [0] * len(found))
        refused: list[Any] = []
        self._time.apply(events, [], refused)
        self.counted.unusable.update(each.reason for each in refused)
        if self._span is not None and events.times:
            events.keep([self._reaches(time) for time in events.times])
        if not events.values:
            return 0
        places = [_place(value[EVENT_ID]) for value in events.values]
        folded = fold(self._aggregate, Columns(self._reader.read(events.values), events.times or [], places))
        self.counted.unusable.update(each.reason for each in folded.refused.values())
        for key, partial in folded.partials.items():
            if key.window is None or self._span is None or self._span.start <= key.window.start < self._span.end:
                before = self.partials.get(key)
                self.partials[key] = partial if before is None else merge(self._aggregate, before, partial)
        return len(events) - len(folded.refused)

    def _reaches(self, time: float) -> bool:
        if self._aggregate.gap is not None or self._span is None:
            return True
        windows, span = self._aggregate.windows, self._span
        return time >= span.start and any(span.start <= one.start < span.end for one in windows.assign(time))  # type: ignore[union-attr]


def _place(event_id: str) -> tuple[str, str, int, int]:
    shard, sequence, sub, *rest = event_id.split(":")
    return shard, sortable(sequence), int(sub), int(rest[0]) if rest else 0


# -- Comparing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A group, in a window or session, that is not as the archive has it."""

    key: Key
    window: Window
    """Of the session, where the windows are sessions."""
    recomputed: Mapping[str, Any] | None
    """Results by output; None where the archive has no event of it."""
    stored: Mapping[str, Any] | None
    """None where there is no state."""
    outputs: Sequence[str] = ()
    """Where both are there: the outputs that differ."""


def compare(
    aggregate: Aggregate, recomputed: Mapping[Key, Partial], stored: Mapping[Key, Partial]
) -> Iterator[Difference]:
    """Compare what was rebuilt with the states, merged over the shards; group by group, in the order of the keys.

    Equal are equal bytes or equal results; of top_k that had more values than it keeps, counts within their errors.
    """
    ours, theirs = apart(aggregate, recomputed), apart(aggregate, stored)
    for key, window in sorted({*ours, *theirs}, key=lambda at: (at[1], at[0].group)):
        mine, other = ours.get((key, window)), theirs.get((key, window))
        told = (
            None if mine is None else results(aggregate, mine),
            None if other is None else results(aggregate, other),
        )
        if mine is None or other is None:
            yield Difference(key, window, *told)
        elif differing := [
            output.name
            for output, a, b in zip(aggregate.outputs, mine, other, strict=True)
            if not is_equal(output, a, b)
        ]:
            yield Difference(key, window, *told, differing)


def is_equal(output: Output, a: Any, b: Any) -> bool:
    """Whether two states of an output may come from the same events."""
    own = output.accumulator
    if own.dump(a) == own.dump(b) or own.result(a) == own.result(b):
        return True
    if not isinstance(own, TopK) or not (a.error or b.error):
        return False
    return all(
        a.counts.get(value, 0) <= b.counts.get(value, 0) + b.error
        and b.counts.get(value, 0) <= a.counts.get(value, 0) + a.error
        for value in {*a.counts, *b.counts}
    )


def apart(aggregate: Aggregate, partials: Mapping[Key, Partial]) -> dict[tuple[Key, Window], Accs]:
    """Each window's and each session's states."""
    found: dict[tuple[Key, Window], Accs] = {}
    for key, partial in partials.items():
        if key.window is not None:
            found[key, key.window] = partial
        else:
            found |= {(key, session.window(aggregate.gap or 0)): session.accs for session in partial}
    return found


def chosen(partials: Mapping[Key, Partial], aggregate: Aggregate, span: Window, floor: float | None) -> Partials:
    """Of sessions those that begin within a span of event time and are kept; other windows as they are.

    `floor`: sessions that ended before it are forgotten (`Mark.floor`).
    """
    gap = aggregate.gap
    if gap is None:
        return dict(partials)
    cut = {
        key: tuple(
            one for one in some if span.start <= one.first < span.end and (floor is None or one.last + gap > floor)
        )
        for key, some in partials.items()
    }
    return {key: some for key, some in cut.items() if some}
