"""The step that brings in columns of a reference table: lookup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from ..errors import Rejected
from ..records import Event, Events
from .context import Context
from .convert import to_str
from .describe import describe
from .mistakes import nearest
from .options import FieldPath, Options
from .paths import EMPTY, Path, path_text, put, read_code
from .runner import Append, Runner, build
from .tables import Table
from .values import write_code

Columns = Annotated[
    Annotated[list[str], Meta(min_length=1)] | Annotated[dict[str, FieldPath], Meta(min_length=1)],
    Meta(
        description="Columns to take, as a list, or as column to field name. They replace fields of these names.",
        examples=[["name"], {"name": "airline_name"}],
    ),
]


class Lookup(Options, frozen=True):
    """Find a row of a reference table by a field's value and take over its columns.

    Keys are compared as text: the number 7 finds the row `7` of a CSV file.
    """

    table: Annotated[str, Meta(description="Name of a table under `tables`.", examples=["airlines"])]
    field: Annotated[FieldPath, Meta(description="Field whose value is the key.", examples=["carrier"])]
    take: Annotated[Columns | UnsetType, Meta(description="Which columns become fields of the event.")] = UNSET
    into: (
        Annotated[FieldPath, Meta(description="Field that takes the whole row as an object, instead of `take`.")]
        | UnsetType
    ) = UNSET
    missing: Annotated[
        Literal["reject", "drop", None],
        Meta(description="Where the table has no such key: `null` sets the fields to null, `reject` and `drop` do so."),
    ] = None


class LookupRunner(Runner):
    """Takes columns of the row that the key finds; reads the table anew at each batch."""

    def __init__(self, options: Lookup, field: Path, columns: list[tuple[str, Path]], into: Path | None,
                 tables: Mapping[str, Table]) -> None:  # fmt: skip
        self.table, self.missing, self.tables = options.table, options.missing, tables
        self.name = path_text(field)
        self.emits = self.missing == "drop"
        found = [write_code(path, f"row.get({column!r})") for column, path in columns]
        absent = [write_code(path, "None") for _, path in columns]
        if into is not None:
            found, absent = [write_code(into, "row")], [write_code(into, "None")]
        lines = [
            f"key = {read_code(field)}",
            f"row = rows.get(key if key.__class__ is str or key is None else to_str(key, {self.name!r}))",
            "if row is None:",
            *(f"    {line}" for line in self._without(absent)),
            "else:",
            *(f"    {line}" for line in found),
            *(["    append(True)"] if self.emits else []),
        ]
        names = {"to_str": to_str, "put": put, "EMPTY": EMPTY, "refuse": self._refuse}
        # The rows are an argument, not a global of the loop: so a reload is seen, and only between batches.
        self.loop = build("lookup", lines, names, "values, append, rows")

    def _without(self, absent: list[str]) -> list[str]:
        """Code for an event whose key the table does not have."""
        return {"reject": ["raise refuse(key)"], "drop": ["append(False)"], None: absent}[self.missing]

    def _refuse(self, key: object) -> Rejected:
        return Rejected(f"no row of {self.table} for {self.name}",
                        f"the table {self.table} has no row for {self.name}: it is {describe(key)}")  # fmt: skip

    def run(self, values: Iterator[Event], append: Append) -> None:
        """Do the step."""
        self.loop(values, append, self.tables[self.table].rows)

    def finish(self, events: Events, out: list[Any]) -> None:
        """Put the results in."""
        if not all(out):
            events.keep(out)


def compile_lookup(options: Lookup, context: Context) -> Runner | None:
    """Enrich events."""
    field = context.path(options.field, "field")
    into = None if options.into is UNSET else context.path(options.into, "into")
    named: dict[str, str] = {}
    if options.take is not UNSET:
        named = options.take if isinstance(options.take, dict) else {column: column for column in options.take}
    if (into is None) == (not named):
        context.mistake("say one of take (some columns) and into (the whole row)")
        return None
    context.owned = False
    if not context.known("table", options.table, context.tables, "table"):
        return None
    columns = context.tables[options.table].columns
    for column in named:
        if column not in columns:
            context.mistake(f"the table {options.table} has no column {column!r}{nearest(column, columns)}", "take")
    # A column is one name, with or without a dot in it; the name of a field is a path.
    renamed = isinstance(options.take, dict)
    paths = [(column, context.path(name, "take", column) if renamed else (name,)) for column, name in named.items()]
    return LookupRunner(options, field, paths, into, context.tables)
