"""From the columns of a batch's prefix to one partial for each group and window.

Whatever can't be folded is told by index: refused (a value, group or time that doesn't fit, a window that is full) or
late. An event is folded into an aggregate as a whole or, when it is refused, not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import floor
from operator import itemgetter
from typing import Any

from .aggregate import Aggregate, Key
from .column import Column
from .columns import Columns
from .judge import Placed, Refusals, admit, judge_failures, judge_groups, judge_times, judge_values, text_of
from .partials import Partials
from .sessions import Accs, SessionState, cut
from .windows import Hopping, Tumbling, Window, too_late

Late = dict[int, tuple[Window, ...]]
"""Index → those of its windows that are closed."""
Known = Mapping[Window | None, Collection[str]]
"""Window (None: sessions) → the texts of the groups that it has already, in this shard."""
Buckets = dict[tuple[Window | None, Hashable], list[int]]


@dataclass(slots=True)
class Folded:
    """What one batch adds to one aggregate."""

    partials: Partials = field(default_factory=dict)
    refused: Refusals = field(default_factory=dict)
    late: Late = field(default_factory=dict)
    """Also where they were folded all the same (`Aggregate.correct`)."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Output → how many events it left aside because of their value; without those that had none."""
    newest: float | None = None
    """The latest event time of what was not refused: where the watermark may go when this is committed."""


@dataclass(slots=True)
class _Judged:
    """What is to be folded of a prefix."""

    aggregate: Aggregate
    columns: Columns
    folded: Folded
    """Without partials yet."""
    buckets: Buckets
    aside: Sequence[Set[int]]
    excluded: Set[int]

    def finish(self) -> Refusals:
        """Fold it; or give the events that a user's accumulator fails with."""
        try:
            self.folded.partials = _partials(self.aggregate, self.columns, self.buckets, self.aside)
        except Exception:
            failed = judge_failures(self.aggregate, self.columns, self.aside, self.excluded)
            if not failed:
                raise
            return failed
        return {}


def fold(
    aggregate: Aggregate,
    columns: Columns,
    *,
    upto: int | None = None,
    watermark: float | None = None,
    known: Known | None = None,
    without: Collection[int] = (),
) -> Folded:
    """Fold a prefix of a batch. The same input gives the same output, and no argument is changed.

    Args:
        aggregate: What is declared.
        columns: Of the whole batch.
        upto: How many events the prefix has; by default all.
        watermark: The event time that the shard has committed; lateness is judged by it. None: nothing is late.
        known: The groups that the windows have already, for `Aggregate.max_groups`.
        without: Events that are left out, for example because another aggregate refused them.
    """
    judged = _judge(aggregate, columns if upto is None else columns.prefix(upto), watermark, known or {}, without)
    failed = judged.finish()
    if not failed:
        return judged.folded
    again = fold(aggregate, columns, upto=upto, watermark=watermark, known=known, without={*without, *failed})
    again.refused |= failed
    return again


def _judge(
    aggregate: Aggregate, columns: Columns, watermark: float | None, known: Known, without: Collection[int]
) -> _Judged:
    """Find what can't be folded, and where the rest belongs."""
    folded = Folded()
    span = Window(min(columns.times), max(columns.times)) if columns.times else None
    judge_times(aggregate, columns, span, folded.refused)
    parts = judge_groups(aggregate, columns, folded.refused)
    aside = judge_values(aggregate, columns, folded.refused)
    folded.late = _late(aggregate, columns, span, watermark)
    for index in without:
        folded.refused.pop(index, None)
        folded.late.pop(index, None)
    buckets = _buckets(aggregate, columns, span, parts, {*without, *folded.refused}, folded.late)
    if _may_overflow(aggregate, buckets, known):
        admit(aggregate, _placed(buckets), known, folded.refused)
        buckets = _buckets(aggregate, columns, span, parts, {*without, *folded.refused}, folded.late)
    excluded = {*without, *folded.refused}
    for index in folded.refused:
        folded.late.pop(index, None)
    folded.skipped = {
        output.name: skipped
        for output, left in zip(aggregate.outputs, aside, strict=True)
        if (skipped := len(left - excluded))
    }
    folded.newest = span.end if span else None
    if excluded:
        folded.newest = max((time for index, time in enumerate(columns.times) if index not in excluded), default=None)
    return _Judged(aggregate, columns, folded, buckets, aside, excluded)


