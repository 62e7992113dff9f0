"""What the option structs of all steps share: their strictness, and the annotated types of fields and expressions."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Options(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of every step's options."""


FieldPath = Annotated[
    str,
    Meta(
        min_length=1,
        description=r"Name of a field. Dots lead into nested objects (`user.address.city`); `\.` is a dot in a name.",
        examples=["carrier", "user.address.city"],
    ),
]
FieldPaths = Annotated[list[FieldPath], Meta(min_length=1, description="Names of fields, dotted where nested.")]
ExpressionText = Annotated[
    str,
    Meta(
        min_length=1,
        description="An expression over the event's fields (docs/adr/0005-expression-language.md).",
        examples=["distance > 1000 and carrier in ['AA', 'UA']"],
    ),
]
