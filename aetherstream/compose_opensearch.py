"""From an OpenSearch sink of a pipeline file to the plain values that the sink is made from.

Imported where a pipeline has such a sink; a cold start without one does without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import UnsetType

from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.model_opensearch import OpenSearchSink, Rollover, full_mapping
from aetherstream.sinks.opensearch.options import OpenSearchOptions
from aetherstream.sinks.opensearch.placement import FixedPlace, IndexNames
from aetherstream.sinks.opensearch.template import IndexSpec

if TYPE_CHECKING:
    from aetherstream.sinks.base import Placement

# OpenSearch: a time is a whole number of one of these; its sizes are binary, 1gb is 2**30 bytes.
_TIMES = {"d": 86_400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_SIZES = {"gb": 1024**3, "mb": 1024**2, "kb": 1024, "b": 1}
_DATES = {"epoch_s": "epoch_second", "epoch_ms": "epoch_millis"}


def placement_of(name: str, sink: OpenSearchSink) -> Placement:
    """Make what says which index an event goes to."""
    if isinstance(sink.index, UnsetType):
        return FixedPlace(name, sink.target)
    return IndexNames(name, sink.index, sink.period or "day")


def options_of(pipeline: Pipeline, name: str, sink: OpenSearchSink) -> OpenSearchOptions:
    """Return what a sink of the pipeline is made from."""
    return OpenSearchOptions(
        name=name,
        endpoint=str(sink.endpoint),
        spec=_index_spec(pipeline, name, sink),
        auth=sink.auth,
        secret=sink.secret or None,
        username=sink.username or None,
        password=sink.password or None,
        region=sink.region or None,
        documents=sink.bulk.documents,
        bytes=sink.bulk.most_bytes,
        parallel=sink.bulk.parallel,
        compress=sink.bulk.compress,
    )


def _index_spec(pipeline: Pipeline, name: str, sink: OpenSearchSink) -> IndexSpec:
    rollover = Rollover() if isinstance(sink.rollover, UnsetType) else sink.rollover
    made = IndexSpec(
        template=f"{pipeline.name}-{name}",
        kind=sink.kind,
        target=sink.target,
        mappings={field: full_mapping(written) for field, written in sink.mappings.items()},
        dynamic=sink.dynamic,
        field_limit=sink.field_limit,
        ignore_above=sink.ignore_above,
        shards=sink.shards,
        replicas=sink.replicas,
        refresh=_text(sink.refresh_seconds, _TIMES),
        retention=_text(sink.retention_seconds, _TIMES),
        rollover_age=_text(rollover.age_seconds, _TIMES),
        rollover_size=_text(rollover.size_bytes, _SIZES),
    )
    declared = pipeline.file.event_time
    if sink.kind != "data_stream" or isinstance(declared, UnsetType):
        return made
    date = {"type": "date", "format": _DATES[declared.format]} if declared.format in _DATES else {"type": "date"}
    return replace(made, timestamp=declared.field, mappings={declared.field: date, **made.mappings})


def _text(amount: float | None, units: Mapping[str, float]) -> str | None:
    if amount is None:
        return None
    for unit, factor in units.items():
        number = round(amount / factor, 6)
        if number >= 1 and number.is_integer():
            return f"{int(number)}{unit}"
    *_, (unit, factor) = units.items()
    return f"{max(1, round(amount / factor))}{unit}"
