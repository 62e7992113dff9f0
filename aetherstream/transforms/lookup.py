"""The step that brings in columns of a reference table: lookup."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from .options import FieldPath, Options

Columns = Annotated[
    Annotated[list[str], Meta(min_length=1)] | Annotated[dict[str, FieldPath], Meta(min_length=1)],
    Meta(
        description="Columns to take, as a list, or as column to field name. They replace fields of these names.",
        examples=[["name"], {"name": "airline_name"}],
    ),
]


class Lookup(Options):
    """Find a row of a reference table by a field's value and take over its columns.

    Keys are compared as text: the number 7 finds the row `7` of a CSV file.
    """

    table: Annotated[str, Meta(description="Name of a table under `tables`.", examples=["airlines"])]
    field: Annotated[FieldPath, Meta(description="Field whose value is the key.", examples=["carrier"])]
    take: Annotated[Columns | UnsetType, Meta(description="Which columns become fields of the event.")] = UNSET
    into: Annotated[
        FieldPath | UnsetType, Meta(description="Field that takes the whole row as an object, instead of `take`.")
    ] = UNSET
    missing: Annotated[
        Literal["reject", "drop", None],
        Meta(description="Where the table has no such key: `null` sets the fields to null, `reject` and `drop` do so."),
    ] = None
