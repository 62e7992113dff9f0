"""From a loaded pipeline to the parts that run it: the pure core and the sinks. No AWS, no environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import UnsetType

from aetherstream.compose_objects import partition_of
from aetherstream.core import Core
from aetherstream.decode import Decoder
from aetherstream.eventtime import Bounds, EventTime
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.compiled import transform_of, validation_of
from aetherstream.quarantine import Quarantine
from aetherstream.sinks.s3 import S3Archive
from aetherstream.transforms.compiler import table_columns
from aetherstream.transforms.tables import ReferenceTables, TableSource

if TYPE_CHECKING:
    from aetherstream.aggregates.columns import ColumnReader
    from aetherstream.aggregates.declaration import Store
    from aetherstream.delivery.breaker_item import Rules
    from aetherstream.pipeline.model_opensearch import OpenSearchSink
    from aetherstream.pipeline.model_sinks import S3Sink
    from aetherstream.sinks.base import ObjectSink, Placement
    from aetherstream.sinks.opensearch.options import OpenSearchOptions
    from aetherstream.spill import Spill


def core_of(
    pipeline: Pipeline, tables: ReferenceTables, secrets: Mapping[str, str], *, aggregates: Store | None = "dynamodb"
) -> Core:
    """Compile the pure part of a pipeline; `aggregates`: the columns of those with this store (None: of all) are read.

    Raises ConfigurationError (PipelineMistakes, with the lines) for steps, expressions and schemas that do not compile.
    """
    file = pipeline.file
    steps = transform_of(pipeline, tables, secrets)
    return Core(
        Decoder(max_expanded=file.source.max_expanded_bytes),
        validate=validation_of(pipeline),
        sinks=sinks_of(pipeline),
        places=placements_of(pipeline),
        transform=steps if file.transforms else None,
        event_time=_event_time(pipeline),
        identity=() if isinstance(file.identity, UnsetType) else file.identity,
        columns=_columns(pipeline, aggregates) if pipeline.aggregates else None,
    )


def _columns(pipeline: Pipeline, store: Store | None) -> ColumnReader | None:
    from aetherstream.compose_aggregates import columns_of, declarations_of

    return columns_of(pipeline, declarations_of(pipeline, store))


def tables_of(
    pipeline: Pipeline, fetch: Callable[[str], bytes], clock: Callable[[], float] = time.monotonic
) -> ReferenceTables:
    """Load the reference tables; `fetch` reads a path of this machine or `s3://bucket/key`.

    Raises ConfigurationError where a table is wrong; what `fetch` raises propagates.
    """
    columns = table_columns(pipeline.file.transforms)
    sources = {
        name: TableSource(pipeline.table_uri(name), table.key, table.reload_seconds, columns.get(name, ()))
        for name, table in pipeline.file.tables.items()
    }
    return ReferenceTables(sources, fetch, clock)


def _event_time(pipeline: Pipeline) -> EventTime:
    declared = pipeline.file.event_time
    if isinstance(declared, UnsetType):
        return EventTime()
    bounds = Bounds(
        not_before=declared.earliest,
        not_after=declared.latest,
        max_age=declared.max_age_seconds,
        max_ahead=declared.max_ahead_seconds,
    )
    return EventTime(declared.field, declared.format, bounds)


def sinks_of(pipeline: Pipeline) -> list[ObjectSink]:
    """Make the per-object sinks, in the file's order, without those that are switched off."""
    made: list[ObjectSink] = []
    for name, sink in pipeline.sinks.items():
        if not isinstance(sink.s3, UnsetType):
            made.append(_archive(pipeline, name, sink.s3))
        if not isinstance(sink.redshift, UnsetType) and not sink.redshift.is_off:
            from aetherstream.compose_redshift import staging_of

            made.append(staging_of(pipeline, name, sink.redshift))
    return made


def placements_of(pipeline: Pipeline) -> list[Placement]:
    """Make what says where the documents of the per-record sinks go; a sink that is switched off has none."""
    made: list[Placement] = []
    for name, sink in _searches(pipeline):
        from aetherstream.compose_opensearch import placement_of

        made.append(placement_of(name, sink))
    return made


def opensearch_of(pipeline: Pipeline) -> list[OpenSearchOptions]:
    """Return what the OpenSearch sinks are made from, without those that are switched off."""
    from aetherstream.compose_opensearch import options_of

    return [options_of(pipeline, name, sink) for name, sink in _searches(pipeline)]


def spills_of(pipeline: Pipeline) -> dict[str, Spill]:
    """Make the spills of the sinks that have one (`on_outage: spill`), by sink; not of those that are switched off."""
    from aetherstream.spill import Spill

    return {
        name: Spill(name, bucket=str(sink.spill.bucket), prefix=str(sink.spill.prefix), pipeline=pipeline.name)
        for name, sink in _searches(pipeline)
        if sink.on_outage == "spill" and not isinstance(sink.spill, UnsetType)
    }


def breakers_of(pipeline: Pipeline) -> dict[str, Rules]:
    """Return the rules of the circuit breakers, of the sinks that `spills_of` names."""
    from aetherstream.delivery.breaker_item import Rules

    return {
        name: Rules(
            failures=sink.breaker.failures,
            share=sink.breaker.share,
            window=sink.breaker.window_seconds,
            patience=sink.breaker.patience_seconds,
            probe_after=sink.breaker.probe_after_seconds,
        )
        for name, sink in _searches(pipeline)
        if sink.on_outage == "spill" and not isinstance(sink.breaker, UnsetType)
    }


def drain_rates_of(pipeline: Pipeline) -> dict[str, int]:
    """Return how many documents a second a drain may send, of the sinks that `spills_of` names."""
    return {
        name: sink.drain.rate
        for name, sink in _searches(pipeline)
        if sink.on_outage == "spill" and not isinstance(sink.drain, UnsetType)
    }


def _searches(pipeline: Pipeline) -> Iterator[tuple[str, OpenSearchSink]]:
    for name, sink in pipeline.sinks.items():
        if not isinstance(sink.opensearch, UnsetType) and not sink.opensearch.is_off:
            yield name, sink.opensearch


def quarantine_of(pipeline: Pipeline) -> Quarantine:
    """Make the quarantine."""
    return Quarantine(bucket=pipeline.quarantine.bucket, prefix=str(pipeline.quarantine.prefix), pipeline=pipeline.name)


def buckets_of(pipeline: Pipeline) -> Sequence[str]:
    """Names of the buckets that the pipeline writes, each once."""
    sinks = [sink.target.bucket for sink in sinks_of(pipeline)]
    spills = [spill.target.bucket for spill in spills_of(pipeline).values()]
    return list(dict.fromkeys([*sinks, *spills, pipeline.quarantine.bucket]))


def _archive(pipeline: Pipeline, name: str, sink: S3Sink) -> S3Archive:
    level = 1 if isinstance(sink.level, UnsetType) else sink.level
    return S3Archive(
        name,
        bucket=sink.bucket,
        prefix=str(sink.prefix),
        partition=partition_of(pipeline, ("sinks", name, "s3"), sink.partition),
        compression=sink.compression,
        level=level,
        max_partitions=sink.max_partitions,
    )
