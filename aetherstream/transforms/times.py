"""Reading times: ISO 8601, epoch, strptime patterns; the result is always UTC.

The IANA database of the machine decides about local times (`zoneinfo`), so it is part of what makes a result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from ..errors import Rejected
from .describe import describe, shorten

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,9})?", re.ASCII)

Reader = Callable[[Any], datetime]


def zone(name: str) -> tzinfo:
    """Return the zone of an IANA name.

    Raises:
        ValueError: there is no such zone.
    """
    if name in {"UTC", "Z"}:
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write an IANA name such as 'Europe/Berlin', or 'UTC'") from None


def to_utc(time: datetime, local: tzinfo) -> datetime:
    """Turn a time into UTC; one without an offset is of the local zone.

    Raises:
        ValueError: the local time does not occur, because the clocks jump over it.
    """
    if time.tzinfo is UTC:
        return time
    if time.tzinfo is not None:
        return time.astimezone(UTC)
    if local is UTC:
        return time.replace(tzinfo=UTC)
    result = time.replace(tzinfo=local).astimezone(UTC)
    if result.astimezone(local).replace(tzinfo=None) != time:
        raise ValueError(f"{time} does not occur in {local}: the clocks jump over it")
    return result


def epoch_reader(unit: str) -> Reader:
    """Read numbers, or texts of them, of seconds (`epoch_s`) or milliseconds (`epoch_ms`)."""

    def read_epoch(value: Any) -> datetime:
        if isinstance(value, str) and NUMBER.fullmatch(value):
            value = float(value) if "." in value else int(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("not a number")  # noqa: TRY004 - one kind of error for all that is no time
        return EPOCH + (timedelta(seconds=value) if unit == "epoch_s" else timedelta(milliseconds=value))

    return read_epoch


def text_reader(pattern: str, local: tzinfo) -> Reader:
    """Read texts: `iso8601`, or a strptime pattern."""

    def read_iso(value: Any) -> datetime:
        return to_utc(datetime.fromisoformat(value), local)

    def read_pattern(value: Any) -> datetime:
        return to_utc(datetime.strptime(value, pattern), local)  # noqa: DTZ007 - to_utc gives the zone

    return read_iso if pattern == "iso8601" else read_pattern


def time_reader(formats: Sequence[str], timezone: str = "UTC") -> Callable[[Any, str], datetime]:
    """Return a function of a value and its field's name that tries the formats in order and gives a time in UTC.

    It raises `Rejected` where none fits.

    Raises:
        ValueError: an unknown format or time zone.
    """
    local = zone(timezone)
    readers: list[Reader] = []
    for name in formats:
        if name in {"epoch_s", "epoch_ms"}:
            readers.append(epoch_reader(name))
        elif name == "iso8601" or "%" in name:
            readers.append(text_reader(name, local))
        else:
            raise ValueError(
                f"{name!r} is no time format; write iso8601, epoch_s, epoch_ms or a pattern such as '%d/%m/%Y'"
            )
    wanted = f"a time ({', '.join(formats)})"

    def read_time(value: Any, field: str) -> datetime:
        why = ""
        for reader in readers:
            try:
                return reader(value)
            except (ValueError, TypeError, OverflowError) as error:
                why = str(error)
        raise Rejected(
            f"{field} is not {wanted}", f"{field} is not {wanted}: it is {describe(value)}; {shorten(why, 200)}"
        )

    return read_time


def iso8601(time: datetime) -> str:
    """Write a time in UTC as `2013-01-01T10:00:00Z`, with microseconds where there are any."""
    return f"{time.replace(tzinfo=None).isoformat()}Z"


def is_iso8601(value: Any) -> bool:
    """Tell whether a value is a text as `iso8601` writes it, without a fraction; quicker than to read and write it."""
    if value.__class__ is not str or len(value) != 20 or value[10] != "T" or value[11:13] == "24" or value[19] != "Z":
        return False
    if not (value[4] == value[7] == "-" and value[13] == value[16] == ":"):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def epoch_seconds(time: datetime) -> float:
    """Seconds since 1970; a whole number of them is exact."""
    return (time - EPOCH) / timedelta(seconds=1)


def epoch_milliseconds(time: datetime) -> int:
    """Milliseconds since 1970, cut down."""
    return (time - EPOCH) // timedelta(milliseconds=1)
