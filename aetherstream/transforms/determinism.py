"""A check of the contract that steps are deterministic: it finds most breaches, it proves nothing."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from ..records import Event, Events, Rejection
from .python import clone
from .transform import Transform

Outcome = tuple[list[tuple[Event, list[str] | None]], str | None]
"""What became of one record: its events with their routes, and why it was rejected."""


def check_determinism(transform: Transform, values: Sequence[Event]) -> list[str]:
    """Run the steps over the events in one batch, again, and one by one in reverse; return what differs.

    The second run finds clocks, chance and counters; the third finds steps that keep something from one event to the
    next, since Lambda may cut a retry anywhere.
    """
    first = outcomes(transform, values, [range(len(values))])
    again = outcomes(transform, values, [range(len(values))])
    alone = outcomes(transform, values, [range(i, i + 1) for i in reversed(range(len(values)))])
    found = []
    for number, event in enumerate(values):
        for other, how in ((again[number], "a second run"), (alone[number], "a batch of its own")):
            if other != first[number]:
                found.append(
                    f"event {number} ({show(event)}) gives {show(other)} in {how} and gave {show(first[number])}"
                )
                break
    return found


def outcomes(transform: Transform, values: Sequence[Event], batches: Sequence[range]) -> list[Outcome]:
    """What becomes of each event, when they come in these batches."""
    made: list[list[tuple[Event, list[str] | None]]] = [[] for _ in values]
    why: list[str | None] = [None] * len(values)
    for batch in batches:
        events = Events([clone(values[i]) for i in batch], list(batch), [0] * len(batch))
        rejections: list[Rejection] = []
        transform.apply(events, rejections)
        for place, (record, value) in enumerate(zip(events.records, events.values, strict=True)):
            made[record].append((value, None if events.routes is None else sorted(events.routes[place])))
        for rejection in rejections:
            why[rejection.record] = f"{rejection.where}: {rejection.message}"
    return list(zip(made, why, strict=True))


def show(value: object) -> str:
    """A short text of a value."""
    text = orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if len(text) <= 200 else f"{text[:199]}…"
