"""The composition root of the drain function, and what it answers to its schedule and to the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from aetherstream.app import record_sinks_of
from aetherstream.compose import breakers_of, buckets_of, drain_rates_of, quarantine_of, spills_of
from aetherstream.delivery import breaker_store
from aetherstream.delivery.breaker_item import BreakerStore
from aetherstream.delivery.dynamodb import DynamoProgress
from aetherstream.delivery.progress import ProgressStore
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.drain.by_hand import ByHand
from aetherstream.drain.drainer import Drainer
from aetherstream.drain.orphans import orphans
from aetherstream.drain.parts import Spilling
from aetherstream.drain.report import DrainReport
from aetherstream.errors import AetherStreamError, ConfigurationError, Retryable, UsageError
from aetherstream.pipeline import Pipeline, load
from aetherstream.settings import Settings, from_environment
from aetherstream.sinks.base import RecordSink
from aetherstream.startup import CLIENT, WORKERS, LambdaContext, agree_on_delivery, progress_table, require_bucket

ORPHANS_EVERY = 3600.0
"""Seconds between two looks for spills that nobody drains: they list every spill."""

LEAST_SHARE = 90.0
"""Seconds of a run below which a sink's share does not fall, however many sinks there are."""

Orphans = Callable[[], Mapping[str, int]]
"""Spills that nobody drains: by prefix, how many objects."""


