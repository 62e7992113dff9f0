"""Validation of whole batches by JSON Schema; `format` is checked, nothing is fetched from anywhere.

The good path is one call into the validator for each event and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import jsonschema_rs

from ..errors import ConfigurationError
from ..records import Event, Events, Rejection
from .describe import shorten
from .runner import exclude

MOST_ERRORS = 10
LONGEST_ERROR = 300
WHERE = "validate"

_UNREADABLE = (ValueError, SystemError)
"""What the validator raises for values that it can't read; jsonschema-rs 0.39 raises the second for some."""

Validate = Callable[[Events, list[Rejection]], None]


def compile_validation(schema: dict[str, Any]) -> Validate:
    """Compile a JSON Schema (draft 2020-12 where `$schema` names no other) to a check of batches.

    The check removes, in place, the events that do not conform, and appends a rejection for each of their records. The
    reason is the same for the same rule and place of the schema; the message has the errors of the record.

    Raises:
        ConfigurationError: not a schema, or one that refers to another document.
    """
    try:
        validator = jsonschema_rs.validator_for(schema, validate_formats=True, retriever=_fetch_nothing)
    except (ValueError, TypeError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        text = shorten(str(error).strip().splitlines()[0], LONGEST_ERROR)
        raise ConfigurationError(f"not a JSON Schema that can be used: {text}") from None
    is_valid = validator.is_valid

    def validate(events: Events, rejections: list[Rejection]) -> None:
        try:
            flags = list(map(is_valid, events.values))
        except _UNREADABLE:
            flags = [check(is_valid, event) for event in events.values]
        if all(flags):
            return
        keep = [True] * len(flags)
        for index, good in enumerate(flags):
            if not good and keep[index]:
                reason, message = judge(validator, events.values[index])
                rejections.append(
                    Rejection(events.records[index], events.subs[index], "validate", WHERE, reason, message)
                )
                exclude(events, index, keep)
        events.keep(keep)

    return validate


def _fetch_nothing(uri: str) -> NoReturn:
    """Stands for `offline=True`, which jsonschema-rs 0.39 does not know (pyproject.toml: python3.11 on arm64)."""
    raise ValueError(f"{uri} is another document; put what it says under `$defs`")


def check(is_valid: Callable[[Event], bool], event: Event) -> bool:
    """Judge one event that the validator may refuse to look at (nested too deeply for it)."""
    try:
        return is_valid(event)
    except _UNREADABLE:
        return False


def judge(validator: jsonschema_rs.Validator, event: Event) -> tuple[str, str]:
    """Reason and message of an event that does not conform."""
    try:
        errors = sorted(validator.iter_errors(event), key=lambda error: list(map(str, error.schema_path)))
    except _UNREADABLE as error:
        return "the validator cannot read it", f"the validator cannot read it: {shorten(str(error), LONGEST_ERROR)}"
    lines = [
        f"{pointer(error.instance_path)}: {shorten(error.message, LONGEST_ERROR)}" for error in errors[:MOST_ERRORS]
    ]
    more = len(errors) - len(lines)
    return reason_of(errors[0]), "; ".join([*lines, *([f"and {more} more"] if more else [])])


def pointer(path: Iterable[str | int]) -> str:
    """Write a path like `user.tags[2]`; the event itself is `event`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "event"


def reason_of(error: jsonschema_rs.ValidationError) -> str:
    """Words that depend on the schema's rule and on its place alone, not on the record."""
    keyword = str(error.schema_path[-1]) if error.schema_path else "schema"
    field = pointer(rule_path(error.schema_path))
    kind: Any = error.kind
    match keyword:
        case "required":
            return f"{pointer([*rule_path(error.schema_path), kind.property])} is missing"
        case "type":
            return f"{field} is of the wrong type"
        case "additionalProperties" | "unevaluatedProperties":
            return f"{field} has a field that is not in the schema"
        case "enum" | "const":
            return f"{field} is none of the allowed values"
        case "format":
            return f"{field} is no {kind.format}"
        case "pattern":
            return f"{field} does not match its pattern"
    return f"{field} breaks {keyword}"


def rule_path(schema_path: Iterable[str | int]) -> list[str]:
    """The fields that a rule's place in the schema speaks of: what stands under `properties`, and `[]` for elements."""
    fields: list[str] = []
    parts = list(schema_path)[:-1]
    position = 0
    while position < len(parts):
        part = parts[position]
        if part in {"properties", "patternProperties"} and position + 1 < len(parts):
            fields.append(str(parts[position + 1]))
            position += 1
        elif part in {"items", "prefixItems", "contains"}:
            fields.append("[]")
        elif part == "additionalProperties":
            fields.append("*")
        position += 1
    return fields
