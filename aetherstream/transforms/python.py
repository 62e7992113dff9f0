"""The step that calls the user's Python function."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from .options import Options

Reference = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="`module:function`. The function takes an event (a dict, which it may change) and returns a dict, "
        "None (drops it) or several dicts; it raises `Reject` to refuse the record.",
        examples=["pipelines.steps:known_carrier"],
    ),
]


class Call(Options, rename={"with_": "with"}):
    """A Python function with fixed keyword arguments."""

    call: Reference
    with_: Annotated[dict[str, Any], Meta(description="Keyword arguments of every call.", examples=[{"limit": 3}])] = {}
