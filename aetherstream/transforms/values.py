"""Steps that make values: set, cast, parse_time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from ..errors import Rejected
from ..records import Event
from .context import Context
from .convert import to_bool, to_float, to_int, to_json, to_str
from .expressions import Expression
from .options import ExpressionText, FieldPath, Options
from .paths import EMPTY, Path, path_text, put, read_code
from .runner import InPlace, Runner, build, failing_line
from .times import epoch_milliseconds, epoch_seconds, is_iso8601, iso8601, time_reader

Set = Annotated[
    dict[FieldPath, ExpressionText | int | float | bool],
    Meta(
        min_length=1,
        description="Field to expression, computed in this order, each seeing the ones before. A number or a boolean "
        "stands for itself; a text is an expression, so a fixed text has quotes of its own.",
        examples=[{"delayed": "coalesce(dep_delay, 0) > 15", "source": "'airport'"}],
    ),
]
CastType = Literal["int", "float", "str", "bool", "json"]
Cast = Annotated[
    dict[FieldPath, CastType],
    Meta(
        min_length=1,
        description="Field to type. null and absent fields stay; a value that cannot be converted without loss is a "
        "rejection. `json` parses a text that holds JSON.",
        examples=[{"flight": "str", "price": "float"}],
    ),
]


class ParseTime(Options, frozen=True):
    """Read a time in one of several formats and write it in one: UTC, ISO 8601 with `Z`, or epoch."""

    field: FieldPath
    formats: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="Tried in this order: `iso8601`, `epoch_s`, `epoch_ms`, or a strptime pattern such as "
            "`%d/%m/%Y %H:%M`.",
        ),
    ] = ("iso8601",)
    timezone: Annotated[
        str,
        Meta(
            description="IANA zone of times that carry no offset. Of a local time that occurs twice the first is "
            "meant; one that does not occur is a rejection.",
            examples=["UTC", "America/New_York"],
        ),
    ] = "UTC"
    to: Annotated[
        Literal["iso8601", "epoch_s", "epoch_ms"],
        Meta(description="`iso8601` gives `2013-01-01T10:00:00Z` (with microseconds where there are any)."),
    ] = "iso8601"
    into: Annotated[FieldPath, Meta(description="Where the result goes; default: the same field.")] | UnsetType = UNSET


def write_code(path: Path, value: str) -> str:
    """Code that sets a field of the event `v`."""
    return f"v[{path[0]!r}] = {value}" if len(path) == 1 else f"put(v, {path!r}, {value})"


class SetRunner(InPlace):
    """Sets fields in one loop that holds the expressions' code; knows which expression failed by the line."""

    def __init__(self, assignments: list[tuple[Path, Expression]]) -> None:
        self.expressions = [expression for _, expression in assignments]
        names: dict[str, Any] = {"put": put, "EMPTY": EMPTY}
        lines = []
        for path, expression in assignments:
            names |= expression.names
            lines.append(write_code(path, expression.checked_code))
        super().__init__(build("set", lines, names))

    def explain(self, event: Event, error: Exception) -> Rejected | None:
        """Name the part of the expression at fault, or the expression whose result was refused."""
        found = self.expressions[failing_line("set", error)]
        try:
            found(event)
        except Rejected as rejected:
            return rejected
        if isinstance(error, Rejected):
            return Rejected(error.reason, f"`{found.text}`: {error.message}")
        return super().explain(event, error)


def compile_set(options: dict[str, str | int | float | bool], context: Context) -> Runner:
    """Set fields by expressions."""
    assignments = []
    for name, value in options.items():
        path = context.path(name, name)
        expression = context.expression(value if isinstance(value, str) else json_literal(value), name)
        if expression is not None:
            context.owned = context.owned and not expression.may_share
            assignments.append((path, expression))
    return SetRunner(assignments)


def json_literal(value: float) -> str:
    """Write a number or boolean of the file as an expression."""
    return repr(value).lower() if isinstance(value, bool) else repr(value)


CASTS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "int": ("x.__class__ is not int", to_int),
    "float": ("x.__class__ is not float", to_float),
    "str": ("x.__class__ is not str", to_str),
    "bool": ("x.__class__ is not bool", to_bool),
    "json": ("x.__class__ is str", to_json),
}
"""For each type: when a value needs conversion, and the conversion."""


def compile_cast(options: dict[str, CastType], context: Context) -> Runner:
    """Convert fields."""
    lines: list[str] = []
    for name, wanted in options.items():
        path = context.path(name, name)
        code = f"to_{wanted}(x, {path_text(path)!r})"
        lines += [
            f"x = {read_code(path)}",
            f"if {CASTS[wanted][0]} and x is not None:",
            f"    {write_code(path, code)}",
        ]
    names = {f"to_{name}": convert for name, (_, convert) in CASTS.items()}
    return InPlace(build("cast", lines, {**names, "put": put, "EMPTY": EMPTY}))


WRITERS: dict[str, Callable[[datetime], Any]] = {
    "iso8601": iso8601,
    "epoch_s": epoch_seconds,
    "epoch_ms": epoch_milliseconds,
}


def compile_parse_time(options: ParseTime, context: Context) -> Runner | None:
    """Read and write times; null and absent fields stay."""
    field = context.path(options.field, "field")
    into = field if options.into is UNSET else context.path(options.into, "into")
    try:
        read = time_reader(options.formats, options.timezone)
    except ValueError as error:
        context.mistake(str(error), "timezone" if "zone" in str(error) else "formats")
        return None
    code = f"write(read(x, {path_text(field)!r}))"
    # Most producers write what comes out anyway: that is looked at, and left as it is.
    as_it_is = options.to == "iso8601" and options.formats[0] == "iso8601" and field == into
    lines = [
        f"x = {read_code(field)}",
        f"if x is not None{' and not is_iso8601(x)' if as_it_is else ''}:",
        f"    {write_code(into, code)}",
    ]
    names = {"read": read, "write": WRITERS[options.to], "is_iso8601": is_iso8601, "put": put, "EMPTY": EMPTY}
    return InPlace(build("parse_time", lines, names))
