"""Words for values in messages: short, and the same names that JSON has for the types."""

from __future__ import annotations

LONGEST = 80
"""Characters of a value that a message shows."""


def kind(value: object) -> str:
    """Name the JSON type of a value: `null`, `text`, `number`, `boolean`, `list`, `object`, else the Python type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list() | tuple():
            return "list"
        case dict():
            return "object"
    return type(value).__name__


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a text, with `…` for what is left out."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def describe(value: object) -> str:
    """Show a value in a few words, for example `the text 'abc'`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return f"the number {value}" if -(10**30) < value < 10**30 else "a huge number"
        case float():
            return f"the number {value!r}"
        case str():
            return f"the text {shorten(value)!r}"
        case list() | tuple():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
    return f"a Python {type(value).__name__}"
