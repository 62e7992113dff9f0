"""From the places of results that are tables in Redshift to the outlets that stage their rows.

Imported where a pipeline has such a place; a cold start without one does without.
"""

from __future__ import annotations

from msgspec import UnsetType

from aetherstream.aggregates.declaration import Declaration
from aetherstream.compose_loads import result_target_of
from aetherstream.delivery.put import ObjectStore
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.model_results import ResultPlace
from aetherstream.results.redshift import RedshiftOutlet


def outlet_of(
    pipeline: Pipeline, declaration: Declaration, name: str, place: ResultPlace, store: ObjectStore
) -> RedshiftOutlet:
    """Make the outlet of a place of results by the Redshift sink `name`, which is on.

    Raises ConfigurationError where it is another kind of sink.
    """
    sink = pipeline.sinks[name].redshift
    if isinstance(sink, UnsetType):
        raise ConfigurationError(f"aggregates.{declaration.name}.to.{name}: {name} is no Redshift sink")
    return RedshiftOutlet(
        result_target_of(declaration.name, pipeline.aggregates[declaration.name], name, sink),
        store,
        fields=None if isinstance(place.fields, UnsetType) else place.fields,
        level=1 if isinstance(sink.level, UnsetType) else sink.level,
    )