def fold_all(
    aggregates: Iterable[Aggregate],
    columns: Columns,
    *,
    upto: int | None = None,
    watermark: float | None = None,
    known: Mapping[str, Known] | None = None,
    aside: Mapping[str, Collection[int]] | None = None,
) -> tuple[dict[str, Folded], Refusals]:
    """Fold a prefix into several aggregates; what one of them refuses, no other counts.

    Args:
        aggregates: What is declared, and
        columns, upto, watermark: as for `fold`.
        known: By aggregate, as for `fold`.
        aside: By aggregate, events that it leaves out.

    Returns:
        What each aggregate, by name, gained; and the events refused, each with the first aggregate's cause. The
        `refused` of the parts are empty.
    """
    aggregates = list(aggregates)
    known, aside = known or {}, aside or {}
    columns = columns if upto is None else columns.prefix(upto)

    def judged(without: Collection[int]) -> dict[str, _Judged]:
        found = {}
        for one in aggregates:
            left = aside.get(one.name, ())
            both = {*left, *without} if without else left
            found[one.name] = _judge(one, columns, watermark, known.get(one.name, {}), both)
        return found

    failed: Refusals = {}
    while True:
        found = judged(failed)
        refused = dict(failed)
        for each in found.values():
            refused = each.folded.refused | refused
        if len(refused) > len(failed):
            # Once is enough: with fewer events nothing is refused that was not refused before.
            found = judged(refused)
        fresh: Refusals = {}
        for each in found.values():
            fresh = each.finish() | fresh
        if not fresh:
            return {name: each.folded for name, each in found.items()}, refused
        failed |= fresh  # only a user's accumulators come so far


def members(
    aggregate: Aggregate, columns: Columns, keys: Collection[Key], *, upto: int, without: Collection[int] = ()
) -> dict[Key, list[int]]:
    """The events of a prefix that belong to some keys, lateness aside."""
    columns = columns.prefix(upto)
    if not columns.times:
        return {}
    span = Window(min(columns.times), max(columns.times))
    refused: Refusals = {}
    parts = judge_groups(aggregate, columns, refused)
    buckets = _buckets(aggregate, columns, span, parts, {*without, *refused}, {})
    text = text_of(aggregate)
    found = {Key(aggregate.name, window, text(group)): chosen for (window, group), chosen in buckets.items()}
    return {key: chosen for key, chosen in found.items() if key in keys}


def _late(aggregate: Aggregate, columns: Columns, span: Window | None, watermark: float | None) -> Late:
    windows, lateness = aggregate.windows, aggregate.lateness
    if span is None or too_late(span.start, windows, watermark, lateness) is None:
        return {}
    return {
        index: found
        for index, time in enumerate(columns.times)
        if (found := too_late(time, windows, watermark, lateness)) is not None
    }


def _buckets(
    aggregate: Aggregate,
    columns: Columns,
    span: Window | None,
    parts: Sequence[Sequence[Hashable]],
    excluded: Set[int],
    late: Late,
) -> Buckets:
    """The indices of each window and group."""
    late = {} if aggregate.correct else late
    times = columns.times
    # A group of one part is that part for now: 10,000 tuples less.
    groups: Iterable[Hashable] = (
        parts[0] if len(parts) == 1 else zip(*parts, strict=True) if parts else ((),) * len(times)
    )
    windows = aggregate.windows
    if isinstance(windows, Hopping):
        if windows.panes is not None and not late:
            return _by_panes(windows, windows.panes, times, groups, excluded)
        return _overlapping(windows, times, groups, excluded, late)
    gone = excluded | late.keys() if late else excluded
    window: Window | None = None
    if isinstance(windows, Tumbling) and span:
        (window,), (last,) = windows.assign(span.start), windows.assign(span.end)
        if window != last:
            keys = zip(windows.starts(times), groups, strict=True)
            return {
                (Window(start, start + windows.size), group): chosen
                for (start, group), chosen in _collected(keys, gone).items()
            }
    # One window, as in most batches; or sessions, which are cut later.
    return {(window, group): chosen for group, chosen in _collected(groups, gone).items()}


def _collected(keys: Iterable[Any], gone: Collection[int]) -> dict[Any, list[int]]:
    """The indices of each key."""
    out: defaultdict[Any, list[int]] = defaultdict(list)
    if gone:
        for index, key in enumerate(keys):
            if index not in gone:
                out[key].append(index)
    else:
        for index, key in enumerate(keys):
            out[key].append(index)
    return out


