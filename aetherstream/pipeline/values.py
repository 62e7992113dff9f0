"""Sizes, durations and instants as a pipeline file writes them, turned into bytes, seconds and epoch seconds.

Pure: an instant is absolute, a duration is relative to something that a caller names; nothing here reads the clock.
"""

import re
from datetime import UTC, date, datetime, time

SIZE = r"^[0-9]+ ?([KMG]i?)?B?$"
DURATION = r"^([0-9]+(\.[0-9]+)? ?(ms|s|m|h|d|w) ?)+$"
SHIFT = r"^-?([0-9]+(\.[0-9]+)? ?(ms|s|m|h|d|w) ?)+$"
INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"

_UNITS = {"K": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def size(value: int | str) -> int:
    """Return bytes: `1000`, `32MB` (decimal), `32MiB` (binary).

    Raises:
        ValueError: the text is no size.
    """
    if isinstance(value, int):
        return value
    if not re.match(SIZE, value):
        raise ValueError(f"{value!r} is no size; write a number of bytes or for example 32MB or 32MiB")
    digits = re.match(r"[0-9]+", value)
    number = digits.group() if digits else ""
    return int(number) * _UNITS.get(value[len(number) :].strip().removesuffix("B"), 1)


def duration(value: int | float | str) -> float:
    """Return seconds: `90`, `90s`, `1h30m`, `30d`.

    Raises:
        ValueError: the text is no duration.
    """
    if isinstance(value, int | float):
        return float(value)
    if not re.match(DURATION, value):
        raise ValueError(f"{value!r} is no duration; write for example 500ms, 90s, 1h30m or 30d")
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9.]+) ?(ms|s|m|h|d|w)", value))


def shift(value: int | float | str) -> float:
    """Return seconds of a duration that may be negative: `-5h`.

    Raises:
        ValueError: the text is no duration.
    """
    if isinstance(value, str) and value.startswith("-"):
        return -duration(value[1:])
    return duration(value)


def instant(value: int | float | str) -> float:
    """Return epoch seconds of a date (its midnight, UTC) or a timestamp (UTC where it names no zone).

    Raises:
        ValueError: the text is neither.
    """
    if isinstance(value, int | float):
        return float(value)
    try:
        if len(value) == len("2013-01-01"):
            return datetime.combine(date.fromisoformat(value), time(), UTC).timestamp()
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is no date or timestamp; write for example 2013-01-01 or 2013-01-01T10:00:00Z"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
