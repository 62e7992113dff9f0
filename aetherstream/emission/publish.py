"""Rows to the outlets of their aggregate: each is tried although another one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aetherstream.emission.report import Published, Refusal, Tally
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.results.parts import Outlet, Row

RESERVE = 10.0
"""Seconds of an invocation that no outlet gets: for what is written behind it, and the answer."""
_MOST_TOLD = 20
"""Refused rows that are named."""

Outlets = Mapping[str, Sequence[Outlet]]
"""By aggregate."""


class Publisher:
    """Sends the rows of one run. An outlet that has failed is not tried again in it: its time-outs are long."""

    def __init__(self, outlets: Outlets, seconds_left: Callable[[], float], published: Published) -> None:
        """`published` is told what becomes of rows."""
        self._outlets, self._seconds_left, self._published = outlets, seconds_left, published
        self._failed: dict[str, Retryable | ConfigurationError] = {}

    def send(self, aggregate: str, rows: Sequence[Row]) -> None:
        """Send rows to every outlet of their aggregate.

        Raises:
            Retryable: an outlet may lack some; sent again, they come to all.
            ConfigurationError: the same, and a person has to act.
        """
        failed = [
            error
            for outlet in self._outlets.get(aggregate, ())
            if (wanted := [row for row in rows if row.final or not outlet.final_only])
            and (error := self._send(outlet, wanted)) is not None
        ]
        if failed:
            raise next((error for error in failed if isinstance(error, ConfigurationError)), failed[0])

    def _send(self, outlet: Outlet, rows: Sequence[Row]) -> Retryable | ConfigurationError | None:
        tally = self._published.outlets.setdefault(outlet.name, Tally())
        if outlet.name not in self._failed:
            try:
                refused = outlet.send(rows, max(0.0, self._seconds_left() - RESERVE)).refused
            except (Retryable, ConfigurationError) as error:
                self._failed[outlet.name] = error
            else:
                tally.sent += len(rows) - len(refused)
                tally.refused += len(refused)
                told = self._published.refusals
                told += [Refusal(outlet.name, *one) for one in refused.items()][: max(0, _MOST_TOLD - len(told))]
                return None
        tally.failed += len(rows)
        return self._failed[outlet.name]
