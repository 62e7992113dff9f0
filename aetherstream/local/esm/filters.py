"""Filter criteria: which records a mapping delivers.

The subset of EventBridge patterns that Lambda supports: exact values, null, `prefix`, `suffix`, `exists`, `numeric`,
`anything-but`, `equals-ignore-case` and `$or`. A pattern's top-level keys are the fields of the record: `data` (parsed
from JSON), the other fields of `kinesis` such as `partitionKey`, and those beside it such as `eventID`.

Chosen where AWS is silent: an array in the data matches when one of its elements does.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from aetherstream.errors import ConfigurationError

Predicate = Callable[[Mapping[str, Any]], bool]
Test = Callable[[Any], bool]

MAX_PATTERN = 4096
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Missing:
    """A field that the record does not have."""


_MISSING = _Missing()


class FilterSet:
    """Compiled filters; a record passes when one pattern matches (AWS: filters are joined by OR)."""

    def __init__(self, patterns: Sequence[tuple[Predicate, bool]]) -> None:
        self._patterns = patterns
        self._reads_data = any(reads for _, reads in patterns)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def passes(self, fields: dict[str, Any], data: bytes) -> bool:
        """Judge a record: `fields` without `data`, and its bytes.

        Data that is not JSON fails every pattern that has a `data` key, and is dropped silently (AWS: event filtering).
        """
        is_json = False
        if self._reads_data:
            try:
                fields["data"] = orjson.loads(data)
                is_json = True
            except orjson.JSONDecodeError:
                pass
        return any((is_json or not reads) and matches(fields) for matches, reads in self._patterns)


def compile_filters(patterns: Sequence[str]) -> FilterSet:
    """Compile the patterns of `FilterCriteria.Filters`; `ConfigurationError` names the pattern and what is wrong."""
    return FilterSet([_compile(pattern) for pattern in patterns])


def _compile(text: str) -> tuple[Predicate, bool]:
    if len(text) > MAX_PATTERN:
        raise ConfigurationError(
            f"FilterCriteria: a pattern has {len(text)} characters; it must be 0 to {MAX_PATTERN}: {text[:60]}..."
        )
    try:
        pattern = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(
            f"FilterCriteria: pattern {text!r} is not JSON ({error}); write a JSON object"
        ) from None
    if not isinstance(pattern, dict):
        raise ConfigurationError(f"FilterCriteria: pattern {text!r} is not a JSON object")
    if "data" in pattern and not isinstance(pattern["data"], dict):
        raise ConfigurationError(
            f"FilterCriteria: 'data' of pattern {text!r} must be a JSON object that names fields of the data"
        )
    return _fields(pattern, text, ()), _mentions_data(pattern)


def _mentions_data(pattern: Mapping[str, Any]) -> bool:
    return "data" in pattern or any(_mentions_data(branch) for branch in pattern.get("$or", ()))


def _fields(pattern: Mapping[str, Any], text: str, path: tuple[str, ...]) -> Predicate:
    """All fields of an object pattern must match."""
    tests: list[Predicate] = []
    for name, rule in pattern.items():
        here = (*path, name)
        if name == "$or":
            tests.append(_either(rule, text, here))
        elif isinstance(rule, dict):
            tests.append(_nested(name, _fields(rule, text, here)))
        elif isinstance(rule, list) and rule:
            tests.append(_leaf(name, [_rule(value, text, here) for value in rule]))
        else:
            raise _wrong(text, here, f"{rule!r} must be an object or a list of values that has at least one")
    return lambda fields: all(test(fields) for test in tests)


def _either(branches: object, text: str, path: tuple[str, ...]) -> Predicate:
    if not isinstance(branches, list) or len(branches) < 2 or not all(isinstance(b, dict) for b in branches):
        raise _wrong(text, path, "$or must be a list of at least two objects")
    compiled = [_fields(branch, text, path[:-1]) for branch in branches]
    return lambda fields: any(matches(fields) for matches in compiled)


def _nested(name: str, matches: Predicate) -> Predicate:
    def test(fields: Mapping[str, Any]) -> bool:
        value = fields.get(name)
        if isinstance(value, list):
            return any(isinstance(item, dict) and matches(item) for item in value)
        return matches(value if isinstance(value, dict) else {})

    return test


def _leaf(name: str, rules: Sequence[Test]) -> Predicate:
    def test(fields: Mapping[str, Any]) -> bool:
        value = fields.get(name, _MISSING)
        values = value if isinstance(value, list) and value else [value]
        return any(rule(item) for rule in rules for item in values)

    return test


def _rule(rule: object, text: str, path: tuple[str, ...]) -> Test:
    """One entry of a leaf's list."""
    if not isinstance(rule, dict):
        if isinstance(rule, list):
            raise _wrong(text, path, f"{rule!r} must be a value or a comparison")
        return lambda value: _equal(value, rule)
    if len(rule) != 1:
        raise _wrong(text, path, f"{rule!r} must have exactly one comparison")
    ((name, operand),) = rule.items()
    match name, operand:
        case "prefix", str():
            return lambda value: isinstance(value, str) and value.startswith(operand)
        case "suffix", str():
            return lambda value: isinstance(value, str) and value.endswith(operand)
        case "equals-ignore-case", str():
            return lambda value: isinstance(value, str) and value.casefold() == operand.casefold()
        case "exists", bool():
            return lambda value: (value is not _MISSING and not isinstance(value, dict)) is operand
        case "anything-but", str() | int() | float() | list():
            return _anything_but(operand, text, path)
        case "numeric", list():
            return _numeric(operand, text, path)
    known = "prefix, suffix, equals-ignore-case, exists, anything-but, numeric"
    raise _wrong(
        text,
        path,
        f"{rule!r} is no comparison of Lambda's event filtering, or its operand has the wrong type; known: {known}",
    )


def _anything_but(operand: object, text: str, path: tuple[str, ...]) -> Test:
    refused = operand if isinstance(operand, list) else [operand]
    if not refused or not all(isinstance(value, str | int | float) for value in refused):
        raise _wrong(text, path, f"anything-but {operand!r} must be a string, a number or a list of them")
    return lambda value: value is not _MISSING and not any(_equal(value, each) for each in refused)


def _numeric(operand: Sequence[object], text: str, path: tuple[str, ...]) -> Test:
    pairs = list(zip(operand[::2], operand[1::2], strict=False))
    usable = len(operand) in (2, 4) and all(
        isinstance(sign, str) and sign in _COMPARE and _is_number(bound) for sign, bound in pairs
    )
    if not usable:
        raise _wrong(text, path, f'numeric {list(operand)!r} must be like ["=", 1] or [">", 0, "<=", 10]')
    tests = [(_COMPARE[str(sign)], bound) for sign, bound in pairs]
    return lambda value: _is_number(value) and all(compare(value, bound) for compare, bound in tests)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(value: object, expected: object) -> bool:
    """JSON equality: `1` equals `1.0`, and `true` does not equal `1`."""
    return value == expected and isinstance(value, bool) is isinstance(expected, bool)


def _wrong(text: str, path: tuple[str, ...], what: str) -> ConfigurationError:
    return ConfigurationError(f"FilterCriteria: at {'.'.join(path)} of pattern {text!r}: {what}")
