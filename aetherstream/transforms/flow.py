"""Steps that decide which events there are and where they go: filter, split, route."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from ..errors import Rejected
from ..records import Event, Events
from .context import Context
from .describe import describe
from .expressions import Expression
from .options import ExpressionText, FieldPath, Options
from .paths import EMPTY, Path, inner, path_text, put, read
from .runner import Append, Expanding, Runner, build, failing_line

Filter = Annotated[
    ExpressionText,
    Meta(
        description="Keep the events for which this holds; the rest is dropped and counted. null, false, 0 and empty "
        "texts, lists and objects do not hold.",
        examples=["dep_time != null"],
    ),
]


class Split(Options, frozen=True):
    """Make one event of each element of a list; the other fields are kept in all of them."""

    field: Annotated[FieldPath, Meta(description="The list.")]
    into: (
        Annotated[FieldPath, Meta(description="Where each element goes; default: the place of the list.")] | UnsetType
    ) = UNSET
    index: (
        Annotated[FieldPath, Meta(description="Where the element's number goes, from 0; default: nowhere.")] | UnsetType
    ) = UNSET
    empty: Annotated[
        Literal["reject", "drop", "keep"],
        Meta(description="What happens to an event whose list is empty, null or absent."),
    ] = "reject"


class Case(Options, frozen=True):
    """One case of a route."""

    when: ExpressionText
    to: Annotated[list[str], Meta(description="Names of sinks; an empty list drops the event.", examples=[["archive"]])]


class Route(Options, frozen=True):
    """Send each event to the sinks of the first case that holds. If a pipeline routes twice, the last route decides."""

    cases: Annotated[list[Case], Meta(min_length=1)]
    otherwise: Annotated[
        list[str], Meta(description="Sinks of the events that no case takes; an empty list drops them.")
    ]


MOST_EVENTS = 10_000
"""Events that one step may make of one event: a record that asks for more is refused, not the memory of the batch."""


class Choosing(Runner):
    """A step that decides for each event by expressions, in a loop that holds their code, one to a line."""

    def __init__(self, name: str, lines: list[str], expressions: list[Expression], names: dict[str, Any]) -> None:
        self.name = name
        self.expressions = expressions
        for expression in expressions:
            names = {**names, **expression.names}
        self.loop = build(name, lines, {**names, "EMPTY": EMPTY}, "values, append")

    def run(self, values: Iterator[Event], append: Append) -> None:
        """Do the step."""
        self.loop(values, append)

    def explain(self, event: Event, error: Exception) -> Rejected | None:
        """Name the part of the expression at fault."""
        try:
            self.expressions[failing_line(self.name, error)](event)
        except Rejected as rejected:
            return rejected
        return super().explain(event, error)


class FilterRunner(Choosing):
    """Keeps the events for which an expression holds."""

    def __init__(self, expression: Expression) -> None:
        super().__init__("filter", [f"append({expression.code})"], [expression], {})

    def finish(self, events: Events, out: list[Any]) -> None:
        """Put the results in."""
        if not all(out):
            events.keep(out)


class RouteRunner(Choosing):
    """Sets the sinks of each event; one without a sink is dropped."""

    def __init__(self, cases: list[tuple[Expression, frozenset[str]]], otherwise: frozenset[str]) -> None:
        words = ["if", *["elif"] * (len(cases) - 1)]
        lines = [
            f"{word} {expression.code}: append(to{number})"
            for number, (word, (expression, _)) in enumerate(zip(words, cases, strict=True))
        ]
        names: dict[str, Any] = {f"to{number}": sinks for number, (_, sinks) in enumerate(cases)}
        expressions = [expression for expression, _ in cases]
        super().__init__("route", [*lines, "else: append(otherwise)"], expressions, {**names, "otherwise": otherwise})

    def finish(self, events: Events, out: list[Any]) -> None:
        """Put the results in."""
        events.routes = out
        if not all(out):
            events.keep(out)


class SplitRunner(Expanding):
    """Makes one event of each element of a list."""

    def __init__(self, options: Split, field: Path, into: Path, index: Path | None) -> None:
        self.field, self.into, self.index, self.empty = field, into, index, options.empty
        self.name = path_text(field)

    def run(self, values: Iterator[Event], append: Append) -> None:
        """Do the step."""
        for event in values:
            elements = read(event, self.field)
            if elements.__class__ is list and elements:
                append(self._split(event, elements))
            elif elements is not None and elements.__class__ is not list:
                raise Rejected(f"{self.name} is no list", f"{self.name} is no list: it is {describe(elements)}")
            elif self.empty == "reject":
                raise Rejected(f"{self.name} is empty", f"{self.name} is {'null' if elements is None else 'empty'}")
            else:
                append(event if self.empty == "keep" else None)

    def _split(self, event: Event, elements: list[Any]) -> list[Event]:
        if len(elements) > MOST_EVENTS:
            raise Rejected(
                f"{self.name} is too long", f"{self.name} has {len(elements)} elements; {MOST_EVENTS} is the most"
            )
        if self.into != self.field:
            container = inner(event, self.field)
            if container is not None:
                del container[self.field[-1]]
        made = []
        for number, element in enumerate(elements):
            one = event.copy()
            put(one, self.into, element)
            if self.index is not None:
                put(one, self.index, number)
            made.append(one)
        return made


def compile_filter(options: str, context: Context) -> Runner | None:
    """Drop events."""
    expression = context.expression(options)
    return None if expression is None else FilterRunner(expression)


def compile_split(options: Split, context: Context) -> Runner:
    """Multiply events; what stands beside the list is shared by them."""
    context.owned = False
    field = context.path(options.field, "field")
    into = field if options.into is UNSET else context.path(options.into, "into")
    index = None if options.index is UNSET else context.path(options.index, "index")
    if index in {field, into}:
        context.mistake(f"{options.index} gets the element already: name another field", "index")
    return SplitRunner(options, field, into, index)


def compile_route(options: Route, context: Context) -> Runner | None:
    """Set routes."""

    def sinks(names: list[str], *path: str | int) -> frozenset[str]:
        for number, name in enumerate(names):
            context.known("sink", name, context.sinks, *path, number)
        return frozenset(names)

    cases = []
    for number, case in enumerate(options.cases):
        expression = context.expression(case.when, "cases", number, "when")
        to = sinks(case.to, "cases", number, "to")
        if expression is not None:
            cases.append((expression, to))
    otherwise = sinks(options.otherwise, "otherwise")
    return RouteRunner(cases, otherwise) if cases else None
