r"""Dotted field paths: `user.address.city`; `\.` is a dot inside a name.

Events own their top level only, so `put` and `inner` replace the nested objects on the way by copies of their own.
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import Rejected
from ..records import Event
from .describe import describe

Path = tuple[str, ...]

EMPTY: Event = {}
"""Stands for "no object here" in generated code; never changed."""


def parse_path(text: str) -> Path:
    """Split a dotted path.

    Raises:
        ValueError: a part is empty.
    """
    parts = tuple(part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", text))
    if not all(parts):
        raise ValueError(
            f"{text!r} has an empty part: write names joined by single dots, and `\\.` for a dot in a name"
        )
    return parts


def path_text(path: Path) -> str:
    """Write a path the way that `parse_path` reads it."""
    return ".".join(part.replace(".", "\\.") for part in path)


def read_code(path: Path, event: str = "v") -> str:
    """Python code that reads a path from the event; None where anything on the way is missing or no object."""
    code = f"{event}.get({path[0]!r})"
    for depth, part in enumerate(path[1:]):
        code = f"(_p{depth} if (_p{depth} := {code}).__class__ is dict else EMPTY).get({part!r})"
    return code


def read(event: Event, path: Path) -> Any:
    """Read a path; None where anything on the way is missing or no object."""
    value: Any = event
    for part in path:
        if value.__class__ is not dict:
            return None
        value = value.get(part)
    return value


def exists(event: Event, path: Path) -> bool:
    """Tell whether the field is there, be it null."""
    container = read(event, path[:-1]) if len(path) > 1 else event
    return container.__class__ is dict and path[-1] in container


def inner(event: Event, path: Path) -> Event | None:
    """Return the object that holds the last part of an existing path, made the event's own; None where it is absent."""
    return own(event, path) if exists(event, path) else None


def put(event: Event, path: Path, value: Any) -> None:
    """Set a field, and make the objects on its way.

    Raises:
        Rejected: something on the way is there and is no object.
    """
    own(event, path)[path[-1]] = value


def own(event: Event, path: Path) -> Event:
    """Return the object that holds (or shall hold) the last part of the path, copied like those above it."""
    container = event
    for depth, part in enumerate(path[:-1], start=1):
        value = container.get(part)
        if value is None:
            copy: Event = {}
        elif value.__class__ is dict:
            copy = value.copy()
        else:
            name = path_text(path[:depth])
            raise Rejected(f"{name} is no object", f"{path_text(path)} cannot be set: {name} is {describe(value)}")
        container[part] = copy
        container = copy
    return container
