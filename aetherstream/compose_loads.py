"""From the Redshift sinks of a pipeline file to what their loads are made from: all that the loader needs of it."""

from __future__ import annotations

from msgspec import UnsetType

from aetherstream.objects import SUFFIX, Target
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.model_redshift import RedshiftSink
from aetherstream.pipeline.warehouse import declared_table, endpoint
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions


def load_targets_of(pipeline: Pipeline) -> list[LoadTarget]:
    """Return what the loads of the Redshift sinks are made from, without those that are switched off."""
    return [
        load_target_of(name, sink.redshift)
        for name, sink in pipeline.sinks.items()
        if not isinstance(sink.redshift, UnsetType) and not sink.redshift.is_off
    ]


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
