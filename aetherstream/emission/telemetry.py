"""What the emitter and the closer say of themselves: one log line and one set of EMF metrics a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from aetherstream.aggregates.windows import time_text
from aetherstream.emission.report import Closing, Emission, Published


class EmissionTelemetry:
    """Logs and metrics of one pipeline."""

    def __init__(self, pipeline: str, *, now: Callable[[], float]) -> None:
        """`now`: epoch seconds."""
        self.logger = Logger()
        self.logger.append_keys(pipeline=pipeline)
        self._pipeline, self._now = pipeline, now

    def emitted(self, done: Emission) -> None:
        """Log and measure a batch of changes."""
        lag = None if done.oldest is None else max(0.0, self._now() - done.oldest)
        facts = _said(
            {
                "changes": done.records,
                "groups": done.groups,
                "ranked": done.ranked,
                "undeclared": done.undeclared,
                "gone": done.gone,
                "unreadable": done.unreadable,
                "why_unreadable": done.unread,
                "lag_seconds": None if lag is None else round(lag, 3),
                "outlets": _tallies(done.published),
            }
        )
        self._refusals(done.published)
        if done.error is not None:
            self.logger.error("changes left for retry", extra={**facts, "cause": _cause(done.error)})
        elif done.unreadable:
            self.logger.error("changes emitted, without states that can't be read", extra=facts)
        else:
            self.logger.info("changes emitted", extra=facts)
        counts = {
            "EmissionChanges": done.records,
            "EmissionGroups": done.groups,
            "EmissionFailed": int(done.error is not None),
            "EmissionUndeclared": done.undeclared,
            "EmissionGone": done.gone,
            "EmissionUnreadable": done.unreadable,
        }
        seconds = {} if lag is None else {"EmissionLag": lag}
        self._measure(counts, seconds, done.published)

    def closed(self, done: Closing) -> None:
        """Log and measure a run of the closer."""
        lag = None if done.watermark is None else self._now() - done.watermark
        facts = _said(
            {
                "watermark": None if done.watermark is None else time_text(done.watermark),
                "held_by": list(done.held_by),
                "folded": done.folded,
                "windows": done.windows,
                "sessions": done.sessions,
                "groups": done.groups,
                "given_up": done.given_up,
                "overdue": done.overdue,
                "outlets": _tallies(done.published),
                "causes": [_cause(error) for error in done.troubles],
            }
        )
        self._refusals(done.published)
        if done.troubles:
            self.logger.error("closing was hindered", extra=facts)
        elif done.given_up:
            self.logger.error("windows are closed without their results: they could not be sent in time", extra=facts)
        else:
            self.logger.info("closing done", extra=facts)
        counts = {
            "WindowsClosed": done.windows,
            "SessionsClosed": done.sessions,
            "WindowsOverdue": done.overdue,
            "WindowsGivenUp": done.given_up,
            "ShardsHolding": len(done.held_by),
            "ClosingFailed": int(bool(done.troubles)),
        }
        self._measure(counts, {} if lag is None else {"WatermarkLag": lag}, done.published)

    def _refusals(self, published: Published) -> None:
        for outlet, row, why in published.refusals:
            facts = {"outlet": outlet, "id": row, "reason": why.reason, "cause": why.message}
            self.logger.error("result refused: it can never be stored", extra=facts)

    def _measure(self, counts: Mapping[str, int], seconds: Mapping[str, float], published: Published) -> None:
        metrics = EphemeralMetrics()
        metrics.set_default_dimensions(pipeline=self._pipeline)
        for name, count in counts.items():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
        for name, value in seconds.items():
            metrics.add_metric(name=name, unit=MetricUnit.Seconds, value=value)
        outlets = published.outlets
        metrics.add_metric(
            name="RowsRefused", unit=MetricUnit.Count, value=sum(tally.refused for tally in outlets.values())
        )
        for outlet, tally in outlets.items():
            metrics.add_metric(name=f"Rows.{outlet}.Sent", unit=MetricUnit.Count, value=tally.sent)
            metrics.add_metric(name=f"Rows.{outlet}.Refused", unit=MetricUnit.Count, value=tally.refused)
            metrics.add_metric(name=f"Rows.{outlet}.Failed", unit=MetricUnit.Count, value=tally.failed)
        metrics.flush_metrics()


def _tallies(published: Published) -> dict[str, Any]:
    return {
        name: _said({"sent": tally.sent, "refused": tally.refused, "failed": tally.failed})
        for name, tally in published.outlets.items()
    }


def _said(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts without those that say nothing."""
    return {name: value for name, value in facts.items() if value not in (None, "", 0, [], {})}


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
