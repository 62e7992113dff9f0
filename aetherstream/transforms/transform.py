"""All steps of a pipeline over a batch: who is rejected, who is dropped, which events there are in the end."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from ..records import Events, Rejection
from .runner import Runner


class Transform:
    """The compiled steps of a pipeline.

    A user record is delivered whole or quarantined whole: a rejection of any event made from it removes all of them.
    """

    def __init__(self, steps: Sequence[Runner]) -> None:
        self.steps = tuple(steps)
        self._multiplies = any(step.multiplies for step in steps)

    def apply(self, events: Events, rejections: list[Rejection], timings: dict[str, float] | None = None) -> int:
        """Do all steps, in place; return how many user records were dropped: nothing of them is left, nor rejected.

        Rejections are appended in the order of the steps (stage `transform`, `where` for example `transforms[2].cast`).
        `timings` gets the seconds of each step added under its `where`; they are the only use of a clock here.

        Raises:
            Retryable: a step needs something of the world that fails now.
        """
        arrived = count(events)
        rejected = 0
        for step in self.steps:
            started = perf_counter()
            rejected += step.apply(events, rejections)
            if timings is not None:
                timings[step.where] = timings.get(step.where, 0.0) + perf_counter() - started
        if self._multiplies or events.nths is not None:
            number(events)
        return arrived - rejected - count(events)


def count(events: Events) -> int:
    """How many user records the events come from."""
    if events.nths is None:
        return len(events)
    return events.nths.count(0)


def number(events: Events) -> None:
    """Number the events of each user record, from 0; no numbers where each record has one event."""
    keys = list(zip(events.records, events.subs, strict=True))
    if len(set(keys)) == len(keys):
        events.nths = None
        return
    nths: list[int] = []
    last: tuple[int, int] | None = None
    n = 0
    for key in keys:
        n = n + 1 if key == last else 0
        last = key
        nths.append(n)
    events.nths = nths
