"""From a Redshift sink of a pipeline file to its staging sink, and to what its loads are made from.

Imported where a pipeline has such a sink; a cold start without one does without.
"""

from __future__ import annotations

from msgspec import UnsetType

from aetherstream.compose_objects import partition_of
from aetherstream.objects import SUFFIX, Target
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.model_redshift import RedshiftSink
from aetherstream.pipeline.warehouse import declared_table, endpoint
from aetherstream.sinks.redshift import RedshiftStaging
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions


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


def load_target_of(name: str, sink: RedshiftSink) -> LoadTarget:
    """Return what the loads of a sink are made from; the sink is on."""
    return LoadTarget(
        sink=name,
        contract=declared_table(sink).agreed(),
        staging=Target(sink.bucket, str(sink.prefix), SUFFIX[sink.compression]),
        warehouse=warehouse_of(sink),
        compression=sink.compression,
        copy_role=sink.copy_role or None,
        bucket_region=sink.bucket_region or None,
        style=sink.load.style,
        through=sink.load.through,
        changes=sink.changes,
        objects=sink.load.objects,
    )


def warehouse_of(sink: RedshiftSink) -> WarehouseOptions:
    """Return where the warehouse of a sink is and how it is entered; the sink is on."""
    place = endpoint(str(sink.endpoint))
    return WarehouseOptions(
        host=place.host,
        database=place.database,
        port=place.port,
        auth=sink.auth,
        secret=sink.secret or None,
        username=sink.username or None,
        password=sink.password or None,
        workgroup=sink.workgroup or None,
        cluster=sink.cluster or None,
        region=sink.region or None,
        tls=sink.tls == "on",
    )
