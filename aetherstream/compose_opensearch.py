"""From an OpenSearch sink of a pipeline file to the plain values that the sink is made from.

Imported where a pipeline has such a sink; a cold start without one does without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import UnsetType

from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.model import EventTime
from aetherstream.pipeline.model_opensearch import OpenSearchSink, Rollover, full_mapping
from aetherstream.sinks.opensearch.options import OpenSearchOptions
from aetherstream.sinks.opensearch.placement import FixedPlace, IndexNames
from aetherstream.sinks.opensearch.template import IndexSpec

if TYPE_CHECKING:
    from aetherstream.sinks.base import Placement

# OpenSearch: a time is a whole number of one of these; its sizes are binary, 1gb is 2**30 bytes.
_TIMES = {"d": 86_400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_SIZES = {"gb": 1024**3, "mb": 1024**2, "kb": 1024, "b": 1}
_DATES = {"iso8601": {}, "epoch_s": {"format": "epoch_second"}, "epoch_ms": {"format": "epoch_millis"}}


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
    declared = pipeline.file.event_time
    timed = {} if isinstance(declared, UnsetType) else _time_mapping(declared, sink)
    spec = IndexSpec(
        template=f"{pipeline.name}-{name}",
        kind=sink.kind,
        target=sink.target,
        mappings={**timed, **{field: full_mapping(written) for field, written in sink.mappings.items()}},
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
    if sink.kind != "data_stream" or isinstance(declared, UnsetType):
        return spec
    return replace(spec, timestamp=declared.field)


def _time_mapping(times: EventTime, sink: OpenSearchSink) -> dict[str, Any]:
    """The event time as a date, where the file does not map it or what it stands in."""
    top = times.field.partition(".")[0]
    if times.format not in _DATES or any(name.partition(".")[0] == top for name in sink.mappings):
        return {}
    # OpenSearch knows fewer forms of ISO 8601 than we do. A document is not refused for that, unless it is a data
    # stream's, which are sorted by it.
    lenient = {} if sink.kind == "data_stream" else {"ignore_malformed": True}
    return {times.field: {"type": "date", **_DATES[times.format], **lenient}}


def _text(amount: float | None, units: Mapping[str, float]) -> str | None:
    if amount is None:
        return None
    for unit, factor in units.items():
        number = round(amount / factor, 6)
        if number >= 1 and number.is_integer():
            return f"{int(number)}{unit}"
    *_, (unit, factor) = units.items()
    return f"{max(1, round(amount / factor))}{unit}"
