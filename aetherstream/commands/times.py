"""Times on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from aetherstream.eventtime import moment

_AGO = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class TimeOption(click.ParamType):
    """ISO 8601 (UTC unless it says otherwise), epoch seconds, or so long ago: `30m`, `6h`, `2d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """See click."""
        if isinstance(value, datetime):
            return value
        if ago := _AGO.fullmatch(str(value)):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        try:
            return moment(value)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is neither an ISO 8601 time, epoch seconds nor a span such as 6h", param, ctx)
