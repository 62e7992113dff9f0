"""Which events an aggregate can't take, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from ..errors import AetherStreamError, Rejected
from ..report import TOO_MANY_GROUPS
from ..transforms.describe import describe
from .aggregate import Aggregate
from .column import Column
from .columns import Columns
from .groups import comparable, group_text
from .usable import Unusable
from .windows import Window, time_text


class Refused(NamedTuple):
    """Why an event is not folded."""

    where: str
    """`aggregates.<name>`, and behind it the output or `group_by.<name>` at fault."""
    reason: str
    """Stable words that group equal causes."""
    message: str
    """The whole text, with the values of this event."""


Refusals = dict[int, Refused]
"""By index; the first cause that was found."""


def judge_times(aggregate: Aggregate, columns: Columns, span: Window | None, refused: Refusals) -> None:
    """Refuse events from the future: one wrong clock would move the watermark and close everybody's windows."""
    ahead = aggregate.future
    times, arrivals = columns.times, columns.arrivals
    if ahead is None or span is None or span.end - min(arrivals) <= ahead:
        return
    for index, (time, arrival) in enumerate(zip(times, arrivals, strict=True)):
        if time - arrival > ahead:
            refused.setdefault(
                index,
                Refused(
                    f"aggregates.{aggregate.name}",
                    "event time in the future",
                    f"event time {time_text(time)} is more than {ahead:g} s after the arrival {time_text(arrival)}",
                ),
            )


def judge_groups(aggregate: Aggregate, columns: Columns, refused: Refusals) -> list[Sequence[Hashable]]:
    """Make the columns of the groups comparable; refuse what can be no part of a group."""
    parts = []
    for name, expression in aggregate.group_by:
        unusable: Unusable = {}
        parts.append(comparable(columns.values[expression], unusable))
        where = f"aggregates.{aggregate.name}.group_by.{name}"
        _refuse(where, f"{expression} can be no part of a group", expression, unusable, refused)
    return parts


def judge_values(aggregate: Aggregate, columns: Columns, refused: Refusals) -> list[Set[int]]:
    """Find, for each output, the events whose value it leaves aside; refuse those that it rejects."""
    found: dict[tuple[str, Any], Unusable] = {}
    aside: list[Set[int]] = []
    for output in aggregate.outputs:
        unusable: Unusable = {}
        if output.field is not None:
            check = output.accumulator.check
            if (output.field, check) not in found:
                found[output.field, check] = check(columns.values[output.field])
            unusable = found[output.field, check]
        if unusable and output.unusable == "reject":
            where = f"aggregates.{aggregate.name}.{output.name}"
            _refuse(where, f"{output.field} is unusable", output.field or "", unusable, refused)
        aside.append(unusable.keys())
    return aside


def judge_failures(
    aggregate: Aggregate, columns: Columns, aside: Sequence[Set[int]], excluded: Collection[int]
) -> Refusals:
    """Find the events that a user's accumulator fails with, each folded alone: its bug refuses them, not the batch."""
    refused: Refusals = {}
    for output, left in zip(aggregate.outputs, aside, strict=True):
        where = f"aggregates.{aggregate.name}.{output.name}"
        values = columns.values[output.field] if output.field is not None else columns.times
        for index, value in enumerate(values):
            if index in excluded or index in left or index in refused:
                continue
            try:
                output.accumulator.fold(Column((value,), columns.times, columns.places, (index,)))
            except Rejected as error:
                refused[index] = Refused(where, error.reason, error.message)
            except (AetherStreamError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever a user's code raises
                reason = f"{output.name} failed: {type(error).__name__}"
                refused[index] = Refused(where, reason, f"{output.name} failed with {describe(value)}: {error!r}")
    return refused


Placed = tuple[int, Window | None, Hashable]
"""Index of an event, a window that it belongs to, and its group."""


def text_of(aggregate: Aggregate) -> Callable[[Any], str]:
    """How a group is written: the value itself stands for a group of one part."""
    return (lambda raw: group_text((raw,))) if len(aggregate.group_by) == 1 else group_text


def admit(
    aggregate: Aggregate,
    placed: Iterable[Placed],
    known: Mapping[Window | None, Collection[str]],
    refused: Refusals,
) -> None:
    """Refuse, in the order of the stream, events that would open a group beyond the most that a window may have.

    An event of several windows is refused if any of them is full, and opens no group then.
    """
    groups: dict[Window | None, set[str]] = {}
    group_text = text_of(aggregate)
    for index, targets in _by_event(placed):
        texts = [(window, group_text(raw)) for window, raw in targets]
        full = None
        for window, text in texts:
            there = groups.setdefault(window, set(known.get(window, ())))
            if text not in there and len(there) >= aggregate.max_groups:
                full = (window, text)
        if full is None:
            for window, text in texts:
                groups[window].add(text)
        else:
            refused[index] = _too_many(aggregate, *full)


def _too_many(aggregate: Aggregate, window: Window | None, group: str) -> Refused:
    where = f"the window {window.id}" if window else "the state of sessions"
    return Refused(
        f"aggregates.{aggregate.name}",
        TOO_MANY_GROUPS,
        f"the group {group} would be one more than max_groups ({aggregate.max_groups}) in {where}: group by something "
        "with fewer values, or raise max_groups",
    )


def _by_event(placed: Iterable[Placed]) -> Iterable[tuple[int, list[tuple[Window | None, Any]]]]:
    by_event: dict[int, list[tuple[Window | None, Any]]] = {}
    for index, window, raw in placed:
        by_event.setdefault(index, []).append((window, raw))
    return sorted(by_event.items())


def _refuse(where: str, reason: str, expression: str, unusable: Mapping[int, Rejected], refused: Refusals) -> None:
    for index, error in unusable.items():
        refused.setdefault(index, Refused(where, f"{reason}: {error.reason}", f"{expression}: {error.message}"))
