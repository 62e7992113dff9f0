"""The composition root: settings → pipeline with its stores; what the handlers call."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from aetherstream import build
from aetherstream.compose import (
    breakers_of,
    buckets_of,
    core_of,
    opensearch_of,
    placements_of,
    quarantine_of,
    spills_of,
    tables_of,
)
from aetherstream.decode import read_batch
from aetherstream.delivery.breaker import Breaker, breaker_key
from aetherstream.delivery.dynamodb import DynamoProgress
from aetherstream.delivery.ledger import Ledger, Unledgered
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.recorded import RecordedObjects, RecordedSink
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.engine import Engine
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline import Pipeline, load
from aetherstream.record_delivery import Standby
from aetherstream.settings import Settings, from_environment
from aetherstream.sinks.base import RecordSink
from aetherstream.startup import CLIENT, WORKERS, LambdaContext, agree_on_delivery, progress_table, require_bucket
from aetherstream.telemetry import Telemetry
from aetherstream.timings import Timings
from aetherstream.transforms.tables import ReferenceTables

if TYPE_CHECKING:
    from aetherstream.aggregation import Aggregation


class App:
    """A function: events in, partial batch responses out."""

    def __init__(
        self,
        engine: Engine,
        tables: ReferenceTables,
        telemetry: Telemetry,
        recorded: RecordedObjects | None = None,
    ) -> None:
        """`recorded`: what a dry run would have written."""
        self._engine = engine
        self._tables = tables
        self._telemetry = telemetry
        self._recorded = recorded

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Process one invocation and return the partial batch response."""
        self._telemetry.logger.append_keys(request_id=context.aws_request_id)
        batch = read_batch(event)
        for warning in self._tables.refresh():
            self._telemetry.logger.warning(warning)
        report = self._engine.process(batch, lambda: context.get_remaining_time_in_millis() / 1000)
        if self._recorded is not None:
            self._log_dry_run(self._recorded)
        self._telemetry.publish(report)
        return report.response()

    def _log_dry_run(self, recorded: RecordedObjects) -> None:
        for made in recorded.objects:
            facts = {"object": f"s3://{made.bucket}/{made.key}", "bytes": len(made.body), **made.metadata}
            self._telemetry.logger.info("dry run: not written", extra=facts)
        recorded.objects.clear()


def start(settings: Settings | None = None) -> App:
    """Compose the function, once a process.

    Raises ConfigurationError, with what to change, where the pipeline, the environment or the deployment is wrong.
    """
    settings = settings or from_environment()
    pipeline = load(settings.pipeline, settings.variables)
    agree_on_delivery(pipeline, settings)
    telemetry = Telemetry(pipeline.name, tracing=settings.tracing)
    for name in pipeline.switched_off:
        telemetry.logger.warning("sink is off: it is optional, and its endpoint is empty", extra={"sink": name})
    session = boto3.Session()
    s3 = session.client("s3", config=CLIENT)
    tables = tables_of(pipeline, fetcher(s3))
    recorded = RecordedObjects() if settings.dry_run else None
    store: ObjectStore
    ledger: Ledger | Unledgered
    record_sinks: list[RecordSink]
    standbys: dict[str, Standby] = {}
    aggregation: Aggregation | None = None
    executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="aetherstream")
    if recorded is not None:
        store, ledger = recorded, Unledgered()
        record_sinks = [RecordedSink(place.name) for place in placements_of(pipeline)]
    else:
        for bucket in buckets_of(pipeline):
            require_bucket(s3, bucket)
        store, ledger = S3Store(s3), _ledger(pipeline, settings, session)
        record_sinks = record_sinks_of(pipeline, session, telemetry.logger.warning)
        standbys = _standbys(pipeline, settings, session)
        aggregation = aggregation_for(pipeline, settings, session, s3, executor)
    engine = engine_of(
        pipeline,
        tables,
        store=store,
        ledger=ledger,
        record_sinks=record_sinks,
        standbys=standbys,
        aggregation=aggregation,
        executor=executor,
        secrets=settings.variables,
        timings=telemetry.timings,
    )
    return App(engine, tables, telemetry, recorded)


