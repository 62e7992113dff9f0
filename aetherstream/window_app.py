"""The composition root of the window function: aggregates whose state Lambda keeps (`state: lambda`).

It makes the stream function's events of the same records, in an event source mapping of its own, and delivers none of
them. What can't be decoded, is invalid or refused is counted here; the stream function quarantines it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.windows import Tumbling, Window
from aetherstream.app import fetcher
from aetherstream.compose import core_of, tables_of
from aetherstream.compose_aggregates import declarations_of
from aetherstream.core import Core, Prepared, collector_paused
from aetherstream.decode import read_batch
from aetherstream.errors import AetherStreamError, ConfigurationError
from aetherstream.managed.fold import Step, WindowFold, fresh
from aetherstream.managed.invocation import Invocation, invocation_of
from aetherstream.managed.rows import rows_of
from aetherstream.managed.state import WindowState, read_state
from aetherstream.pipeline import Pipeline, load
from aetherstream.results.parts import Outlet
from aetherstream.results.rows import document
from aetherstream.settings import Settings, from_environment
from aetherstream.startup import CLIENT, LambdaContext, agree_on_delivery
from aetherstream.transforms.tables import ReferenceTables

SECONDS = "AETHERSTREAM_WINDOW_SECONDS"
"""The variable by which the template says its mapping's TumblingWindowInSeconds."""

RESERVE = 2.0
"""Seconds of an invocation that are kept for the answer."""


