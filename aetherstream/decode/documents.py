"""JSON documents to events: one object, an array of objects, or NDJSON; each event by itself good or refused.

An event is a JSON object: a repeated name keeps its last value (as in every common reader), a number with a fraction or
an exponent becomes a double, an integer of any length stays what it is.

msgspec reads: it is the quicker one here, and keeps long integers, of which orjson makes doubles without a word. orjson
says what is wrong where msgspec refuses, because it names the place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from aetherstream.decode.limits import Limits
from aetherstream.errors import Rejected
from aetherstream.records import Event

UNREAD: Any = object()
"""Stands where a payload is not (yet) a value."""

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_REFUSED = (msgspec.DecodeError, ValueError, TypeError, RecursionError)
"""What the decoder raises: ValueError for bad UTF-8, TypeError for None."""
_decode = msgspec.json.Decoder().decode
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


class Refusal(NamedTuple):
    """A user record that can't be an event, in the place where the event would stand."""

    reason: str
    message: str
    payload: bytes


Item = Event | Refusal


def read_each(payloads: Sequence[bytes | None]) -> list[Any]:
    """Parse every payload; UNREAD stands for those that are not one JSON text.

    The loop runs in C. `extend` keeps what it appended before an error and `map` goes on behind it, so that a bad
    payload costs one turn of the loop here.
    """
    values: list[Any] = []
    results = map(_decode, payloads)  # type: ignore[arg-type]
    while True:
        try:
            values.extend(results)
        except _REFUSED:
            values.append(UNREAD)
        else:
            return values


def parse(data: bytes) -> Any:
    """Parse one JSON text. Raises orjson.JSONDecodeError, which names the place."""
    try:
        return _decode(data)
    except _REFUSED:
        return orjson.loads(data)


def doubtful(payloads: Sequence[bytes | None], values: list[Any], limits: Limits) -> list[int]:
    """Return the indexes of the values that need a closer look: those with many brackets may be nested too deep."""
    shortest = 2 * limits.max_depth
    if max(map(len, filter(None, payloads)), default=0) <= shortest:
        return []
    return [
        i
        for i, (p, v) in enumerate(zip(payloads, values, strict=True))
        if p and len(p) > shortest and v is not UNREAD and _brackets(p) > limits.max_depth
    ]


def read_document(data: bytes, limits: Limits, parsed: Any = UNREAD) -> list[Item]:
    """Read one document: an object, an array whose elements are the user records, or NDJSON.

    It is NDJSON when it is not one JSON text, has several lines, and at least one line that begins with `{` in its
    first column is an object by itself (so the lines of a broken, indented document are not mistaken for records).
    Blank lines are no records and take no index. In an array that is not valid as a whole, the elements are told
    apart by their brackets and quotes.

    Args:
        data: the document, expanded.
        limits: bounds on records and depth.
        parsed: the value of `data` where it is known already.

    Raises:
        Rejected: the document as a whole is no event and holds none that could be told apart.
    """
    if parsed is UNREAD:
        data = data.removeprefix(_BOM)
        try:
            parsed = parse(data)
        except orjson.JSONDecodeError as error:
            return _read_parts(data, error, limits)
    if type(parsed) is list:
        return _read_elements(data, parsed, limits)
    return [_event(data, parsed, limits)]


def _event(data: bytes, value: Any, limits: Limits) -> Event:
    """Return the value if it is an event, else raise Rejected."""
    if type(value) is not dict:
        raise Rejected("not an object", f"an event is a JSON object; this is {_excerpt(data)}")
    if len(data) > 2 * limits.max_depth and _brackets(data) > limits.max_depth and _deeper([value], limits.max_depth):
        raise Rejected("nested too deep", f"nested deeper than {limits.max_depth} levels")
    return value


def _read_one(data: bytes, limits: Limits, parsed: Any = UNREAD) -> Item:
    """Read a line or an element, which can only be one event."""
    try:
        if parsed is UNREAD:
            parsed = parse(data)
        return _event(data, parsed, limits)
    except orjson.JSONDecodeError as error:
        rejected = _explain(data, error)
    except Rejected as error:
        rejected = error
    return Refusal(rejected.reason, rejected.message, data)


