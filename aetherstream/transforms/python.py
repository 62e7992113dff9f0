"""The step that calls the user's Python function."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, field

from ..errors import Rejected
from ..records import Event
from .context import Context
from .describe import shorten
from .flow import MOST_EVENTS
from .options import Options
from .plugin import PluginError, load
from .runner import Append, Expanding, Runner

HERE = Path(__file__).parent
Reference = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="`module:function`. The function takes an event (a dict, which it may change) and returns a dict, "
        "None (drops it) or several dicts; it raises `Reject` to refuse the record.",
        examples=["pipelines.steps:known_carrier"],
    ),
]


class Call(Options, frozen=True, rename={"with_": "with"}):
    """A Python function with fixed keyword arguments."""

    call: Reference
    with_: Annotated[dict[str, Any], Meta(description="Keyword arguments of every call.", examples=[{"limit": 3}])] = (
        field(default_factory=dict)
    )


class PythonRunner(Expanding):
    """Calls a function for each event; whatever it raises is a rejection of the record."""

    def __init__(self, reference: str, function: Callable[[Event], object], *, owned: bool) -> None:
        self.reference = reference
        self.function = function
        self.owned = owned

    def run(self, values: Iterator[Event], append: Append) -> None:
        """Do the step."""
        function, owned = self.function, self.owned
        for event in values:
            if not owned:
                own(event)
            made = function(event)
            if made is event or made is None:
                append(made)
            elif made.__class__ is dict:
                # It may be an object that the function keeps and returns again: events must not be one another.
                append({**made})
            else:
                append(self.several(made))

    def several(self, made: object) -> Event | list[Event]:
        """Check a result that is neither a dict nor None. The events are copied; they may share nested values."""
        if isinstance(made, dict):
            return dict(made)
        if not isinstance(made, Iterable) or isinstance(made, str | bytes):
            raise self._wrong(f"returned {type(made).__name__}")
        events: list[Event] = []
        for event in made:
            if not isinstance(event, dict):
                raise self._wrong(f"returned {type(made).__name__} with {type(event).__name__} in it")
            if len(events) == MOST_EVENTS:
                reason = f"too many events from {self.reference}"
                raise Rejected(reason, f"{self.reference} made more than {MOST_EVENTS} events of one")
            events.append(dict(event))
        return events

    def _wrong(self, what: str) -> Rejected:
        reason = f"wrong result of {self.reference}"
        return Rejected(reason, f"{self.reference} {what}; a step returns a dict, None, or several dicts")

    def explain(self, event: Event, error: Exception) -> Rejected | None:  # noqa: ARG002 - any event, any exception
        """Turn any exception of the user's code into a rejection with the line at fault."""
        if isinstance(error, Rejected):
            return error
        name = type(error).__name__
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent != HERE]
        place = ""
        if frames:
            last = frames[-1]
            place = f", {Path(last.filename).name} line {last.lineno}: `{shorten(last.line or '')}`"
        return Rejected(f"{name} in {self.reference}", f"{name} in {self.reference}{place}: {shorten(str(error), 500)}")


def own(event: Event) -> Event:
    """Give an event lists and objects of its own."""
    for name, value in event.items():
        if value.__class__ is dict or value.__class__ is list:
            event[name] = clone(value)
    return event


def clone(value: Any) -> Any:
    """Copy lists and objects at every level."""
    if value.__class__ is dict:
        return {name: clone(inner) for name, inner in value.items()}
    return [clone(inner) for inner in value] if value.__class__ is list else value


def compile_python(options: str | Call, context: Context) -> Runner | None:
    """Import the function."""
    call, fixed = (options, {}) if isinstance(options, str) else (options.call, options.with_)
    try:
        function = load(call)
    except PluginError as error:
        context.mistake(str(error), *(() if isinstance(options, str) else ("call",)))
        return None
    try:
        inspect.signature(function).bind({}, **fixed)
    except TypeError as error:
        context.mistake(f"{call} cannot be called with an event{' and ' + ', '.join(fixed) if fixed else ''}: {error}")
    except ValueError:
        pass  # a function of C, which does not tell
    runner = PythonRunner(call, partial(function, **fixed) if fixed else function, owned=context.owned)
    # Whatever it puts into events may be its own (a row of a table in its module).
    context.owned = False
    return runner
