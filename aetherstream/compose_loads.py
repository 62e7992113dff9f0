"""From a pipeline file to what loads are made from, of its Redshift sinks and of the results that go to tables: all
that the loader needs of it.
"""

from __future__ import annotations

from dataclasses import replace

from msgspec import UnsetType

from aetherstream.objects import SUFFIX, Target
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.model_aggregates import DeclaredAggregate
from aetherstream.pipeline.model_redshift import RedshiftSink
from aetherstream.pipeline.warehouse import declared_table, endpoint
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions


def load_targets_of(pipeline: Pipeline) -> list[LoadTarget]:
    """Return what the loads of the Redshift sinks are made from, without those that are switched off; then those of
    the results that go to their warehouses.
    """
    sinks = {
        name: sink.redshift
        for name, sink in pipeline.sinks.items()
        if not isinstance(sink.redshift, UnsetType) and not sink.redshift.is_off
    }
    targets = [load_target_of(name, sink) for name, sink in sinks.items()]
    for aggregate, declared in pipeline.aggregates.items():
        targets += [result_target_of(aggregate, declared, name, sinks[name]) for name in declared.to if name in sinks]
    return targets


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


def result_target_of(aggregate: str, declared: DeclaredAggregate, name: str, sink: RedshiftSink) -> LoadTarget:
    """Return what the loads of an aggregate's results are made from, which go where the sink `name` loads.

    The table and the folder are their own, all else is the sink's; it is on.
    """
    from aetherstream.pipeline.warehouse_results import declared_results

    place = declared.to[name]
    of_events = load_target_of(name, sink)
    return replace(
        of_events,
        sink=f"aggregates.{aggregate}.to.{name}",
        contract=declared_results(declared, place).agreed(),
        staging=replace(of_events.staging, prefix=str(place.prefix)),
        final_at_once=True,
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
