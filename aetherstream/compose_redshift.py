"""From a Redshift sink of a pipeline file to its staging sink.

Imported where a pipeline has such a sink; a cold start without one does without.
"""

from __future__ import annotations

from msgspec import UnsetType

from aetherstream.compose_objects import partition_of
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.model_redshift import RedshiftSink
from aetherstream.pipeline.warehouse import declared_table
from aetherstream.sinks.redshift import RedshiftStaging


def staging_of(pipeline: Pipeline, name: str, sink: RedshiftSink) -> RedshiftStaging:
    """Make the sink that stages rows."""
    return RedshiftStaging(
        name,
        declared_table(sink).agreed(),
        bucket=sink.bucket,
        prefix=str(sink.prefix),
        partition=partition_of(pipeline, ("sinks", name, "redshift"), sink.partition),
        compression=sink.compression,
        level=1 if isinstance(sink.level, UnsetType) else sink.level,
        max_partitions=sink.max_partitions,
    )
