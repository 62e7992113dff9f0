"""Steps that hide personal data: mask and hash."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from .options import FieldPaths, Options


class Mask(Options):
    """Replace values by what gives nobody away. null and absent fields stay. Say one of `text`, `keep_last`, `email`."""

    fields: FieldPaths
    text: Annotated[str | UnsetType, Meta(description="A fixed text instead of any value.", examples=["[removed]"])] = (
        UNSET
    )
    keep_last: (
        Annotated[
            int,
            Meta(
                ge=1,
                description="Keep this many characters at the end, `*` for the others; a text that is no longer than that "
                "is masked as a whole. For texts and integers.",
                examples=[4],
            ),
        ]
        | UnsetType
    ) = UNSET
    email: Annotated[
        bool | UnsetType,
        Meta(description="`jane@example.com` becomes `j***@example.com`; what is no address becomes `***`."),
    ] = UNSET


class Hash(Options):
    """Replace values by their HMAC-SHA256 (64 hex digits): equal values stay equal, nobody without the key can guess them.

    Texts are hashed as UTF-8, other values as their JSON, so `1` and `"1"` have one hash.
    """

    fields: FieldPaths
    key_env: Annotated[
        str,
        Meta(
            pattern="^[A-Z][A-Z0-9_]*$",
            description="Name of the environment variable that brings the key (16 bytes or more). The key itself never "
            "stands in the file. A new key makes new hashes.",
            examples=["HASH_KEY"],
        ),
    ]
