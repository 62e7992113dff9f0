"""Each kind of step in words, and what a step takes away from an event."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET

from aetherstream.transforms.model import Step


def in_words(step: Step) -> str:
    """Say what a step does, in one line."""
    return _WORDS[step.kind](step.options)


def removes(steps: Sequence[Step], path: str) -> int | None:
    """Return the index of the step after which a top-level field is surely gone, or None.

    A step behind it that could bring the field back (or that can't be seen into) makes it unsure.
    """
    name = path.partition(".")[0]
    found = None
    for index, step in enumerate(steps):
        if _takes_away(step, name):
            found = index
        elif _may_make(step, name):
            found = None
    return found


def _takes_away(step: Step, name: str) -> bool:
    options: Any = step.options
    if step.kind == "select":
        return not any(kept.partition(".")[0] == name for kept in options)
    if step.kind == "rename":
        return name in options and name not in options.values()
    return step.kind == "drop" and name in options


def _may_make(step: Step, name: str) -> bool:
    options: Any = step.options
    if step.kind in ("rename", "set"):
        made = options.values() if step.kind == "rename" else options
        return any(target.partition(".")[0] == name for target in made)
    return step.kind in ("python", "flatten", "lookup", "split", "parse_time")


def _lookup(o: Any) -> str:
    took = (
        f"the row as {o.into}"
        if o.take is UNSET
        else f"take {_pairs(o.take) if isinstance(o.take, dict) else _list(o.take)}"
    )
    return f"{o.field} in table {o.table}: {took}; not found: {'null' if o.missing is None else o.missing}"


def _route(o: Any) -> str:
    cases = "; ".join(f"{case.when} → {_list(case.to) or 'nowhere (dropped)'}" for case in o.cases)
    return f"{cases}; otherwise → {_list(o.otherwise) or 'nowhere (dropped)'}"


def _mask(o: Any) -> str:
    how = (
        f"by {o.text!r}"
        if o.text is not UNSET
        else f"but the last {o.keep_last}"
        if o.keep_last is not UNSET
        else "as an address"
    )
    return f"{_list(o.fields)} {how}"


def _python(o: Any) -> str:
    if isinstance(o, str):
        return o
    return f"{o.call} with {_pairs(o.with_)}" if o.with_ else str(o.call)


def _flatten(o: Any) -> str:
    what = "objects" if o.fields is UNSET else _list(o.fields)
    return f"lift the fields of {what}, joined by {o.separator!r}{'' if o.depth is UNSET else f', {o.depth} levels'}"


def _parse_time(o: Any) -> str:
    into = "" if o.into is UNSET else f" into {o.into}"
    return f"{o.field} from {' or '.join(o.formats)} (zone {o.timezone} where none is given) to {o.to}{into}"


def _split(o: Any) -> str:
    return f"one event of each element of {o.field}{'' if o.into is UNSET else f', as {o.into}'}; empty: {o.empty}"


def _list(names: Any) -> str:
    return ", ".join(names)


def _pairs(pairs: Any, joint: str = " as ") -> str:
    return ", ".join(f"{key}{joint}{value}" for key, value in pairs.items())


_WORDS: dict[str, Callable[[Any], str]] = {
    "select": lambda o: f"keep only {_list(o)}",
    "drop": lambda o: f"remove {_list(o)}",
    "rename": lambda o: _pairs(o, " → "),
    "set": lambda o: _pairs(o, " = "),
    "cast": lambda o: _pairs(o, " to "),
    "flatten": _flatten,
    "parse_time": _parse_time,
    "filter": lambda o: f"keep where {o}; the rest is dropped and counted",
    "split": _split,
    "mask": _mask,
    "hash": lambda o: f"{_list(o.fields)} by HMAC-SHA256 with the key of ${o.key_env}",
    "lookup": _lookup,
    "route": _route,
    "python": _python,
}
