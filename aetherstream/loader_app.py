"""The composition root of the loader function; what it answers to its queue, the command line and a deployment."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from aetherstream.compose_loads import load_targets_of
from aetherstream.delivery.dynamodb import DynamoProgress
from aetherstream.delivery.progress import ProgressStore
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.errors import ConfigurationError
from aetherstream.loader.by_hand import ByHand, LoadQueue
from aetherstream.loader.deployment import Respond, respond, result_of
from aetherstream.loader.finality import Finality
from aetherstream.loader.load_queue import LoaderQueue, SqsLoadQueue
from aetherstream.loader.loader import Loader, Sink
from aetherstream.loader.manifests import Remove, remover
from aetherstream.loader.notifications import messages_of
from aetherstream.loader.parts import Warehouse
from aetherstream.loader.report import Handled, LoadReport
from aetherstream.pipeline import Pipeline, load
from aetherstream.settings import Settings, from_environment
from aetherstream.startup import CLIENT, WORKERS, LambdaContext, agree_on_delivery, progress_table, require_bucket
from aetherstream.warehouse.options import LoadTarget


class Queue(LoaderQueue, LoadQueue, Protocol):
    """The queue of staged objects, for the loader and for a person."""


class LoaderApp:
    """The loader function: messages of the queue, a request of the command line, or a deployment's, in."""

    def __init__(
        self, pipeline: str, loader: Loader, by_hand: ByHand, *, respond: Respond = respond, dry_run: bool = False
    ) -> None:
        """`respond`: sends the answer to a deployment."""
        self._pipeline = pipeline
        self._loader = loader
        self._by_hand = by_hand
        self._respond = respond
        self._dry_run = dry_run
        self._logger = Logger()

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Process one invocation. What hinders it stands in the answer; raises only on a bug.

        Events: those of the queue; `{"do": ...}` as `aetherstream.loader.by_hand` says; CloudFormation's of a custom
        resource, which makes the tables.
        """
        self._logger.append_keys(request_id=context.aws_request_id, pipeline=self._pipeline)

        def seconds_left() -> float:
            return context.get_remaining_time_in_millis() / 1000

        if "Records" in event:
            return self._load(event, seconds_left)
        if "ResponseURL" in event:
            return self._deploy(event, seconds_left)
        answer = self._by_hand.answer(event, seconds_left)
        facts = {name: event[name] for name in ("do", "sink", "by") if name in event}
        self._logger.info("request done", extra=facts | {"state": answer["state"], "cause": answer.get("message", "")})
        return answer

    # -- The queue ----------------------------------------------------------------------------------------------------

    def _load(self, event: dict[str, Any], seconds_left: Callable[[], float]) -> dict[str, Any]:
        messages = messages_of(event)
        if self._dry_run:
            self._logger.info("dry run: nothing is loaded", extra={"messages": len(messages)})
            return _response([message.id for message in messages])
        handled = self._loader.handle(messages, seconds_left)
        for report in handled.reports:
            self._measure(report)
        self._log(handled)
        return _response(handled.again)

    def _log(self, handled: Handled) -> None:
        """One line an invocation."""
        facts: dict[str, Any] = {
            "messages": handled.messages,
            "again": len(handled.again),
            "sinks": {report.sink: report.as_json() for report in handled.reports},
        }
        if handled.refused:
            facts["refused"] = handled.refused
        if handled.trouble:
            facts["cause"] = handled.trouble
        if any(report.needs_somebody for report in handled.reports):
            self._logger.error("load done, with something for a person to do", extra=facts)
        elif handled.trouble or handled.refused or any(report.is_bad for report in handled.reports):
            self._logger.warning("load done, not without trouble", extra=facts)
        else:
            self._logger.info("load done", extra=facts)

    def _measure(self, report: LoadReport) -> None:
        metrics = EphemeralMetrics()
        metrics.set_default_dimensions(pipeline=self._pipeline, sink=report.sink)
        for name, value in report.metrics().items():
            unit = MetricUnit.Seconds if name in ("LoadOldestAge", "LoadSeconds") else MetricUnit.Count
            metrics.add_metric(name=name, unit=unit, value=value)
        metrics.flush_metrics()

    # -- A deployment -------------------------------------------------------------------------------------------------

    def _deploy(self, event: dict[str, Any], seconds_left: Callable[[], float]) -> dict[str, Any]:
        """Make the tables what the pipeline says, and answer in every case: a stack waits an hour for an answer."""
        try:
            told: dict[str, Any] = {"state": "done", "sinks": []}
            if event.get("RequestType") != "Delete" and not self._dry_run:
                told = self._by_hand.answer({"do": "apply"}, seconds_left)
            result = result_of(event, told, self._pipeline)
        except Exception as error:
            self._logger.exception("a deployment met a bug")
            result = result_of(event, {"state": "failed", "message": repr(error)}, self._pipeline)
        self._logger.info("deployment answered", extra={"result": result})
        self._respond(event["ResponseURL"], result)
        return {"state": "done" if result["Status"] == "SUCCESS" else "failed", "message": result["Reason"]}


class Loading:
    """The loader function, also where it can't be composed: a deployment that waits for an answer gets one then.

    It is tried again with each event: a right that was missing may be there by now.
    """

    def __init__(self, start: Callable[[], LoaderApp], respond: Respond = respond) -> None:
        """Compose it; what hinders is kept for the first event. `start` raises ConfigurationError."""
        self._start = start
        self._respond = respond
        self._app: LoaderApp | None = None
        with suppress(ConfigurationError):
            self._app = start()

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Handle one event. Raises ConfigurationError where the function can't be composed."""
        try:
            self._app = self._app or self._start()
        except ConfigurationError as error:
            if "ResponseURL" not in event:
                raise
            told = {"state": "failed", "message": str(error)}
            if event.get("RequestType") == "Delete":
                told = {"state": "done"}
            self._respond(event["ResponseURL"], result_of(event, told, "unknown"))
            return told
        return self._app.handle(event, context)


