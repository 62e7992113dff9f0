"""From the plain values of a document to a typed model, or to everything that is wrong with them, in words."""

from collections.abc import Container, Iterator
from typing import Any, TypeVar

import msgspec

from aetherstream.pipeline.document import Document
from aetherstream.pipeline.mistakes import Mistake, Path
from aetherstream.transforms.mistakes import nearest

Model = TypeVar("Model", bound=msgspec.Struct)

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def convert(document: Document, model: type[Model]) -> Model | None:
    """Convert a document to its model; None, and the mistakes noted in the document, when it doesn't fit."""
    try:
        return msgspec.convert(document.value, model)
    except msgspec.ValidationError as error:
        known = {mistake.path for mistake in document.mistakes}
        if document.value is None and known:
            return None
        found = [mistake for mistake in schema_mistakes(document.value, model) if mistake.path not in known]
        if not found and not known:
            message, _, place = str(error).partition(" - at `$")
            found = [Mistake(_path(place.rstrip("`")), message)]
        document.mistakes += found
        return None


def schema_mistakes(value: Any, model: type[msgspec.Struct]) -> list[Mistake]:
    """Return all mistakes of a value against the model's JSON Schema; none where its library is not at hand."""
    try:
        import jsonschema_rs
    except ImportError:  # the loader's package does without: a mistake has stopped the stream function before
        return []

    from aetherstream.pipeline.schema import strict_schema

    schema = strict_schema(model)
    errors = jsonschema_rs.validator_for(schema).iter_errors(value)
    return [mistake for error in errors for mistake in _in_words(error, schema)]


def _in_words(error: Any, schema: dict[str, Any]) -> Iterator[Mistake]:
    if inner := _meant(error):
        for one in inner:
            yield from _in_words(one, schema)
        return
    path: Path = tuple(error.instance_path)
    rule: Any = schema
    for part in error.schema_path[:-1]:
        rule = rule[part]
    kind = _keyword(error)
    if kind == "additionalProperties":
        for key in error.kind.unexpected:
            yield Mistake((*path, key), f"unknown key{nearest(key, rule.get('properties', ()))}", on_key=True)
    elif kind == "required":
        name = error.kind.property
        meaning = _resolved(rule.get("properties", {}).get(name, {}), schema).get("description", "")
        yield Mistake(path, f"{name!r} is missing{': ' + meaning if meaning else ''}", on_key=True)
    elif kind == "propertyNames":
        name = error.kind.error.instance
        yield Mistake((*path, name), f"not allowed as a name; names match {rule.get('pattern', '')}", on_key=True)
    elif kind == "minProperties" and "properties" not in rule:
        yield Mistake(path, "is empty; it needs one entry at least", on_key=True)
    elif kind in ("oneOf", "maxProperties", "minProperties"):
        choices = (
            [choice["required"][0] for choice in rule["oneOf"]] if kind == "oneOf" else list(rule.get("properties", ()))
        )
        yield from _one_of(path, error.instance, choices, rule.get("properties", ()))
    elif kind == "enum":
        right = [str(option) for option in error.kind.options]
        near = _suggested(error.instance, right) if isinstance(error.instance, str) else ""
        yield Mistake(path, f"{_shown(error.instance)} is not one of {', '.join(right)}{near}")
    else:
        yield Mistake(path, _expected(error, rule, schema))


def _meant(error: Any) -> list[Any]:
    """Return what is wrong inside a mapping or list where one of several forms is one; older validators don't tell."""
    if not isinstance(error.instance, dict | list):
        return []
    forms = [list(form) for form in getattr(error.kind, "context", ())]
    fitting = [
        form
        for form in forms
        if not any(one.instance_path == error.instance_path and one.schema_path[-1] in ("type", "enum") for one in form)
    ]
    return fitting[0] if len(fitting) == 1 else []


def _keyword(error: Any) -> str:
    """The rule that is broken, as `kind.name` says it, which jsonschema-rs 0.39 does not have."""
    return "propertyNames" if hasattr(error.kind, "error") else str(error.schema_path[-1])


def _suggested(word: str, right: list[str]) -> str:
    """The nearest right word, if one is near."""
    near = nearest(word, right)
    return near if "did you mean" in near else ""


def _one_of(path: Path, value: Any, choices: list[str], known: Container[str]) -> Iterator[Mistake]:
    if not isinstance(value, dict):
        return
    keys = list(value)
    given = [key for key in keys if key in choices]
    if len(given) > 1:
        each = "list entry" if isinstance(path[-1], int) else "sink"
        yield Mistake(
            (*path, given[1]), f"only one of {', '.join(given)} may stand here; make a {each} of each", on_key=True
        )
    elif not given and all(key in known for key in keys):
        yield Mistake(path, f"needs exactly one of: {', '.join(choices)}")


def _expected(error: Any, rule: dict[str, Any], schema: dict[str, Any]) -> str:
    rule = _resolved(rule, schema)
    value, kind = error.instance, _keyword(error)
    # A password of digits comes here as a number, and what is said here stands in logs.
    shown = "something else" if list(error.instance_path)[-1:] == ["password"] else _shown(value)
    kinds = list(dict.fromkeys(_types(rule, schema)))
    what = " or ".join(kinds) if "properties" in rule else rule.get("title") or " or ".join(kinds)
    if kind not in ("type", "anyOf", "pattern") or not what:
        message = str(error.message)
    elif kind == "pattern" and rule.get("title") is None:
        message = f"{shown} does not match {rule['pattern']}"
    else:
        message = f"expected {what}, got {shown}"
        words = [str(word) for choice in rule.get("anyOf", ()) for word in _resolved(choice, schema).get("enum", ())]
        if isinstance(value, str) and words:
            message += _suggested(value, words)
    if not isinstance(value, str | dict | list) and value is not None and "text" in kinds:
        message += "; put quotes around it to make it text"
    elif isinstance(value, str) and "true or false" in kinds:
        message += "; write true or false (YAML 1.2: yes, no, on and off are text)"
    elif rule.get("examples"):
        message += f"; for example {_plain(rule['examples'][0])}"
    return message


def _types(rule: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    rule = _resolved(rule, schema)
    if isinstance(rule.get("type"), str):
        yield _TYPES[rule["type"]]
    if "enum" in rule:
        yield f"one of {', '.join(map(str, rule['enum']))}"
    for choice in rule.get("anyOf", ()):
        yield from _types(choice, schema)


def _resolved(rule: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in rule:
        return {**schema["$defs"][rule["$ref"].rpartition("/")[2]], **rule}
    return rule


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value) if isinstance(value, str) else f"the number {value}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _path(text: str) -> Path:
    """Read msgspec's `.transforms[0].cast`; a `[...]` is an unnamed key."""
    parts: list[str | int] = []
    for name in text.split("."):
        key, _, index = name.partition("[")
        if key:
            parts.append(key)
        if index.rstrip("]").isdigit():
            parts.append(int(index.rstrip("]")))
    return tuple(parts)
