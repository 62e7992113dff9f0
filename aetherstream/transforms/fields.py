"""Steps that choose and name fields: select, drop, rename, flatten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from ..errors import Rejected
from ..records import Event
from .context import Context
from .options import FieldPath, FieldPaths, Options
from .paths import Path, exists, inner, path_text, put, read
from .runner import InPlace, Runner, build

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
        description="Old name to new name. Absent fields are passed over; a new name that is taken is a rejection.",
        examples=[{"dest": "destination"}],
    ),
]


class Flatten(Options, frozen=True):
    """Lift the fields of nested objects to the top: `{"a": {"b": 1}}` becomes `{"a_b": 1}`."""

    fields: (
        Annotated[FieldPaths, Meta(description="Only these top-level fields; default: every field that is an object.")]
        | UnsetType
    ) = UNSET
    separator: Annotated[
        str, Meta(description="Stands between the joined names.", min_length=1, examples=["_", "__"])
    ] = "_"
    depth: (
        Annotated[int, Meta(ge=1, description="How many levels to lift; default: all. Lists are left as they are.")]
        | UnsetType
    ) = UNSET


def compile_select(options: list[str], context: Context) -> Runner:
    """Keep some fields; a path below another one that is kept too is a mistake."""
    paths = [context.path(text, number) for number, text in enumerate(options)]
    for number, path in enumerate(paths):
        if any(other != path and path[: len(other)] == other for other in paths):
            context.mistake(
                f"{path_text(path)} is part of a field that is kept as a whole: leave out one of them", number
            )
    paths = list(dict.fromkeys(paths))

    def pick(event: Event) -> Event:
        made: Event = {}
        for path in paths:
            if exists(event, path):
                put(made, path, read(event, path))
        return made

    # The events of a stream mostly have all fields: a display is twice as fast as asking for each.
    display = ", ".join(f"{path[0]!r}: v[{path[0]!r}]" for path in paths)
    made = "pick(v)" if any(len(path) > 1 for path in paths) else f"{{{display}}}"
    lines = ["try:", f"    made = {made}", "except KeyError:", "    made = pick(v)", "v.clear()", "v.update(made)"]
    return InPlace(build("select", lines, {"pick": pick}))


def compile_drop(options: list[str], context: Context) -> Runner:
    """Remove some fields."""
    lines: list[str] = []
    for number, text in enumerate(options):
        path = context.path(text, number)
        if len(path) == 1:
            lines += [f"if {path[0]!r} in v:", f"    del v[{path[0]!r}]"]
        else:
            lines += [f"if (d := inner(v, {path!r})) is not None:", f"    del d[{path[-1]!r}]"]
    return InPlace(build("drop", lines, {"inner": inner}))


def taken(name: str, old: str) -> Rejected:
    """Refuse to write over a field."""
    return Rejected(
        f"{name} is there already", f"{old} cannot be renamed to {name}, which is there already: drop it before"
    )


def compile_rename(options: dict[str, str], context: Context) -> Runner:
    """Rename fields, all at once, so that two can change places."""
    pairs = [(context.path(old, old), context.path(new, old)) for old, new in options.items()]
    if len({new for _, new in pairs}) != len(pairs):
        context.mistake("two fields get one name")
    if any(len(path) > 1 for pair in pairs for path in pair) or {old for old, _ in pairs} & {new for _, new in pairs}:
        return InPlace(rename_all(pairs))
    lines: list[str] = []
    for (old,), (new,) in pairs:
        lines += [
            f"if {old!r} in v:",
            f"    if {new!r} in v: raise taken({new!r}, {old!r})",
            f"    v[{new!r}] = v.pop({old!r})",
        ]
    return InPlace(build("rename", lines, {"taken": taken}))


def rename_all(pairs: list[tuple[Path, Path]]) -> Callable[[Iterator[Event]], None]:
    """Rename nested fields, or fields that change places: take all out, then put all in."""

    def run(values: Iterator[Event]) -> None:
        for event in values:
            moved = []
            for old, new in pairs:
                container = inner(event, old)
                if container is not None:
                    moved.append((old, new, container.pop(old[-1])))
            for old, new, value in moved:
                if exists(event, new):
                    raise taken(path_text(new), path_text(old))
                put(event, new, value)

    return run


def compile_flatten(options: Flatten, context: Context) -> Runner:
    """Lift nested fields; a name that is taken already is a rejection, an empty object disappears."""
    only = None
    if options.fields is not UNSET:
        only = frozenset(options.fields)
        for number, name in enumerate(options.fields):
            if len(context.path(name, "fields", number)) > 1:
                context.mistake(f"{name} is nested: flatten begins at the top", "fields", number)
    separator = options.separator
    depth = 1_000_000 if options.depth is UNSET else options.depth

    def run(values: Iterator[Event]) -> None:
        for event in values:
            if dict in map(type, event.values()):
                lift(event)

    def lift(event: Event) -> None:
        level = [name for name, value in event.items() if value.__class__ is dict and (only is None or name in only)]
        left = depth
        while level and left:
            left -= 1
            deeper = []
            for name in level:
                for key, value in event.pop(name).items():
                    joined = f"{name}{separator}{key}"
                    if joined in event:
                        raise Rejected(f"{joined} is there already", f"flatten makes {joined}, which is there already")
                    event[joined] = value
                    if value.__class__ is dict:
                        deeper.append(joined)
            level = deeper

    return InPlace(run)
