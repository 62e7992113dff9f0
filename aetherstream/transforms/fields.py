"""Steps that choose and name fields: select, drop, rename, flatten."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from .options import FieldPath, FieldPaths, Options

Select = Annotated[
    FieldPaths,
    Meta(
        description="Keep only these fields; what an event does not have stays absent.", examples=[["id", "user.name"]]
    ),
]
Drop = Annotated[FieldPaths, Meta(description="Remove these fields where they are present.", examples=[["debug"]])]
Rename = Annotated[
    dict[FieldPath, FieldPath],
    Meta(
        min_length=1,
        description="Old name to new name. Absent fields are passed over; a new name that is taken already is a rejection.",
        examples=[{"dest": "destination"}],
    ),
]


class Flatten(Options):
    """Lift the fields of nested objects to the top: `{"a": {"b": 1}}` becomes `{"a_b": 1}`."""

    fields: Annotated[
        FieldPaths | UnsetType, Meta(description="Only these top-level fields; default: every field that is an object.")
    ] = UNSET
    separator: Annotated[
        str, Meta(description="Stands between the joined names.", min_length=1, examples=["_", "__"])
    ] = "_"
    depth: (
        Annotated[int, Meta(ge=1, description="How many levels to lift; default: all. Lists are left as they are.")]
        | UnsetType
    ) = UNSET
