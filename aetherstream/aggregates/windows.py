"""Windows over event time: which of them a time belongs to, what they are called, and when one is closed.

Windows are half-open: an event at the end of one belongs to the next. Sizes are whole seconds and windows are aligned
to 1970-01-01T00:00:00Z plus an offset, so a window's start is an integer; times before 1970 are like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import floor
from typing import NamedTuple

from ..errors import ConfigurationError

MOST_WINDOWS = 300
"""Most windows that one event may belong to: each costs a fold and a write."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window(NamedTuple):
    """From `start` to before `end`, epoch seconds."""

    start: float
    end: float

    @property
    def id(self) -> str:
        """Its start, for example `2013-01-01T10:00:00Z`: windows of one aggregate and group differ in it."""
        return time_text(self.start)


@dataclass(frozen=True, slots=True)
class Tumbling:
    """Windows side by side: each time belongs to one."""

    size: int
    """Seconds."""
    offset: int = 0
    """Seconds by which the windows are shifted against 1970-01-01T00:00:00Z, for example -3600 for days of UTC+1."""

    def __post_init__(self) -> None:
        _positive("size", self.size)

    def starts(self, times: Sequence[float]) -> list[int]:
        """The start of each time's window."""
        size, offset = self.size, self.offset
        return [(floor(time) - offset) // size * size + offset for time in times]

    def assign(self, time: float) -> tuple[Window, ...]:
        """The window that a time belongs to."""
        start = self._start(time)
        return (Window(start, start + self.size),)

    def _start(self, time: float) -> int:
        # The whole seconds first: a difference of floats may be rounded up, into the next window.
        return (floor(time) - self.offset) // self.size * self.size + self.offset


@dataclass(frozen=True, slots=True)
class Hopping:
    """Windows that overlap: a new one of `size` seconds opens every `every` seconds."""

    size: int
    """Seconds."""
    every: int
    """Seconds; not more than `size`."""
    offset: int = 0
    """Seconds by which the windows are shifted."""

    def __post_init__(self) -> None:
        _positive("size", self.size)
        _positive("every", self.every)
        what = f"a hopping window of {self.size} s every {self.every} s"
        if self.every > self.size:
            raise ConfigurationError(f"{what} would leave events out: every must not be more than size")
        if self.size > MOST_WINDOWS * self.every:
            raise ConfigurationError(
                f"{what} puts each event into {-(-self.size // self.every)} windows: {MOST_WINDOWS} are the most"
            )

    @property
    def panes(self) -> Tumbling | None:
        """The spans whose times belong to the same windows; None where windows do not begin and end together."""
        return None if self.size % self.every else Tumbling(self.every, self.offset)

    def assign(self, time: float) -> tuple[Window, ...]:
        """The windows that a time belongs to, the earliest first."""
        last = (floor(time) - self.offset) // self.every * self.every + self.offset
        # The first start that lies behind time - size; both are whole, so the whole seconds of the time decide.
        back = (floor(time) - last - self.size) // self.every + 1
        return tuple(
            Window(start, start + self.size) for start in range(last + back * self.every, last + 1, self.every)
        )


@dataclass(frozen=True, slots=True)
class Session:
    """Windows of activity: events of a group that follow each other in less than `gap` seconds are one session.

    An event at `t` opens `[t, t + gap)`; sessions that overlap are one, so a late event may bridge two.
    """

    gap: int
    """Seconds."""

    def __post_init__(self) -> None:
        _positive("gap", self.gap)


Windows = Tumbling | Hopping | Session


def closed(window: Window, watermark: float | None, lateness: float) -> bool:
    """Whether the watermark has passed the window's end by the allowed lateness; None: nothing is known yet."""
    return watermark is not None and watermark >= window.end + lateness


def too_late(time: float, windows: Windows, watermark: float | None, lateness: float) -> tuple[Window, ...] | None:
    """The closed windows that a time belongs to; None where there is none.

    A session's event is late as soon as it lies behind the watermark by more than the lateness. Only so is it certain,
    without a look at the state, that it reaches into no closed session; its window is then the one it would open.
    """
    if watermark is None:
        return None
    if isinstance(windows, Session):
        return (Window(time, time + windows.gap),) if time < watermark - lateness else None
    return tuple(window for window in windows.assign(time) if closed(window, watermark, lateness)) or None


def watermark_of(live: Iterable[float | None]) -> float | None:
    """The event time up to which everything was committed: the least over the live shards.

    Args:
        live: For each shard that is not idle, the event time it has committed; None where it has committed nothing.

    Returns:
        None as long as one of them has committed nothing, or there is none.
    """
    times = list(live)
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


@lru_cache(maxsize=1024)  # the groups of a window ask for its start one by one
def time_text(time: float) -> str:
    """Write a time as ISO 8601 in UTC, with microseconds where there are any."""
    try:
        moment = _EPOCH + timedelta(seconds=time)
    except OverflowError:  # a window that begins before the year 1
        return f"{time}"
    return moment.isoformat().replace("+00:00", "Z")


def _positive(name: str, seconds: int) -> None:
    if seconds < 1:
        raise ConfigurationError(f"{name} of a window is {seconds} s: it must be 1 or more whole seconds")
