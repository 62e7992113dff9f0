"""From a loaded pipeline to the parts that run it: the pure core and the sinks. No AWS, no environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import UnsetType

from aetherstream.core import Core
from aetherstream.decode import Decoder
from aetherstream.eventtime import Bounds, EventTime
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.compiled import expression_of, transform_of, validation_of
from aetherstream.pipeline.mistakes import Path as Place
from aetherstream.quarantine import Quarantine
from aetherstream.sinks.s3 import PartitionKey, S3Archive, by_field, by_time, by_value
from aetherstream.transforms.compiler import table_columns
from aetherstream.transforms.tables import ReferenceTables, TableSource

if TYPE_CHECKING:
    from aetherstream.pipeline.model_sinks import PartitionPart, S3Sink


def core_of(pipeline: Pipeline, tables: ReferenceTables, secrets: Mapping[str, str]) -> Core:
    """Compile the pure part of a pipeline.

    Raises ConfigurationError (PipelineMistakes, with the lines) for steps, expressions and schemas that do not compile.
    """
    file = pipeline.file
    steps = transform_of(pipeline, tables, secrets)
    return Core(
        Decoder(max_expanded=file.source.max_expanded_bytes),
        validate=validation_of(pipeline),
        sinks=sinks_of(pipeline),
        transform=steps if file.transforms else None,
        event_time=_event_time(pipeline),
        identity=() if isinstance(file.identity, UnsetType) else file.identity,
    )


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


def sinks_of(pipeline: Pipeline) -> list[S3Archive]:
    """Make the per-object sinks."""
    return [
        _archive(pipeline, name, sink.s3) for name, sink in pipeline.sinks.items() if not isinstance(sink.s3, UnsetType)
    ]


def quarantine_of(pipeline: Pipeline) -> Quarantine:
    """Make the quarantine."""
    return Quarantine(bucket=pipeline.quarantine.bucket, prefix=str(pipeline.quarantine.prefix), pipeline=pipeline.name)


def buckets_of(pipeline: Pipeline) -> Sequence[str]:
    """Names of the buckets that the pipeline writes, each once."""
    sinks = [sink.target.bucket for sink in sinks_of(pipeline)]
    return list(dict.fromkeys([*sinks, pipeline.quarantine.bucket]))


def _archive(pipeline: Pipeline, name: str, sink: S3Sink) -> S3Archive:
    level = 1 if isinstance(sink.level, UnsetType) else sink.level
    return S3Archive(
        name,
        bucket=sink.bucket,
        prefix=str(sink.prefix),
        partition=[
            _partition_key(pipeline, ("sinks", name, "s3", "partition", index), part)
            for index, part in enumerate(sink.partition)
        ],
        compression=sink.compression,
        level=level,
        max_partitions=sink.max_partitions,
    )


def _partition_key(pipeline: Pipeline, place: Place, part: PartitionPart) -> PartitionKey:
    if not isinstance(part.time, UnsetType):
        return by_time(part.time, part.name)
    if not isinstance(part.field, UnsetType):
        return by_field(part.field, part.name)
    return by_value(expression_of(pipeline, (*place, "expr"), str(part.expr)), part.name)
