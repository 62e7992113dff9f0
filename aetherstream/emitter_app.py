"""The composition root of the emitter function, and what it answers to the state table's stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import boto3

from aetherstream.aggregates.declaration import Declaration
from aetherstream.compose_aggregates import declarations_of
from aetherstream.compose_results import outlets_of
from aetherstream.compose_states import stores_of
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.emission.emitter import Emitter
from aetherstream.emission.publish import Outlets
from aetherstream.emission.telemetry import EmissionTelemetry
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline import Pipeline, load
from aetherstream.settings import Settings, from_environment
from aetherstream.startup import WORKERS, LambdaContext, agree_on_delivery


class EmitterApp:
    """The emitter function: changes of states in, a partial batch response out."""

    def __init__(self, emitter: Emitter | None, telemetry: EmissionTelemetry, *, dry_run: bool = False) -> None:
        """`emitter`: None where the pipeline has no aggregate whose states are in the table."""
        self._emitter, self._telemetry, self._dry_run = emitter, telemetry, dry_run

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Process one invocation and return the partial batch response: all of the batch, or nothing, comes again.

        Raises ConfigurationError where a person has to act: the batch comes again too, and the function's errors are
        alarmed on.
        """
        self._telemetry.logger.append_keys(request_id=context.aws_request_id)
        records = event.get("Records", [])
        if self._emitter is None or self._dry_run or not records:
            self._telemetry.logger.info("nothing is emitted", extra={"changes": len(records), "dry_run": self._dry_run})
            return {"batchItemFailures": []}
        done = self._emitter.emit(records, lambda: context.get_remaining_time_in_millis() / 1000)
        self._telemetry.emitted(done)
        if isinstance(done.error, ConfigurationError):
            raise done.error
        if done.error is not None:
            # AWS: from the lowest reported sequence number on everything comes again; the first one stands for all.
            return {"batchItemFailures": [{"itemIdentifier": records[0]["dynamodb"]["SequenceNumber"]}]}
        return {"batchItemFailures": []}


def start_emitter(settings: Settings | None = None) -> EmitterApp:
    """Compose the emitter function, once a process. Raises ConfigurationError, with what to change."""
    settings = settings or from_environment()
    pipeline = load(settings.pipeline, settings.variables)
    agree_on_delivery(pipeline, settings)
    telemetry = EmissionTelemetry(pipeline.name, now=time.time)
    declarations = declarations_of(pipeline, "dynamodb")
    if not declarations or settings.dry_run:
        return EmitterApp(None, telemetry, dry_run=settings.dry_run)
    session = boto3.Session()
    return emitter_of(
        pipeline,
        declarations,
        stores=stores_of(settings, session, ThreadPoolExecutor(WORKERS, thread_name_prefix="states")),
        outlets=outlets_of(pipeline, declarations, session=session, warn=telemetry.logger.warning),
        executor=ThreadPoolExecutor(WORKERS, thread_name_prefix="aetherstream"),
        telemetry=telemetry,
    )


def emitter_of(
    pipeline: Pipeline,
    declarations: Iterable[Declaration],
    *,
    stores: Stores,
    outlets: Outlets,
    executor: Executor,
    telemetry: EmissionTelemetry,
    now: Callable[[], float] = time.time,
) -> EmitterApp:
    """Compose the emitter of a pipeline with the stores and the outlets it is to use."""
    return EmitterApp(Emitter(pipeline.name, declarations, stores, outlets, executor, now=now), telemetry)
