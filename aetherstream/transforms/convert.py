"""Conversions between the types of JSON that lose nothing or refuse; `cast` and the expressions' functions use them.

Each takes the value and the name to call it by in a message, and raises `Rejected`.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from ..errors import Rejected
from .describe import describe

INT = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)
LOWEST, HIGHEST = -(2**63), 2**64 - 1
"""The integers that JSON encoders here take: 64 bits, signed or not."""
LARGEST = 1.7976931348623157e308
LONGEST_TEXT = 10 * 1024 * 1024
"""Characters of a text that an expression may make: as many as a Kinesis record has bytes (AWS: 10 MiB)."""


def refuse(value: object, name: str, wanted: str) -> Rejected:
    """Make the rejection of a value that is not what was wanted."""
    return Rejected(f"{name} is not {wanted}", f"{name} is not {wanted}: it is {describe(value)}")


def to_int(value: Any, name: str) -> int:
    """Texts of decimal digits, booleans, and floats without a fraction; 64 bits."""
    result: int | None = None
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 2**63):
        result = int(value)
    elif isinstance(value, str) and INT.fullmatch(text := value.strip()):
        result = int(text)
    if result is None or not LOWEST <= result <= HIGHEST:
        raise refuse(value, name, "an integer")
    return result


def to_float(value: Any, name: str) -> float:
    """Decimal texts, booleans, and integers that a double holds exactly; finite."""
    result: float | None = None
    if isinstance(value, int):
        result = float(value) if abs(value) <= HIGHEST and int(float(value)) == value else None
    elif isinstance(value, float):
        result = value
    elif isinstance(value, str) and FLOAT.fullmatch(text := value.strip()):
        result = float(text)
    if result is None or not -LARGEST <= result <= LARGEST:
        raise refuse(value, name, "a number")
    return result


def to_str(value: Any, name: str) -> str:
    """Any value: texts as they are, the others as their JSON."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise refuse(value, name, "a value of JSON") from None


BOOLEANS: dict[object, bool] = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}


def to_bool(value: Any, name: str) -> bool:
    """`true` and `false` in any case, 1 and 0, as text or number."""
    key = value.strip().lower() if isinstance(value, str) else value
    result = BOOLEANS.get(key) if isinstance(key, str | int | float) else None
    if result is None:
        raise refuse(value, name, "a boolean")
    return result


def to_json(value: Any, name: str) -> Any:
    """Parse a text that holds JSON; other values stay."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Rejected(f"{name} is not JSON", f"{name} is not JSON ({error}): it is {describe(value)}") from None
