"""What a batch brings to the aggregates: one column for each field or expression that any of them reads.

The columns of a batch's parts are read while their events are warm and put together; folding needs the events no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError, Rejected
from ..records import Event
from ..transforms.expressions import FAILURES, Expression, ExpressionError, compile_expression
from .column import Place

Values = list[Any]


@dataclass(slots=True)
class Columns:
    """By expression, and beside them the events' times, places and arrivals."""

    values: dict[str, Values]
    """A value that could not be made is the `Rejected` that says why."""
    times: list[float]
    """Event times, epoch seconds."""
    places: Sequence[Place] = ()
    """Of the whole batch; only first, last and a user's accumulators ask for them (`column.Places` makes them then)."""
    arrivals: Sequence[float] = ()
    """When each event's record arrived, epoch seconds; of the whole batch, needed for a limit of the future only."""

    def __len__(self) -> int:
        return len(self.times)

    def prefix(self, count: int) -> Columns:
        """The columns of the first `count` events."""
        if count >= len(self.times):
            return self
        values = {expression: column[:count] for expression, column in self.values.items()}
        return Columns(values, self.times[:count], self.places, self.arrivals[:count])

    def extend(self, values: dict[str, Values], times: Iterable[float]) -> None:
        """Append the columns of a further part."""
        for expression, column in values.items():
            self.values.setdefault(expression, []).extend(column)
        self.times.extend(times)


class ColumnReader:
    """Reads the columns of events.

    Raises:
        ConfigurationError: an expression can't be compiled; the message says where.
    """

    def __init__(self, expressions: Iterable[str]) -> None:
        self._readers: dict[str, tuple[Expression, Callable[[Sequence[Event]], Values]]] = {}
        for text in expressions:
            try:
                expression = compile_expression(text)
            except ExpressionError as error:
                raise ConfigurationError(f"{text!r} in an aggregate: {error}") from error
            code = f"lambda events: [{expression.checked_code} for v in events]"
            self._readers[text] = (expression, eval(code, expression.names))  # noqa: S307 - whitelisted, as in expressions

    def none(self) -> Columns:
        """The columns of no events, to be extended."""
        return Columns({text: [] for text in self._readers}, [])

    def read(self, events: Sequence[Event]) -> dict[str, Values]:
        """Read the columns; the events stay as they are."""
        return {text: self._column(expression, read, events) for text, (expression, read) in self._readers.items()}

    def _column(
        self, expression: Expression, read: Callable[[Sequence[Event]], Values], events: Sequence[Event]
    ) -> Values:
        try:
            return read(events)
        except FAILURES:  # which one it was, and why, is found one by one
            return [_value(expression, event) for event in events]


def _value(expression: Expression, event: Event) -> Any:
    try:
        return expression(event)
    except Rejected as error:
        return error
