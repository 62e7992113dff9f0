"""From the `to:` of a pipeline's aggregates to the outlets that take their results.

A result goes where a sink's events go: to its cluster, bucket or warehouse, by its way of entering; to an index, prefix
or table of its own there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import UnsetType

from aetherstream.aggregates.declaration import Declaration
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.model_opensearch import OpenSearchSink
from aetherstream.pipeline.model_results import ResultPlace
from aetherstream.pipeline.model_sinks import S3Sink, Sink
from aetherstream.results.parts import Outlet
from aetherstream.startup import CLIENT

if TYPE_CHECKING:
    import boto3

    from aetherstream.delivery.put import ObjectStore
    from aetherstream.sinks.opensearch.options import OpenSearchOptions


def outlets_of(
    pipeline: Pipeline,
    declarations: Iterable[Declaration],
    *,
    session: boto3.Session,
    warn: Callable[[str], object],
    s3: ObjectStore | None = None,
) -> dict[str, list[Outlet]]:
    """Make the outlets of aggregates, by aggregate, in the file's order; nothing is sent yet.

    Args:
        pipeline: The file.
        declarations: Those of its aggregates whose results are to be sent.
        session: For what has to be signed.
        warn: Is told what is wrong with an index template.
        s3: Where objects go; None: S3, by the session.

    Returns:
        Also aggregates that have none: whose results go nowhere, or to sinks that are switched off.
    """
    store = _Store(session, s3)
    return {
        declaration.name: [
            _outlet(pipeline, declaration, name, sink, place, session, warn, store)
            for name, sink, place in _places(pipeline, declaration)
        ]
        for declaration in declarations
    }


def result_indices_of(pipeline: Pipeline, declarations: Iterable[Declaration]) -> list[OpenSearchOptions]:
    """Return what the indices of results are made from, without those of sinks that are switched off."""
    return [
        _index_options(pipeline, declaration, name, sink.opensearch, place)
        for declaration in declarations
        for name, sink, place in _places(pipeline, declaration)
        if not isinstance(sink.opensearch, UnsetType)
    ]


def outlet_name(aggregate: str, sink: str) -> str:
    """Name of an outlet, as the pipeline file has it."""
    return f"aggregates.{aggregate}.to.{sink}"


def _places(pipeline: Pipeline, declaration: Declaration) -> Iterator[tuple[str, Sink, ResultPlace]]:
    """Where the results of an aggregate go, by the names of sinks that are on."""
    for name, place in pipeline.aggregates[declaration.name].to.items():
        sink = pipeline.sinks[name]
        if not sink.is_off:
            yield name, sink, place


class _Store:
    """The object store, made when an outlet needs it."""

    def __init__(self, session: boto3.Session, made: ObjectStore | None) -> None:
        self._session = session
        self._made = made

    def get(self) -> ObjectStore:
        if self._made is None:
            from aetherstream.delivery.s3 import S3Store

            self._made = S3Store(self._session.client("s3", config=CLIENT))
        return self._made


def _outlet(
    pipeline: Pipeline,
    declaration: Declaration,
    name: str,
    sink: Sink,
    place: ResultPlace,
    session: boto3.Session,
    warn: Callable[[str], object],
    store: _Store,
) -> Outlet:
    if not isinstance(sink.opensearch, UnsetType):
        # opensearch-py is a quarter of a second of cold start: paid only where it is needed.
        from aetherstream.results.opensearch import OpenSearchOutlet
        from aetherstream.sinks.opensearch.connect import connect

        options = _index_options(pipeline, declaration, name, sink.opensearch, place)
        return OpenSearchOutlet(options.name, connect(options, session, warn), options.spec.target, _fields(place))
    if not isinstance(sink.s3, UnsetType):
        return _objects(outlet_name(declaration.name, name), sink.s3, place, store.get())
    from aetherstream.compose_results_redshift import outlet_of

    return outlet_of(pipeline, declaration, name, place, store.get())


def _objects(name: str, sink: S3Sink, place: ResultPlace, store: ObjectStore) -> Outlet:
    from aetherstream.results.s3 import S3Outlet

    return S3Outlet(
        name,
        store,
        sink.bucket,
        str(place.prefix),
        compression=sink.compression,
        level=1 if isinstance(sink.level, UnsetType) else sink.level,
        fields=_fields(place),
    )


def _index_options(
    pipeline: Pipeline, declaration: Declaration, name: str, sink: OpenSearchSink, place: ResultPlace
) -> OpenSearchOptions:
    from aetherstream.compose_opensearch import options_of
    from aetherstream.results.opensearch import REMEMBERS_REMOVED, mappings_of
    from aetherstream.sinks.opensearch.template import IndexSpec

    of_events = options_of(pipeline, name, sink)
    spec = IndexSpec(
        # No sink's name has a dot, so no sink has this template.
        template=f"{pipeline.name}-{declaration.name}.{name}",
        kind="single",
        target=str(place.index),
        mappings=mappings_of(declaration, _fields(place)),
        own={},
        numbers="double",
        remembers_removed=None if declaration.aggregate.gap is None else REMEMBERS_REMOVED,
        # How the cluster keeps an index is the sink's to say; how long it keeps one is not: this one has all windows.
        field_limit=of_events.spec.field_limit,
        ignore_above=of_events.spec.ignore_above,
        shards=of_events.spec.shards,
        replicas=of_events.spec.replicas,
        refresh=of_events.spec.refresh,
    )
    return replace(of_events, name=outlet_name(declaration.name, name), spec=spec)


def _fields(place: ResultPlace) -> Sequence[str] | None:
    return None if isinstance(place.fields, UnsetType) else place.fields