def engine_of(
    pipeline: Pipeline,
    tables: ReferenceTables,
    *,
    store: ObjectStore,
    ledger: Ledger | Unledgered,
    executor: Executor,
    secrets: Mapping[str, str],
    record_sinks: Sequence[RecordSink] = (),
    standbys: Mapping[str, Standby] | None = None,
    aggregation: Aggregation | None = None,
    timings: Callable[[], Timings] = Timings,
) -> Engine:
    """Compose the engine of a pipeline with the stores and the per-record sinks it is to use."""
    return Engine(
        pipeline.name,
        core_of(pipeline, tables, secrets),
        store=store,
        ledger=ledger,
        quarantine=quarantine_of(pipeline),
        record_sinks=record_sinks,
        standbys=standbys,
        aggregation=aggregation,
        executor=executor,
        version=version_of(pipeline, tables),
        timings=timings,
    )


def record_sinks_of(pipeline: Pipeline, session: boto3.Session, warn: Callable[[str], object]) -> list[RecordSink]:
    """Make the per-record sinks; nothing is sent yet. `warn` is told what is wrong with an index template."""
    found = opensearch_of(pipeline)
    if not found:
        return []
    # A quarter of a second of cold start: paid only where there is such a sink.
    from aetherstream.sinks.opensearch.connect import connect

    return [connect(options, session, warn) for options in found]


def _standbys(pipeline: Pipeline, settings: Settings, session: boto3.Session) -> dict[str, Standby]:
    """Make the breakers and spills of the sinks that must not hold up the others."""
    spills, rules = spills_of(pipeline), breakers_of(pipeline)
    if not spills:
        return {}
    from aetherstream.delivery import breaker_store

    client = session.client("dynamodb", config=breaker_store.CLIENT)
    store = breaker_store.DynamoBreakers(client, progress_table(settings))
    return {
        name: Standby(Breaker(store, breaker_key(pipeline.name, name), rules[name], clock=time.time), spill)
        for name, spill in spills.items()
    }


def aggregation_for(
    pipeline: Pipeline, settings: Settings, session: boto3.Session, s3: Any, executor: Executor
) -> Aggregation | None:
    """Make what folds events into the aggregates whose states are in the state table; None where there is none."""
    if not pipeline.file.aggregates:
        return None
    from aetherstream.compose_aggregates import aggregation_of, declarations_of
    from aetherstream.compose_states import commits_for, stores_of

    declarations = declarations_of(pipeline, "dynamodb")
    if not declarations:
        return None
    stores = stores_of(settings, session, executor)
    commits = commits_for(pipeline, declarations, stores, S3Store(s3), S3Reader(s3), time.time)
    return aggregation_of(pipeline, declarations, commits)


def fetcher(s3: Any) -> Callable[[str], bytes]:
    """What reads a reference table: a path inside the package, or `s3://bucket/key`."""

    def fetch(uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            if not uri.startswith("s3://"):
                return Path(uri).read_bytes()
            body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (OSError, BotoCoreError, ClientError) as error:
            raise ConfigurationError(f"the reference table {uri} can't be read: {error}") from error
        return body

    return fetch


def version_of(pipeline: Pipeline, tables: ReferenceTables) -> Callable[[], str]:
    """What gives the pipeline version as the reference tables stand now."""
    base = _base_version(pipeline)

    def version() -> str:
        # Reference tables change between batches, and with them what the transforms make.
        found = sorted(tables.versions.items())
        return sha256(repr((base, found)).encode()).hexdigest()[:12] if found else base

    return version


def _base_version(pipeline: Pipeline) -> str:
    """Twelve hex digits for code and configuration: the build's own, and the file as the environment completes it."""
    return sha256(build.version(build.about()).encode() + msgspec.json.encode(pipeline.file)).hexdigest()[:12]


def _ledger(pipeline: Pipeline, settings: Settings, session: boto3.Session) -> Ledger | Unledgered:
    if pipeline.file.delivery == "at_least_once":
        return Unledgered()
    client = session.client("dynamodb", config=CLIENT)
    return Ledger(DynamoProgress(client, progress_table(settings)), process=uuid.uuid4().hex)
