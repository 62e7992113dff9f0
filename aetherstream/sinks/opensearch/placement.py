"""Which index an event goes to: pure, and decided by the event alone, so that a retry finds the same index.

An id is unique within one index only. An index named by the event time keeps one document per id for ever; behind an
alias or a data stream a retry that comes after a rollover stores the document a second time
(docs/adr/0019-index-by-event-time.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from aetherstream.errors import Rejected
from aetherstream.records import Events
from aetherstream.sinks.s3 import hours

Period = Literal["hour", "day", "month", "year"]

_DATES: dict[Period, str] = {
    "hour": "{0:%m.%d.%H}",
    "day": "{0:%m.%d}",
    "month": "{0:%m}",
    "year": "",
}


def index_name(prefix: str, period: Period, time: float) -> str:
    """Name of the index for an event time (epoch seconds, years 1 to 9999), for example `flights-2013.01`.

    Names of one prefix and period have one length, so their order is that of time.
    """
    moment = datetime.fromtimestamp(time // 1, UTC)
    # strftime's %Y does not pad the years before 1000 on every platform.
    parts = [f"{moment.year:04}", _DATES[period].format(moment)]
    return f"{prefix}-{'.'.join(filter(None, parts))}"


class IndexNames:
    """`Placement` into indices by event time: `<prefix>-2013.01.31` for the days of a month, and so on."""

    def __init__(self, name: str, prefix: str, period: Period = "day") -> None:
        self.name = name
        # Every period begins with an hour, so the name is made once for each hour and not for each event.
        self._of_hour = lru_cache(maxsize=4096)(lambda hour: index_name(prefix, period, hour * 3600))

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:
        """Group the events at `indices` (ascending) by index name; none is refused."""
        column = hours(events, indices)
        names = {hour: self._of_hour(hour) for hour in set(column)}
        if len(set(names.values())) == 1:
            return {next(iter(names.values())): list(indices)}, {}
        groups: dict[str, list[int]] = {}
        for index, hour in zip(indices, column, strict=True):
            groups.setdefault(names[hour], []).append(index)
        return groups, {}


class FixedPlace:
    """`Placement` of every event under one name: an alias or a data stream."""

    def __init__(self, name: str, target: str) -> None:
        self.name = name
        self._target = target

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:  # noqa: ARG002
        """Put all `indices` under the one name; none is refused."""
        return ({self._target: list(indices)} if indices else {}), {}
