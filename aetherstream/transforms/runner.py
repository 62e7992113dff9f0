"""How one step goes over a batch so that single bad records cost nothing on the good path.

A step is a function over an *iterator* of events. When it raises, the iterator tells which event was at fault
(`__length_hint__` counts what is left), the rejection is noted, and the step is called again with the same iterator: it
goes on behind the failed event. So there is no `try` for each record, and time is taken for each step, not each record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import Rejected, Retryable
from ..records import Event, Events, Rejection

Append = Callable[[Any], None]


class Runner(ABC):
    """One compiled step."""

    where = ""
    """For example `transforms[2].cast`; the compiler sets it."""
    multiplies = False
    """Whether it can make several events of one."""

    def apply(self, events: Events, rejections: list[Rejection]) -> int:
        """Do the step for all events in place; return how many user records were rejected."""
        out: list[Any] = []
        failed = self.sweep(events.values, out.append)
        if not failed:
            self.finish(events, out)
            return 0
        keep = [True] * len(events)
        rejected = 0
        for index, error in failed:
            if not keep[index]:
                continue
            record, sub = events.records[index], events.subs[index]
            rejections.append(Rejection(record, sub, "transform", self.where, error.reason, error.message))
            rejected += 1
            exclude(events, index, keep)
        events.keep(keep)
        self.finish(events, [made for made, kept in zip(out, keep, strict=True) if kept] if out else out)
        return rejected

    def sweep(self, values: list[Event], append: Append) -> list[tuple[int, Rejected]]:
        """Run over all events; return the failed ones by index. The place of a failed one in the output is None."""
        failed: list[tuple[int, Rejected]] = []
        iterator: Any = iter(values)
        while True:
            try:
                self.run(iterator, append)
            except (Retryable, MemoryError):
                raise
            except Exception as error:
                index = len(values) - iterator.__length_hint__() - 1
                rejected = self.explain(values[index], error)
                if rejected is None:
                    raise
                failed.append((index, rejected))
                if self.emits:
                    append(None)
            else:
                return failed

    emits = True
    """Whether `run` appends one result for each event."""

    @abstractmethod
    def run(self, values: Iterator[Event], append: Append) -> None:
        """Go over the events; append one result for each, or change them in place."""

    @abstractmethod
    def finish(self, events: Events, out: list[Any]) -> None:
        """Put the results into the columns."""

    def explain(self, _event: Event, error: Exception) -> Rejected | None:
        """Turn what `run` raised for this event into a rejection; None where it is a bug of ours."""
        if isinstance(error, Rejected):
            return error
        if isinstance(error, RecursionError):
            return Rejected("nested too deeply", "the event is nested too deeply for this step")
        return None


class InPlace(Runner):
    """A step that changes each event."""

    emits = False

    def __init__(self, run: Callable[[Iterator[Event]], None]) -> None:
        self.change = run

    def run(self, values: Iterator[Event], append: Append) -> None:  # noqa: ARG002 - nothing to append
        """Do the step."""
        self.change(values)

    def finish(self, events: Events, out: list[Any]) -> None:
        """Nothing to put in."""


class Expanding(Runner):
    """A step whose result for an event is an event, None (dropped), or a list of events."""

    multiplies = True

    def finish(self, events: Events, out: list[Any]) -> None:
        """Put the results in."""
        if set(map(type, out)) <= {dict}:
            events.values = out
            return
        values: list[Event] = []
        origins: list[int] = []
        for index, made in enumerate(out):
            if made.__class__ is dict:
                values.append(made)
                origins.append(index)
            elif made is not None:
                values += made
                origins += [index] * len(made)
        for name in ("records", "subs", "nths", "routes", "times"):
            column = getattr(events, name)
            if column is not None:
                setattr(events, name, [column[index] for index in origins])
        events.values = values


def exclude(events: Events, index: int, keep: list[bool]) -> None:
    """Unflag all events of the user record that this event belongs to; they stand side by side."""
    records, subs = events.records, events.subs
    record, sub = records[index], subs[index]
    low = index
    while low and records[low - 1] == record and subs[low - 1] == sub:
        low -= 1
    high = index + 1
    while high < len(records) and records[high] == record and subs[high] == sub:
        high += 1
    keep[low:high] = [False] * (high - low)


def build(name: str, lines: list[str], names: dict[str, Any], arguments: str = "values") -> Callable[..., None]:
    """Compile a step's loop: the lines are done for each event `v` of `values`.

    The lines are made of whitelisted expressions and of `repr` of field names, nothing of the pipeline file stands in
    them as code.
    """
    head = [f"def {name}({arguments}):", "    for v in values:"]
    lines = lines or ["pass"]
    scope = dict(names)
    exec(compile("\n".join([*head, *(f"        {line}" for line in lines)]), f"<{name}>", "exec"), scope)  # noqa: S102
    made: Callable[..., None] = scope[name]
    return made


FIRST_LINE = 3
"""Line number of the first of the lines that `build` gets."""


def failing_line(name: str, error: Exception) -> int:
    """Which of the lines that `build` got raised, from 0."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == f"<{name}>":
            return trace.tb_lineno - FIRST_LINE
        trace = trace.tb_next
    return 0
