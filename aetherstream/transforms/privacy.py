"""Steps that hide personal data: mask and hash."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from ..errors import Rejected
from .context import Context
from .convert import to_str
from .mistakes import nearest
from .options import FieldPaths, Options
from .paths import EMPTY, path_text, put, read_code
from .runner import InPlace, Runner, build
from .values import write_code


class Mask(Options, frozen=True):
    """Replace values by what gives nobody away. null and absent fields stay. Say `text`, `keep_last` or `email`."""

    fields: FieldPaths
    text: Annotated[str | UnsetType, Meta(description="A fixed text instead of any value.", examples=["[removed]"])] = (
        UNSET
    )
    keep_last: (
        Annotated[
            int,
            Meta(
                ge=1,
                description="Keep this many characters at the end, `*` for the others; a text no longer than that is "
                "masked as a whole. For texts and integers.",
                examples=[4],
            ),
        ]
        | UnsetType
    ) = UNSET
    email: Annotated[
        bool | UnsetType,
        Meta(description="`jane@example.com` becomes `j***@example.com`; what is no address becomes `***`."),
    ] = UNSET


class Hash(Options, frozen=True):
    """Replace values by their HMAC-SHA256 (64 hex digits): equal values stay equal, without the key nobody can guess.

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


SHORTEST_KEY = 16
"""Bytes of a key."""


def mask_tail(keep: int) -> Callable[[Any, str], str]:
    """Keep the last characters of a text or integer."""

    def mask(value: Any, name: str) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise refuse_hidden(name)
        text = to_str(value, name)
        hidden = len(text) - keep
        return "*" * hidden + text[hidden:] if hidden > 0 else "*" * len(text)

    return mask


def mask_email(value: Any, name: str) -> str:
    """Keep the first letter and the domain of an address."""
    if not isinstance(value, str):
        raise refuse_hidden(name)
    local, at, domain = value.rpartition("@")
    return f"{local[0]}***@{domain}" if at and local and domain else "***"


def refuse_hidden(name: str) -> Rejected:
    """Refuse a value without showing it."""
    return Rejected(f"{name} cannot be masked", f"{name} cannot be masked: it is no text (its value is not shown)")


def compile_mask(options: Mask, context: Context) -> Runner | None:
    """Mask fields."""
    said = [name for name in ("text", "keep_last", "email") if getattr(options, name) not in (UNSET, False)]
    if len(said) != 1:
        context.mistake(f"say one of text, keep_last and email, not {' and '.join(said) or 'none'}")
        return None
    if options.text is not UNSET:
        text = options.text
        return replacing(options.fields, lambda _value, _name: text, context)
    return replacing(
        options.fields, mask_email if options.keep_last is UNSET else mask_tail(options.keep_last), context
    )


def compile_hash(options: Hash, context: Context) -> Runner | None:
    """Hash fields with the key that the composition root read from the environment."""
    key = context.secrets.get(options.key_env, "").encode()
    if not key:
        near = nearest(options.key_env, context.secrets)
        context.mistake(
            f"the environment variable {options.key_env} is not set{near}: give the function its key, for example from "
            "Secrets Manager",
            "key_env",
        )
        return None
    if len(key) < SHORTEST_KEY:
        context.mistake(f"the key in {options.key_env} has {len(key)} bytes: {SHORTEST_KEY} is the least", "key_env")
        return None
    start = hmac.new(key, digestmod=hashlib.sha256)

    def digest(value: Any, name: str) -> str:
        mac = start.copy()
        mac.update(to_str(value, name).encode(errors="surrogatepass"))
        return mac.hexdigest()

    return replacing(options.fields, digest, context)


def replacing(fields: list[str], replace: Callable[[Any, str], Any], context: Context) -> Runner:
    """Replace the values of fields that are neither absent nor null."""
    lines: list[str] = []
    for number, name in enumerate(fields):
        path = context.path(name, "fields", number)
        code = f"replace(x, {path_text(path)!r})"
        lines += [f"x = {read_code(path)}", "if x is not None:", f"    {write_code(path, code)}"]
    return InPlace(build("hide", lines, {"replace": replace, "put": put, "EMPTY": EMPTY}))