class DrainApp:
    """The drain function: the schedule's event, or a request of the command line, in; how each sink stands out."""

    def __init__(
        self,
        pipeline: str,
        sinks: Sequence[Spilling],
        drainer: Drainer,
        by_hand: ByHand,
        orphans: Orphans,
        *,
        clock: Callable[[], float] = time.time,
        dry_run: bool = False,
    ) -> None:
        """`clock`: epoch seconds."""
        self._pipeline = pipeline
        self._sinks = sinks
        self._drainer = drainer
        self._by_hand = by_hand
        self._look_for_orphans = orphans
        self._clock = clock
        self._dry_run = dry_run
        self._logger = Logger()
        self._looked: float | None = None
        self._orphans: Mapping[str, int] = {}

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Process one invocation. What hinders it stands in the answer; raises only on a bug.

        Events: the schedule's, or `{"do": "drain" | "show" | "open" | "close", "sink": ..., "by": ..., "why": ...}`.
        """
        self._logger.append_keys(request_id=context.aws_request_id, pipeline=self._pipeline)
        do = event.get("do", "drain")
        try:
            chosen = self._chosen(event.get("sink"))
            if do == "drain":
                return self._drain(chosen, context, probe_now=event.get("now") is True)
            if do == "show":
                return self._answer([self._by_hand.show(each) for each in chosen])
            return self._answer([self._turn(do, chosen, event)])
        except AetherStreamError as error:
            self._logger.warning("request failed", extra={"do": do, "cause": str(error)})
            return {"state": "failed", "message": str(error)}

    def _chosen(self, name: object) -> list[Spilling]:
        chosen = [each for each in self._sinks if name in (None, each.sink.name)]
        if name is not None and not chosen:
            names = ", ".join(each.sink.name for each in self._sinks) or "none"
            raise UsageError(
                f"the pipeline {self._pipeline} has no sink {name} that spills (`on_outage: spill`); "
                f"those that do: {names}"
            )
        return chosen

    def _turn(self, do: object, chosen: Sequence[Spilling], event: Mapping[str, Any]) -> dict[str, Any]:
        if do not in ("open", "close"):
            raise UsageError(f"the drain function does not know what {do!r} is")
        if self._dry_run:
            raise UsageError("the stack runs dry: it changes nothing")
        if len(chosen) != 1:
            raise UsageError(f"say which sink's breaker to {do}")
        by, why = str(event.get("by") or "somebody"), str(event.get("why") or "")
        turned = (self._by_hand.open if do == "open" else self._by_hand.close)(chosen[0], by, why)
        facts = {"do": do, "sink": chosen[0].sink.name, "by": by, "why": why}
        self._logger.warning("breaker turned by hand", extra=facts)
        return turned

    def _drain(self, chosen: Sequence[Spilling], context: LambdaContext, *, probe_now: bool) -> dict[str, Any]:
        if self._dry_run:
            self._logger.info("dry run: nothing is drained")
            return {"state": "done", "sinks": [], "orphans": {}, "dry_run": True}
        reports = []
        for index, each in enumerate(chosen):
            # Each sink has its share of the time that is left: a long backlog must not keep the next one waiting.
            begun = _seconds_left(context)
            share = min(begun, max(begun / (len(chosen) - index), LEAST_SHARE))

            def seconds_left(kept: float = begun - share) -> float:
                return _seconds_left(context) - kept

            report = self._drainer.drain(each, seconds_left, probe_now=probe_now)
            self._measure(report)
            reports.append(report)
        answer = self._answer([report.as_json() for report in reports])
        self._log(reports, answer["orphans"])
        return answer

    def _answer(self, sinks: list[dict[str, Any]]) -> dict[str, Any]:
        now = self._clock()
        if self._looked is None or not 0 <= now - self._looked < ORPHANS_EVERY:
            try:
                self._orphans, self._looked = dict(self._look_for_orphans()), now
            except (Retryable, ConfigurationError) as error:
                self._logger.warning("spills that nobody drains can't be looked for", extra={"cause": str(error)})
        return {"state": "done", "sinks": sinks, "orphans": dict(self._orphans)}

    # -- What it says of itself ---------------------------------------------------------------------------------------

    def _log(self, reports: Sequence[DrainReport], found: Mapping[str, int]) -> None:
        """One line a run."""
        facts: dict[str, Any] = {"sinks": {report.sink: _told(report) for report in reports}}
        if found:
            facts["orphans"] = found
        if found or any(report.trouble or report.unusables for report in reports):
            self._logger.warning("drain done, with something for a person to do", extra=facts)
        else:
            self._logger.info("drain done", extra=facts)

    def _measure(self, report: DrainReport) -> None:
        metrics = EphemeralMetrics()
        metrics.set_default_dimensions(pipeline=self._pipeline, sink=report.sink)
        counts = {
            "SpillDrained": report.drained,
            "SpillRefused": report.rejected,
            "ConfigurationRejected": report.configuration,
            "SpillObjects": report.objects,
            "SpillUnusable": report.unusables,
            "DrainFailed": int(bool(report.trouble)),
        }
        if report.state is not None:
            counts["BreakerOpen"] = int(report.state == "open")
        for name, value in counts.items():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
        if report.looked:
            metrics.add_metric(name="SpillBytes", unit=MetricUnit.Bytes, value=report.bytes)
            metrics.add_metric(name="SpillOldestAge", unit=MetricUnit.Seconds, value=report.oldest or 0.0)
        metrics.flush_metrics()


def start_drain(settings: Settings | None = None) -> DrainApp:
    """Compose the drain function, once a process. Raises ConfigurationError, with what to change."""
    settings = settings or from_environment()
    pipeline = load(settings.pipeline, settings.variables)
    agree_on_delivery(pipeline, settings)
    session = boto3.Session()
    s3 = session.client("s3", config=CLIENT)
    for bucket in buckets_of(pipeline):
        require_bucket(s3, bucket)
    table = progress_table(settings)
    dynamodb = session.client("dynamodb", config=CLIENT)
    logger = Logger()
    return drain_of(
        pipeline,
        {sink.name: sink for sink in record_sinks_of(pipeline, session, logger.warning)},
        store=S3Store(s3),
        reader=S3Reader(s3),
        progress=DynamoProgress(dynamodb, table),
        breakers=breaker_store.DynamoBreakers(dynamodb, table),
        executor=ThreadPoolExecutor(WORKERS, thread_name_prefix="aetherstream"),
        dry_run=settings.dry_run,
    )


def drain_of(
    pipeline: Pipeline,
    sinks: Mapping[str, RecordSink],
    *,
    store: ObjectStore,
    reader: ObjectReader,
    progress: ProgressStore,
    breakers: BreakerStore,
    executor: Executor,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    dry_run: bool = False,
) -> DrainApp:
    """Compose the drain of a pipeline with its per-record sinks (by name) and the stores it is to use."""
    rules, rates, quarantine = breakers_of(pipeline), drain_rates_of(pipeline), quarantine_of(pipeline)
    spillings = [
        Spilling(sinks[name], spill.target, rules[name], rates[name]) for name, spill in spills_of(pipeline).items()
    ]
    drainer = Drainer(
        pipeline.name,
        quarantine=quarantine.target,
        store=store,
        reader=reader,
        progress=progress if pipeline.file.delivery == "exactly_once" else None,
        breakers=breakers,
        clock=clock,
        sleep=sleep,
        executor=executor,
        owner="the drain function",
    )
    targets = [each.target for each in spillings]
    bucket = quarantine.target.bucket
    return DrainApp(
        pipeline.name,
        spillings,
        drainer,
        ByHand(pipeline.name, drainer, store, breakers, clock),
        lambda: orphans(reader, bucket, pipeline.name, targets),
        clock=clock,
        dry_run=dry_run,
    )


def _told(report: DrainReport) -> dict[str, Any]:
    """A report without what says nothing."""
    return {name: value for name, value in report.as_json().items() if value not in (None, "", 0, [], False)}


def _seconds_left(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000