def _by_panes(
    windows: Hopping, panes: Tumbling, times: Sequence[float], groups: Iterable[Hashable], excluded: Set[int]
) -> Buckets:
    """As `_overlapping`, where nothing is late: each event is looked at once, not once a window."""
    out: defaultdict[Any, list[int]] = defaultdict(list)
    for (start, group), chosen in _collected(zip(panes.starts(times), groups, strict=True), excluded).items():
        for window in windows.assign(start):
            out[window, group] += chosen
    for chosen in out.values():
        chosen.sort()  # runs of ascending indices: merged, not sorted
    return out


def _overlapping(
    windows: Hopping,
    times: Sequence[float],
    groups: Iterable[Hashable],
    excluded: Set[int],
    late: Late,
) -> Buckets:
    out: defaultdict[Any, list[int]] = defaultdict(list)
    assigned: dict[int, tuple[Window, ...]] = {}
    for index, (time, group) in enumerate(zip(times, groups, strict=True)):
        if index not in excluded:
            closed = late.get(index, ())
            second = floor(time)  # whole seconds decide
            if second not in assigned:
                assigned[second] = windows.assign(second)
            for window in assigned[second]:
                if window not in closed:
                    out[window, group].append(index)
    return out


def _placed(buckets: Buckets) -> Iterable[Placed]:
    return ((index, window, group) for (window, group), chosen in buckets.items() for index in chosen)


def _may_overflow(aggregate: Aggregate, buckets: Buckets, known: Known) -> bool:
    """Whether a window might have too many groups, if all groups were new."""
    if len(buckets) + max(map(len, known.values()), default=0) <= aggregate.max_groups:
        return False
    counts: defaultdict[Window | None, int] = defaultdict(int)
    for window, _ in buckets:
        counts[window] += 1
    return any(count + len(known.get(window, ())) > aggregate.max_groups for window, count in counts.items())


def _partials(aggregate: Aggregate, columns: Columns, buckets: Buckets, aside: Sequence[Set[int]]) -> Partials:
    states = _states(aggregate, columns, aside)
    group_text = text_of(aggregate)
    name, gap, times = aggregate.name, aggregate.gap, columns.times
    if gap is None:
        return {Key(name, window, group_text(group)): states(chosen) for (window, group), chosen in buckets.items()}
    return {
        Key(name, None, group_text(group)): tuple(
            SessionState(times[part[0]], times[part[-1]], states(part)) for part in cut(times, chosen, gap)
        )
        for (_, group), chosen in buckets.items()
    }


def _kind(values: Sequence[Any] | None, left: Set[int]) -> type | None:
    """The type that all usable values have: found once for the batch, not once a group."""
    if values is None:
        return None
    kinds = set(map(type, values))
    if left and len(kinds) > 1:
        kinds = {type(value) for index, value in enumerate(values) if index not in left}
    return kinds.pop() if len(kinds) == 1 else None


def _states(aggregate: Aggregate, columns: Columns, aside: Sequence[Set[int]]) -> Callable[[list[int]], Accs]:
    """Make the function that folds some events into the states of all outputs."""
    # Outputs of one field that leave the same aside share a column, and what it finds out: sum and mean add up once.
    slots: dict[tuple[str | None, object], tuple[int, Sequence[Any] | None, Set[int]]] = {}
    for output, left in zip(aggregate.outputs, aside, strict=True):
        if output.field is not None:
            slot = (len(slots), columns.values[output.field], left)
            slots.setdefault((output.field, output.accumulator.check), slot)
    # Outputs without a field look at no value: any column of all events will do.
    whole = next((at for at, _, left in slots.values() if not left), len(slots))
    slots.setdefault((None, None), (len(slots), None, frozenset()))
    folds = [
        (one.accumulator.fold, whole if one.field is None else slots[one.field, one.accumulator.check][0])
        for one in aggregate.outputs
    ]
    used = {at for _, at in folds}
    sources = [(values, left, _kind(values, left)) for at, values, left in slots.values() if at in used]
    times, places = columns.times, columns.places

    def states(chosen: list[int]) -> Accs:
        shared = []
        for values, left, kind in sources:
            own = [index for index in chosen if index not in left] if left else chosen
            # itemgetter takes the values in C; of one index it gives no tuple.
            picked: Sequence[Any] = own
            if values is not None:
                picked = itemgetter(*own)(values) if len(own) > 1 else [values[index] for index in own]
            shared.append(Column(picked, times, places, own, kind))
        return tuple([fold(shared[at]) for fold, at in folds])

    return states
