"""The composition root of the closer function, and what it answers to its schedule and to the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3

from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.windows import time_text
from aetherstream.compose_aggregates import declarations_of
from aetherstream.compose_results import outlets_of
from aetherstream.compose_states import commits_for, owner_of, stores_of
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.dynamodb import DynamoProgress
from aetherstream.delivery.progress import ProgressStore
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.emission.clock import Clocks
from aetherstream.emission.closer import Closer
from aetherstream.emission.publish import RESERVE, Outlets
from aetherstream.emission.report import Closing
from aetherstream.emission.shards import Shards, StreamShards
from aetherstream.emission.telemetry import EmissionTelemetry
from aetherstream.errors import ConfigurationError, UsageError
from aetherstream.pipeline import Pipeline, load
from aetherstream.settings import Settings, from_environment
from aetherstream.startup import CLIENT, WORKERS, LambdaContext, agree_on_delivery, progress_table

SCHEDULED = 50 + 2 * RESERVE
"""Seconds of a scheduled run, so that it begins nothing after 50 s: another one begins each minute, and two at a time
would do everything twice."""


class CloserApp:
    """The closer function: the schedule's event, or a person's request, in; what was closed, out."""

    def __init__(self, closer: Closer | None, telemetry: EmissionTelemetry, *, dry_run: bool = False) -> None:
        """`closer`: None where the pipeline has no aggregate whose states are in the table."""
        self._closer, self._telemetry, self._dry_run = closer, telemetry, dry_run

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Process one invocation.

        Events: the schedule's; `{"upto": "2013-01-31T00:00:00Z"}` closes by hand the windows that end there or before,
        wherever the watermark is, and whatever their lateness.

        Raises what hindered the schedule's run, so that the function's errors are alarmed on; the next run goes on. A
        person gets an answer.
        """
        self._telemetry.logger.append_keys(request_id=context.aws_request_id)
        by_hand = event.get("upto")
        try:
            upto = None if by_hand is None else _time(by_hand)
        except UsageError as error:
            return {"state": "failed", "message": str(error)}
        if self._closer is None or self._dry_run:
            self._telemetry.logger.info("nothing is closed", extra={"dry_run": self._dry_run})
            return {**_answer(Closing()), "dry_run": self._dry_run}
        done = self._closer.run(_time_for(context, most=None if by_hand is not None else SCHEDULED), upto)
        self._telemetry.closed(done)
        if done.troubles and by_hand is None:
            raise done.troubles[0]
        return _answer(done)


def start_closer(settings: Settings | None = None) -> CloserApp:
    """Compose the closer function, once a process. Raises ConfigurationError, with what to change."""
    settings = settings or from_environment()
    pipeline = load(settings.pipeline, settings.variables)
    agree_on_delivery(pipeline, settings)
    telemetry = EmissionTelemetry(pipeline.name, now=time.time)
    declarations = declarations_of(pipeline, "dynamodb")
    if not declarations or settings.dry_run:
        return CloserApp(None, telemetry, dry_run=settings.dry_run)
    if settings.stream is None:
        raise ConfigurationError(
            "the environment variable AETHERSTREAM_STREAM is not set: the closer needs the ARN of the stream whose "
            "windows it closes (the template sets it)"
        )
    session = boto3.Session()
    s3 = session.client("s3", config=CLIENT)
    return closer_of(
        pipeline,
        declarations,
        settings.stream,
        stores=stores_of(settings, session, ThreadPoolExecutor(WORKERS, thread_name_prefix="states")),
        outlets=outlets_of(pipeline, declarations, session=session, warn=telemetry.logger.warning),
        objects=S3Store(s3),
        reader=S3Reader(s3),
        shards=StreamShards(session.client("kinesis", config=CLIENT), settings.stream),
        progress=DynamoProgress(session.client("dynamodb", config=CLIENT), progress_table(settings)),
        executor=ThreadPoolExecutor(WORKERS, thread_name_prefix="aetherstream"),
        telemetry=telemetry,
    )


def closer_of(
    pipeline: Pipeline,
    declarations: Sequence[Declaration],
    stream: str,
    *,
    stores: Stores,
    outlets: Outlets,
    objects: ObjectStore,
    reader: ObjectReader,
    shards: Shards,
    progress: ProgressStore,
    executor: Executor,
    telemetry: EmissionTelemetry,
    now: Callable[[], float] = time.time,
) -> CloserApp:
    """Compose the closer of a pipeline and stream (its ARN) with the stores and the outlets it is to use."""
    commits = commits_for(pipeline, declarations, stores, objects, reader, now)(stream.rpartition("/")[2])
    clocks = Clocks(pipeline.name, stream, shards, progress, executor, now=now)
    owner = owner_of(pipeline.name, stream)
    return CloserApp(Closer(owner, declarations, stores, outlets, commits, clocks, now=now), telemetry)


def _time_for(context: LambdaContext, most: float | None) -> Callable[[], float]:
    """The seconds that are left, of `most` at the beginning."""
    whole = context.get_remaining_time_in_millis() / 1000
    given_away = 0.0 if most is None else max(0.0, whole - most)
    return lambda: context.get_remaining_time_in_millis() / 1000 - given_away


def _time(text: object) -> float:
    """Epoch seconds of an ISO 8601 time; UTC where it says nothing else. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise UsageError(f"upto: {text!r} is no time such as 2013-01-31T00:00:00Z") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _answer(done: Closing) -> dict[str, Any]:
    return {
        "state": "failed" if done.troubles else "done",
        "watermark": None if done.watermark is None else time_text(done.watermark),
        "held_by": list(done.held_by),
        "windows": done.windows,
        "sessions": done.sessions,
        "overdue": done.overdue,
        "given_up": done.given_up,
        "message": "; ".join(str(error) for error in done.troubles),
    }