def start_loader(settings: Settings | None = None) -> LoaderApp:
    """Compose the loader function, once a process. Raises ConfigurationError, with what to change."""
    settings = settings or from_environment()
    pipeline = load(settings.pipeline, settings.variables)
    agree_on_delivery(pipeline, settings)
    session = boto3.Session()
    s3 = session.client("s3", config=CLIENT)
    targets = load_targets_of(pipeline)
    for bucket in sorted({target.staging.bucket for target in targets}):
        require_bucket(s3, bucket)
    progress: ProgressStore | None = None
    if pipeline.file.delivery == "exactly_once":
        progress = DynamoProgress(session.client("dynamodb", config=CLIENT), progress_table(settings))
    queue = SqsLoadQueue(
        session.client("sqs", config=CLIENT),
        _given(settings.load_queue, "AETHERSTREAM_LOAD_QUEUE", "the URL of the queue of staged objects"),
        _given(settings.load_dead_letters, "AETHERSTREAM_LOAD_DEAD_LETTERS", "the URL of that queue's dead letters"),
    )
    return loader_of(
        pipeline,
        [(target, warehouse_of(target, session, pipeline.name, settings.progress_table)) for target in targets],
        stream=_given(settings.stream, "AETHERSTREAM_STREAM", "the ARN of the stream"),
        store=S3Store(s3),
        reader=S3Reader(s3),
        remove=remover(s3),
        progress=progress,
        queue=queue,
        executor=ThreadPoolExecutor(WORKERS, thread_name_prefix="aetherstream"),
        dry_run=settings.dry_run,
    )


def loader_of(
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    *,
    stream: str,
    store: ObjectStore,
    reader: ObjectReader,
    remove: Remove,
    progress: ProgressStore | None,
    queue: Queue,
    executor: Executor,
    clock: Callable[[], float] = time.time,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    respond: Respond = respond,
    dry_run: bool = False,
) -> LoaderApp:
    """Compose the loader of a pipeline with its tables and the stores it is to use; `stream`: ARN."""
    loader = Loader(
        sinks,
        finality=Finality(pipeline.name, stream, progress),
        store=store,
        remove=remove,
        queue=queue,
        executor=executor,
        clock=clock,
        new_id=new_id,
    )
    by_hand = ByHand(pipeline.name, sinks, reader=reader, queue=queue, dry_run=dry_run)
    return LoaderApp(pipeline.name, loader, by_hand, respond=respond, dry_run=dry_run)


def warehouse_of(target: LoadTarget, session: boto3.Session, pipeline: str = "", table: str | None = None) -> Warehouse:
    """Return the table of a sink; nothing is asked yet. Raises ConfigurationError where its options lack something.

    `table`: of the progress items, where loads through the Data API are remembered; None: nothing is loaded so.
    """
    if target.through == "data_api":
        from aetherstream.loader.data_api_entry import data_api_warehouse

        return data_api_warehouse(target, session, pipeline, table)
    from aetherstream.loader.entry import connector
    from aetherstream.loader.sql_warehouse import SqlWarehouse

    return SqlWarehouse(target, connector(target.warehouse, session))


def _response(again: Sequence[str]) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}


def _given(value: str | None, variable: str, what: str) -> str:
    if value is None:
        raise ConfigurationError(f"the environment variable {variable} is not set: it is {what}")
    return value
