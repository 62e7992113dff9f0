"""Steps that make values: set, cast, parse_time."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from .options import ExpressionText, FieldPath, Options

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


class ParseTime(Options):
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
            description="IANA zone of times that carry no offset. Of a local time that occurs twice the first is meant; "
            "one that does not occur is a rejection.",
            examples=["UTC", "America/New_York"],
        ),
    ] = "UTC"
    to: Annotated[
        Literal["iso8601", "epoch_s", "epoch_ms"],
        Meta(description="`iso8601` gives `2013-01-01T10:00:00Z` (with microseconds where there are any)."),
    ] = "iso8601"
    into: Annotated[FieldPath | UnsetType, Meta(description="Where the result goes; default: the same field.")] = UNSET
