"""Event time: read from the events, held within the pipeline's bounds.

A device whose clock stands in 1970 or 2100 must not open partitions there. Bounds are absolute or relative to the
record's *arrival*, never to the clock of the function: a retry must judge as the first attempt did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from typing import Any

from aetherstream.errors import Rejected
from aetherstream.records import Event, Events, Rejection

Parse = Callable[[Any], float]

_YEAR_1 = -62_135_596_800
_YEAR_10000 = 253_402_300_800


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an event time must lie within; None: no such bound."""

    not_before: float | None = None
    """Epoch seconds, inclusive."""
    not_after: float | None = None
    """Epoch seconds, exclusive."""
    max_age: float | None = None
    """Seconds before the record's arrival."""
    max_ahead: float | None = None
    """Seconds behind the record's arrival."""


class EventTime:
    """Sets the column `times`; without a field the arrival time is the event time."""

    def __init__(self, field: str | None = None, format: str = "iso8601", bounds: Bounds | None = None) -> None:  # noqa: A002
        self._field = field
        self._parse = parser(format)
        self._bounds = bounds or Bounds()

    def apply(self, events: Events, arrivals: Sequence[float], rejections: list[Rejection]) -> None:
        """Fill `events.times`; reject the records whose event time is missing, unreadable or out of bounds."""
        if self._field is None:
            events.times = [arrivals[r] for r in events.records]
            return
        refused: dict[int, Rejected] = {}
        times = self._read(events.values, refused)
        _check_calendar(self._field, times, refused)
        self._judge(times, events, arrivals, refused)
        events.times = times
        # Once for a record, whichever of its events is at fault: it is rejected whole.
        first: dict[tuple[int, int], Rejected] = {}
        for index, error in sorted(refused.items()):
            first.setdefault((events.records[index], events.subs[index]), error)
        for (record, sub), error in first.items():
            rejections.append(Rejection(record, sub, "event_time", "event_time", error.reason, error.message))
        events.remove(first.keys())

    def _read(self, values: list[Event], refused: dict[int, Rejected]) -> list[float]:
        field = self._field or ""
        read, parse = field_reader(field), self._parse
        try:
            if "." in field:
                return [parse(read(value)) for value in values]
            if parse is not _iso8601:
                return [parse(value[field]) for value in values]
            # The usual case, without a call of ours an event.
            moments = list(map(datetime.fromisoformat, [value[field] for value in values]))
            return [moment.timestamp() if moment.tzinfo else _utc(moment).timestamp() for moment in moments]
        except Exception:  # noqa: BLE001 - which one it was, and why, is found one by one
            times = []
            for index, value in enumerate(values):
                found: Any = None
                try:
                    found = read(value)
                    times.append(parse(found))
                except Exception as error:  # noqa: BLE001
                    times.append(0.0)
                    refused[index] = _unreadable(self._field or "", found, error)
            return times

    def _judge(
        self, times: list[float], events: Events, arrivals: Sequence[float], refused: dict[int, Rejected]
    ) -> None:
        if not times:
            return
        low, high = self._bounds.not_before, self._bounds.not_after
        oldest, newest = min(times), max(times)
        if (low is not None and oldest < low) or (high is not None and newest >= high):
            for index, time in enumerate(times):
                if index not in refused and low is not None and time < low:
                    refused[index] = _out_of_bounds(self._field, "before", time, low)
                elif index not in refused and high is not None and time >= high:
                    refused[index] = _out_of_bounds(self._field, "after", time, high)
        age, ahead = self._bounds.max_age, self._bounds.max_ahead
        if age is None and ahead is None:
            return
        first, last = events.records[0], events.records[-1]
        part = arrivals[first : last + 1]
        if (age is None or max(part) - oldest <= age) and (ahead is None or newest - min(part) <= ahead):
            return
        for index, (time, record) in enumerate(zip(times, events.records, strict=True)):
            behind = arrivals[record] - time
            if index in refused or ((age is None or behind <= age) and (ahead is None or -behind <= ahead)):
                continue
            edge = "before" if age is not None and behind > age else "after"
            limit = arrivals[record] - age if edge == "before" and age is not None else arrivals[record] + (ahead or 0)
            refused[index] = _out_of_bounds(self._field, edge, time, limit)


def parser(format: str) -> Parse:  # noqa: A002 - the pipeline file's word
    """Return the function that reads a time stamp of this format as epoch seconds.

    `iso8601` (a time without a zone is UTC), `epoch_s`, `epoch_ms`, or a `strptime` pattern.
    """
    if format == "iso8601":
        return _iso8601
    if format == "epoch_s":
        return _number
    if format == "epoch_ms":
        return lambda value: _number(value) / 1000
    return lambda value: _utc(datetime.strptime(value, format)).timestamp()  # noqa: DTZ007 - _utc gives the zone


def field_reader(path: str) -> Callable[[Event], Any]:
    """Return the function that reads a dotted path; a missing field raises KeyError."""
    first, _, rest = path.partition(".")
    if not rest:
        return lambda event: event[first]
    parts = path.split(".")

    def read(event: Event) -> Any:
        value: Any = event
        for part in parts:
            value = value[part]
        return value

    return read


def moment(text: str) -> datetime:
    """Read a time that a person wrote: epoch seconds, or ISO 8601 (UTC unless it says otherwise).

    Raises ValueError, OverflowError or OSError for what is neither.
    """
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except ValueError:
        return _utc(datetime.fromisoformat(text))


def _iso8601(value: Any) -> float:
    return _utc(datetime.fromisoformat(value)).timestamp()


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def _unreadable(field: str, found: Any, error: Exception) -> Rejected:
    if isinstance(error, KeyError) or found is None:
        return Rejected("event time is missing", f"event time: the field {field!r} is missing or null")
    return Rejected("event time is unreadable", f"event time: {field} = {found!r:.80}: {error}")


def _check_calendar(field: str, times: list[float], refused: dict[int, Rejected]) -> None:
    """Refuse what no calendar has, bounds or not: a time that can't be written as a date opens no partition."""
    if not times or (min(times) >= _YEAR_1 and max(times) < _YEAR_10000 and not isnan(sum(times))):
        return
    for index, time in enumerate(times):
        if index not in refused and not _YEAR_1 <= time < _YEAR_10000:
            refused[index] = Rejected(
                "event time is unreadable", f"event time: {field} is epoch second {time}, outside the years 1 to 9999"
            )


def _out_of_bounds(field: str | None, edge: str, time: float, limit: float) -> Rejected:
    return Rejected(
        f"event time {edge} its bound",
        f"event time: {field} is {_text(time)}, {edge} the pipeline's bound {_text(limit)}",
    )


def _text(time: float) -> str:
    try:
        return datetime.fromtimestamp(time, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"epoch second {time}"