class WindowApp:
    """The window function: a batch and the window's state in, the state with the batch out."""

    def __init__(
        self,
        pipeline: str,
        core: Core,
        declarations: Sequence[Declaration],
        outlets: Mapping[str, Sequence[Outlet]],
        *,
        refresh: Callable[[], Sequence[str]] = tuple,
        dry_run: bool = False,
    ) -> None:
        """`declarations`: with `state: lambda`; `core`: reads what they need; `outlets`: by aggregate; `refresh`: of
        the reference tables, gives warnings.
        """
        self._pipeline = pipeline
        self._aggregates = [one.aggregate for one in declarations]
        self._core = core
        self._fold = WindowFold(declarations, [sink.name for sink in core.sinks])
        self._length = length_of(declarations)
        self._outlets = outlets
        self._refresh = refresh
        self._dry_run = dry_run
        self._logger = Logger()

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Process one invocation.

        Whatever it raises makes Lambda bring the batch again with the state of before, so nothing is folded twice: no
        part of a batch is ever reported alone (AWS does not say whether the state beside such a report is kept).

        Raises:
            Retryable: a sink of results is down.
            ConfigurationError: somebody has to change the deployment.
        """
        self._logger.append_keys(request_id=context.aws_request_id, pipeline=self._pipeline)
        try:
            return self._handle(event, lambda: max(0.0, context.get_remaining_time_in_millis() / 1000 - RESERVE))
        except AetherStreamError as error:
            self._logger.warning("batch left for retry", extra={"cause": f"{type(error).__name__}: {error}"})
            raise

    def _handle(self, event: dict[str, Any], seconds_left: Callable[[], float]) -> dict[str, Any]:
        invocation = invocation_of(event)
        self._agree_on_length(invocation.window)
        for warning in self._refresh():
            self._logger.warning(warning)
        batch = read_batch(event)
        before = read_state(invocation.state, self._aggregates)
        for name, groups in before.lost.items():
            facts = {"aggregate": name, "groups": groups, "window": invocation.window.id, "shard": invocation.shard}
            self._logger.error("groups of a window are lost: the aggregate is declared otherwise now", extra=facts)
        new = fresh(before, batch)
        with collector_paused():
            prepared = self._core.prepare(new, 0, len(new))
            step = self._fold(before, new, prepared)
        sent = 0
        if step.closed is not None:
            sent += self._send(step.closed, invocation, seconds_left, early=True)
        if invocation.final:
            sent += self._send(step.state, invocation, seconds_left, early=invocation.early)
        answer = {} if invocation.final else step.state.written(self._aggregates)
        size = 0 if invocation.final else step.state.size(self._aggregates)
        self._tell(invocation, len(batch) - len(new), prepared, step, sent, size)
        return {"state": answer, "batchItemFailures": []}

    def _send(
        self, state: WindowState, invocation: Invocation, seconds_left: Callable[[], float], *, early: bool
    ) -> int:
        """Send the rows of a part of a window; returns how many there are."""
        sent = 0
        for one in self._aggregates:
            rows = rows_of(one, state, invocation.window, invocation.shard, early=early)
            sent += len(rows)
            if self._dry_run:
                for row in rows:
                    self._logger.info("dry run: not sent", extra={"row": document(row)})
                continue
            for outlet in self._outlets.get(one.name, ()) if rows else ():
                refused = outlet.send(rows, seconds_left()).refused
                if refused:
                    causes = {name: str(error) for name, error in sorted(refused.items())[:10]}
                    self._logger.error(
                        "results are refused for good",
                        extra={"outlet": outlet.name, "refused": len(refused), "causes": causes},
                    )
                    self._count(one.name, {"WindowRowsRefused": len(refused)})
        return sent

    def _agree_on_length(self, window: Window) -> None:
        # Shorter ones are accepted: AWS does not say how it goes on after a window that ended early.
        if window.end - window.start > self._length:
            raise ConfigurationError(
                f"the event source mapping has windows of {window.end - window.start:g} s (TumblingWindowInSeconds), "
                f"but the pipeline's aggregates with `state: lambda` say `tumbling: {self._length}s`: make them agree"
            )

    # -- What it says of itself --------------------------------------------------------------------------------------

    def _tell(
        self, invocation: Invocation, repeated: int, prepared: Prepared, step: Step, sent: int, size: int
    ) -> None:
        groups = {one.name: len(step.state.groups.get(one.name, ())) for one in self._aggregates}
        facts: dict[str, Any] = {
            "shard": invocation.shard,
            "window": invocation.window.id,
            "final": invocation.final,
            "early": invocation.early or step.closed is not None,
            "kinesis_records": prepared.end,
            "repeated": repeated,
            "rejected": len(prepared.rejections),
            "state_bytes": size,
            "rows": sent,
            "aggregates": {
                name: {"groups": groups[name], "events": one.events, "folded": one.folded, "skipped": one.skipped}
                for name, one in step.counts.items()
            },
        }
        if step.reasons:
            facts["refused"] = step.reasons
        self._logger.info("window done" if invocation.final else "batch folded", extra=facts)
        for name, count in step.counts.items():
            self._count(
                name,
                {"WindowEvents": count.events, "WindowRefused": count.refused, "WindowSkipped": count.skipped},
            )
        metrics = EphemeralMetrics()
        metrics.set_default_dimensions(pipeline=self._pipeline)
        metrics.add_metric(name="WindowStateBytes", unit=MetricUnit.Bytes, value=size)
        metrics.add_metric(name="WindowRows", unit=MetricUnit.Count, value=sent)
        metrics.add_metric(
            name="WindowsCut", unit=MetricUnit.Count, value=int(step.closed is not None) + int(invocation.early)
        )
        metrics.flush_metrics()

    def _count(self, aggregate: str, counts: Mapping[str, int]) -> None:
        metrics = EphemeralMetrics()
        metrics.set_default_dimensions(pipeline=self._pipeline, aggregate=aggregate)
        for name, value in counts.items():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
        metrics.flush_metrics()


def start_window(settings: Settings | None = None) -> WindowApp:
    """Compose the window function, once a process. Raises ConfigurationError, with what to change."""
    settings = settings or from_environment()
    pipeline = load(settings.pipeline, settings.variables)
    agree_on_delivery(pipeline, settings)
    declarations = kept_by_lambda(pipeline)
    _agree_on_seconds(declarations, settings)
    session = boto3.Session()
    tables = tables_of(pipeline, fetcher(session.client("s3", config=CLIENT)))
    outlets: Mapping[str, Sequence[Outlet]] = {}
    if not settings.dry_run:
        from aetherstream.compose_results import outlets_of

        outlets = outlets_of(pipeline, declarations, session=session, warn=Logger().warning)
    return window_app_of(pipeline, declarations, tables, outlets, settings.variables, dry_run=settings.dry_run)


def window_app_of(
    pipeline: Pipeline,
    declarations: Sequence[Declaration],
    tables: ReferenceTables,
    outlets: Mapping[str, Sequence[Outlet]],
    secrets: Mapping[str, str],
    *,
    dry_run: bool = False,
) -> WindowApp:
    """Compose the function of a pipeline with the outlets it is to use."""
    core = core_of(pipeline, tables, secrets, aggregates="lambda")
    return WindowApp(pipeline.name, core, declarations, outlets, refresh=tables.refresh, dry_run=dry_run)


def kept_by_lambda(pipeline: Pipeline) -> list[Declaration]:
    """The aggregates with `state: lambda`. Raises ConfigurationError where there is none."""
    found = declarations_of(pipeline, "lambda")
    if not found:
        raise ConfigurationError(
            f"{pipeline.path} declares no aggregate with `state: lambda`, so the window function has nothing to do: "
            "declare one, or leave the function out of the deployment"
        )
    return found


def length_of(declarations: Sequence[Declaration]) -> int:
    """Seconds of the aggregates' windows. Raises ConfigurationError where they differ: a mapping has one length."""
    lengths = {
        one.name: one.aggregate.windows.size
        for one in declarations
        if isinstance(one.aggregate.windows, Tumbling) and one.aggregate.windows.offset == 0
    }
    if len(lengths) < len(declarations) or len(set(lengths.values())) != 1:
        raise ConfigurationError(
            "aggregates with `state: lambda` need tumbling windows of one length and without an offset: they share an "
            f"event source mapping, and that has one TumblingWindowInSeconds; here: {lengths}"
        )
    return next(iter(lengths.values()))


def _agree_on_seconds(declarations: Sequence[Declaration], settings: Settings) -> None:
    """Raise ConfigurationError where the template and the pipeline file promise different windows."""
    length = length_of(declarations)
    wanted = settings.variables.get(SECONDS, str(length))
    if wanted != str(length):
        raise ConfigurationError(
            f"the pipeline's aggregates with `state: lambda` have windows of {length} s, but the template's event "
            f"source mapping has {wanted} s: make its parameter and `tumbling:` agree"
        )