def _read_elements(data: bytes, values: list[Any], limits: Limits) -> list[Item]:
    """Read the elements of a valid array."""
    if not values:
        raise Rejected("empty array")
    limits.check_records(len(values))
    deep = len(data) > 2 * limits.max_depth and _brackets(data) > limits.max_depth and _deeper(values, limits.max_depth)
    if set(map(type, values)) == {dict} and not deep:
        return values
    elements = split_array(data) or []
    return [_read_one(element, limits, value) for element, value in zip(elements, values, strict=True)]


def _read_parts(data: bytes, error: orjson.JSONDecodeError, limits: Limits) -> list[Item]:
    """Read the elements or the lines of what is not one JSON text."""
    text = data.strip(_SPACE)
    if text[:1] == b"[" and (elements := split_array(text)):
        limits.check_records(len(elements))
        return [_read_one(element, limits) for element in elements]
    if b"\n" in text:
        limits.check_records(text.count(b"\n") + 1)
        lines = text.split(b"\n")
        values = read_each(lines)
        if set(map(type, values)) == {dict} and not doubtful(lines, values, limits):
            return values
        pairs = [(line, v) for line, v in zip(lines, values, strict=True) if line.strip(_SPACE)]
        if any(type(v) is dict and line[:1] == b"{" for line, v in pairs):
            return [_read_one(line, limits, v) for line, v in pairs]
    raise _explain(data, error)


def split_array(data: bytes) -> list[bytes] | None:
    """Cut a JSON array into the bytes of its elements by brackets and quotes alone; None if it does not close.

    Elements need not be valid (NaN, bad UTF-8, a missing value); each pass over the bytes is linear.
    """
    depth = 0
    start = 0
    elements = []
    for token in _TOKEN.finditer(data):
        mark = data[token.start()]
        if mark in b"[{":
            depth += 1
            if depth == 1:
                start = token.end()
        elif mark in b"]}":
            depth -= 1
            if depth == 0:
                if mark != 0x5D or data[token.end() :].strip(_SPACE):
                    return None
                elements.append(data[start : token.start()].strip(_SPACE))
                return [] if elements == [b""] else elements
        elif mark == 0x2C and depth == 1:
            elements.append(data[start : token.start()].strip(_SPACE))
            start = token.end()
    return None


def _brackets(data: bytes) -> int:
    return data.count(b"{") + data.count(b"[")


def _deeper(values: list[Any], levels: int) -> bool:
    """Tell whether any of the values nests objects and arrays deeper than so many levels; without recursion."""
    level = [v for v in values if type(v) is dict or type(v) is list]
    for _ in range(levels):
        if not level:
            return False
        inner = [v.values() if type(v) is dict else v for v in level]
        level = [v for children in inner for v in children if type(v) is dict or type(v) is list]
    return bool(level)


def _explain(data: bytes, error: orjson.JSONDecodeError) -> Rejected:
    """Say why these bytes are not JSON, in stable words and in full."""
    if not data.strip(_SPACE):
        return Rejected("empty record", f"{len(data)} bytes, all blank" if data else "0 bytes")
    if "depth limit" in error.msg:
        return Rejected("nested too deep", str(error))
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        return Rejected(
            "not UTF-8", f"not UTF-8: byte 0x{data[bad.start]:02x} at offset {bad.start}; begins {_excerpt(data)}"
        )
    reason = "not JSON"
    if "number is infinity" in error.msg:
        reason = "number out of range"
    elif "surrogate" in error.msg:
        reason = "lone surrogate"
    return Rejected(reason, f"{reason}: {error}; begins {_excerpt(data)}")


def _excerpt(data: bytes) -> str:
    return repr(data[:60].decode("utf-8", "backslashreplace")) + ("..." if len(data) > 60 else "")
