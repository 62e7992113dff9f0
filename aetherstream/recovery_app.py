"""The composition root of the recovery function. A module of its own, so that the stream function starts without it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3
from msgspec import UnsetType

from aetherstream.aggregation import Aggregation
from aetherstream.app import aggregation_for, fetcher, record_sinks_of, version_of
from aetherstream.compose import buckets_of, core_of, quarantine_of, spills_of, tables_of
from aetherstream.core import Core
from aetherstream.decode import Decoder
from aetherstream.delivery.dynamodb import DynamoProgress
from aetherstream.delivery.progress import ProgressStore
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.pipeline import Pipeline, load
from aetherstream.recovery.audit import Audit
from aetherstream.recovery.letters import Reread
from aetherstream.recovery.marks import Marks
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.replay import Replayer
from aetherstream.recovery.request import About
from aetherstream.recovery.reread import reread
from aetherstream.recovery.service import Service
from aetherstream.recovery.stream import StreamReader
from aetherstream.settings import Settings, from_environment
from aetherstream.sinks.base import RecordSink
from aetherstream.startup import CLIENT, WORKERS, LambdaContext, agree_on_delivery, progress_table, require_bucket
from aetherstream.telemetry import Telemetry
from aetherstream.transforms.tables import ReferenceTables


class RecoveryApp:
    """The recovery function: a request of the command line, or messages of a queue, in; what became of them out."""

    def __init__(self, service: Service, tables: ReferenceTables, telemetry: Telemetry) -> None:
        self._service = service
        self._tables = tables
        self._telemetry = telemetry

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Process one invocation. What hinders it stands in the answer; raises only on a bug."""
        log = self._telemetry.logger
        log.append_keys(request_id=context.aws_request_id)
        for warning in self._tables.refresh():
            log.warning(warning)

        def seconds_left() -> float:
            return context.get_remaining_time_in_millis() / 1000

        if "Records" in event:
            again = self._service.messages(event["Records"], seconds_left)
            log.info("messages done", extra={"messages": len(event["Records"]), "again": again})
            return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}
        answer = self._service.handle(event, seconds_left)
        facts: dict[str, Any] = {"do": event.get("do"), "by": event.get("by")}
        if "message" in answer:
            facts["cause"] = answer["message"]
        facts |= {name: answer[name] for name in ("state", "audit") if name in answer}
        log.info("request done", extra=facts)
        return answer


def start_recovery(settings: Settings | None = None) -> RecoveryApp:
    """Compose the recovery function, once a process. Raises like `start`."""
    settings = settings or from_environment()
    pipeline = load(settings.pipeline, settings.variables)
    agree_on_delivery(pipeline, settings)
    telemetry = Telemetry(pipeline.name, tracing=settings.tracing)
    session = boto3.Session()
    s3 = session.client("s3", config=CLIENT)
    tables = tables_of(pipeline, fetcher(s3))
    for bucket in buckets_of(pipeline):
        require_bucket(s3, bucket)
    progress = DynamoProgress(session.client("dynamodb", config=CLIENT), progress_table(settings))
    kinesis = session.client("kinesis", config=CLIENT)
    executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="aetherstream")
    service = service_of(
        pipeline,
        tables,
        settings,
        store=S3Store(s3),
        reader=S3Reader(s3),
        progress=progress,
        executor=executor,
        reread=lambda letter: reread(StreamReader(kinesis, letter.stream, sleep=time.sleep), letter),
        record_sinks=record_sinks_of(pipeline, session, telemetry.logger.warning),
        aggregation=aggregation_for(pipeline, settings, session, s3, executor),
    )
    return RecoveryApp(service, tables, telemetry)


def service_of(
    pipeline: Pipeline,
    tables: ReferenceTables,
    settings: Settings,
    *,
    store: ObjectStore,
    reader: ObjectReader,
    progress: ProgressStore,
    executor: Executor,
    reread: Reread,
    record_sinks: Sequence[RecordSink] = (),
    aggregation: Aggregation | None = None,
    clock: Callable[[], float] = time.time,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> Service:
    """Compose the recovery of a pipeline with the stores it is to use. `clock`: epoch seconds."""
    core = core_of(pipeline, tables, settings.variables)
    quarantine = quarantine_of(pipeline)
    bucket = quarantine.target.bucket
    version = version_of(pipeline, tables)

    def about() -> About:
        return About(
            pipeline=pipeline.name,
            version=version(),
            stream=settings.stream,
            function=settings.function,
            bucket=bucket,
            prefix=quarantine.target.prefix,
            dead_letters=settings.dead_letters,
            exactly_once=pipeline.file.delivery == "exactly_once",
            sinks={sink.name: f"{sink.target.bucket}/{sink.target.prefix}" for sink in core.sinks},
            staging=[sink.name for sink in core.sinks if not isinstance(pipeline.sinks[sink.name].redshift, UnsetType)],
            record_sinks=[place.name for place in core.places],
        )

    def redriver(owner: str, core: Core = core) -> Redriver:
        return Redriver(
            pipeline.name,
            core,
            quarantine=quarantine,
            store=store,
            archive=reader,
            progress=progress,
            spills=[spill.target for spill in spills_of(pipeline).values()],
            record_sinks=record_sinks,
            aggregation=aggregation,
            executor=executor,
            clock=clock,
            owner=owner,
            version=version,
        )

    return Service(
        about,
        redriver=redriver,
        replayer=Replayer(pipeline, core, redriver=redriver, progress=progress),
        decoder=Decoder(max_expanded=pipeline.file.source.max_expanded_bytes),
        reader=reader,
        progress=progress,
        marks=Marks(store, reader, bucket=bucket, pipeline=pipeline.name),
        audit=Audit(store, bucket=bucket, pipeline=pipeline.name),
        reread=reread,
        clock=lambda: datetime.fromtimestamp(clock(), UTC),
        new_id=new_id,
        dry_run=settings.dry_run,
    )
