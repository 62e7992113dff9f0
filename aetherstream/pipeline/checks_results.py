"""What a schema can't say of the places of results: the sinks that they go by, and that nobody else writes there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from msgspec import UnsetType

from aetherstream.pipeline.checks import MANIFESTS, Stored
from aetherstream.pipeline.checks_opensearch import wrong_names
from aetherstream.pipeline.document import Document
from aetherstream.pipeline.mistakes import Path
from aetherstream.pipeline.model import PipelineFile
from aetherstream.pipeline.model_aggregates import DeclaredAggregate
from aetherstream.pipeline.model_redshift import RedshiftSink
from aetherstream.pipeline.model_results import ResultPlace
from aetherstream.pipeline.model_sinks import QuarantineS3, Sink
from aetherstream.transforms.mistakes import nearest

LOGS = ".aggregates"
"""Below the pipeline's name, in the quarantine's bucket: the redo logs of aggregates."""
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "s3": ("prefix",),
    "opensearch": ("index",),
    "redshift": ("table", "columns", "prefix"),
}
"""Kind of a sink → what a place there may have."""
_NEEDED = {"opensearch": "index", "redshift": "table"}


def check_results(aggregates: Mapping[str, DeclaredAggregate], sinks: Mapping[str, Sink], document: Document) -> None:
    """Note what is wrong with where results go; both with their defaults."""
    for name, written in aggregates.items():
        for sink, place in written.to.items():
            path = ("aggregates", name, "to", sink)
            _fields(written, place, path, document)
            if sink in sinks:
                _place(written, place, sinks[sink], path, document)
            else:
                _unknown(sink, sinks, path, document)
    _indices(aggregates, sinks, document)
    if any(not isinstance(place.table, UnsetType) for one in aggregates.values() for place in one.to.values()):
        _tables(aggregates, sinks, document)


def prefixes_of(aggregates: Mapping[str, DeclaredAggregate], sinks: Mapping[str, Sink]) -> Iterator[Stored]:
    """Yield where results are stored as objects, or staged."""
    for name, written in aggregates.items():
        for sink, place in written.to.items():
            objects = sinks[sink].objects if sink in sinks else None
            if objects is not None and not isinstance(place.prefix, UnsetType):
                path, bucket = ("aggregates", name, "to", sink), objects[1].bucket
                yield path, bucket, place.prefix
                if objects[0] == "redshift":
                    yield path, bucket, f"{place.prefix}{MANIFESTS}"


def check_logs(
    file: PipelineFile,
    sinks: Mapping[str, Sink],
    quarantine: QuarantineS3,
    results: Iterable[Stored],
    document: Document,
) -> None:
    """Note whoever has the redo logs among its objects, or its objects among them."""
    logs = f"{file.pipeline}/{LOGS}"
    places: list[Stored] = [*results, (("quarantine", "s3"), quarantine.bucket, str(quarantine.prefix))]
    for name, sink in sinks.items():
        if sink.objects is not None:
            kind, objects = sink.objects
            places.append((("sinks", name, kind), objects.bucket, str(objects.prefix)))
    for path, bucket, prefix in places:
        inside = f"{logs}/".startswith(f"{prefix}/") or f"{prefix}/".startswith(f"{logs}/")
        if bucket == quarantine.bucket and inside:
            document.add(
                (*path, "prefix"),
                f"{prefix!r} and {logs!r}, with the aggregates' logs, lie in one another; readers would mix them",
            )


def _unknown(sink: str, sinks: Mapping[str, Sink], path: Path, document: Document) -> None:
    names = list(sinks) if document.pruned is None else document.pruned.names("sinks")
    if names is not None and sink not in names:
        document.add(path, f"there is no sink {sink!r}{nearest(sink, names)}", on_key=True)


def _place(written: DeclaredAggregate, place: ResultPlace, sink: Sink, path: Path, document: Document) -> None:
    kind = next((kind for kind in _OPTIONS if not isinstance(getattr(sink, kind), UnsetType)), None)
    if kind is None:
        return
    for option in ("index", "table", "columns", "prefix"):
        if isinstance(getattr(place, option), UnsetType) or option in _OPTIONS[kind]:
            continue
        if option == "prefix" and kind == "opensearch":
            whose = "`s3` and `redshift` sinks"
        else:
            whose = next(f"`{one}` sinks" for one, options in _OPTIONS.items() if option in options)
        document.add((*path, option), f"belongs to {whose}; this one is `{kind}`", on_key=True)
    needed = _NEEDED.get(kind)
    if needed and isinstance(getattr(place, needed), UnsetType) and not document.lost((*path, needed)):
        document.add(path, f"needs `{needed}`: `{kind}` sinks have no default for it", on_key=True)
    if kind == "opensearch" and not isinstance(place.index, UnsetType):
        for wrong in islice(wrong_names(place.index, 0), 1):
            document.add((*path, "index"), wrong)
    if kind == "redshift" and not isinstance(place.table, UnsetType):
        _table(written, place, path, document)


def _table(written: DeclaredAggregate, place: ResultPlace, path: Path, document: Document) -> None:
    from aetherstream.pipeline.checks_redshift import taken
    from aetherstream.pipeline.warehouse_results import declared_results
    from aetherstream.warehouse.contract import mistakes
    from aetherstream.warehouse.types import ColumnType, column_type

    given = {} if isinstance(place.columns, UnsetType) else {name.lower(): name for name in place.columns}

    def read(column: str, text: str) -> ColumnType:
        try:
            return column_type(text)
        except ValueError as error:
            document.add((*path, "columns", given[column]), str(error))
            return ColumnType("super")

    declared = declared_results(written, place, read)
    for column, name in given.items():
        at = (*path, "columns", name)
        if column not in declared.names:
            document.add(at, f"results have no field {name!r}{nearest(name, declared.names)}", on_key=True)
        elif column in written.reserved:
            document.add(at, "has a type of its own; only the group's and the outputs' can be chosen", on_key=True)
    twice = len(set(declared.names)) < len(declared.names)  # which `checks_aggregates` has said of the aggregate
    for where, message in (*mistakes(declared), *taken(declared.table, declared.names)):
        named = [given[name] for name in where[1:2] if name in given]
        if where[0] in ("table", "schema"):
            document.add((*path, "table"), message)
        elif named:
            document.add((*path, "columns", *named), message, on_key=True)
        elif where[0] == "columns" and not twice:
            document.add(path, message, on_key=True)


def _fields(written: DeclaredAggregate, place: ResultPlace, path: Path, document: Document) -> None:
    if isinstance(place.fields, UnsetType) or document.lost((*path[:2], "outputs")):
        return
    for index, field in enumerate(place.fields):
        at = (*path, "fields", index)
        if field not in written.outputs:
            document.add(at, f"there is no output {field!r}{nearest(field, written.outputs)}")
        elif field in place.fields[:index]:
            document.add(at, f"{field!r} stands here twice")


def _indices(aggregates: Mapping[str, DeclaredAggregate], sinks: Mapping[str, Sink], document: Document) -> None:
    """Note indices that events or other results are in. A sink's readers and its lifecycle policy go by `<name>-*`."""
    others = {
        (sink.opensearch.endpoint, sink.opensearch.target): f"sinks.{name}"
        for name, sink in sinks.items()
        if not isinstance(sink.opensearch, UnsetType) and len(sink.opensearch.kinds) == 1
    }
    seen: dict[tuple[str | None, str], str] = {}
    for name, written in aggregates.items():
        for by, place in written.to.items():
            search = sinks[by].opensearch if by in sinks else None
            if not search or isinstance(place.index, UnsetType) or document.lost(("sinks", by, "opensearch")):
                continue
            path, index, where = ("aggregates", name, "to", by), place.index, search.endpoint
            for (endpoint, target), whose in others.items():
                if endpoint == where and (index == target or index.startswith(f"{target}-")):
                    document.add(
                        (*path, "index"),
                        f"the indices `{target}-*` of this cluster are those of {whose}: its readers would find results"
                        " among the events, and its retention would remove them; give these another name",
                    )
            own = f"aggregates.{name}.to.{by}"
            if (other := seen.setdefault((where, index), own)) != own:
                document.add((*path, "index"), f"{other} writes to {index!r} of this cluster too; {_OF_ITS_OWN}")


_OF_ITS_OWN = "give each a name of its own"


def _tables(aggregates: Mapping[str, DeclaredAggregate], sinks: Mapping[str, Sink], document: Document) -> None:
    from aetherstream.pipeline.checks_redshift import TablePlace, table_place

    def warehouse(name: str) -> RedshiftSink | None:
        found = sinks[name].redshift if name in sinks else None
        return None if not found or document.lost(("sinks", name, "redshift", "endpoint")) else found

    seen: dict[TablePlace, str] = {}
    for name in sinks:
        if sink := warehouse(name):
            seen.setdefault(table_place(sink, sink.table), f"sinks.{name}")
    for name, written in aggregates.items():
        for by, place in written.to.items():
            sink, own = warehouse(by), f"aggregates.{name}.to.{by}"
            if sink is None or isinstance(place.table, UnsetType):
                continue
            if (other := seen.setdefault(table_place(sink, place.table), own)) != own:
                document.add(
                    ("aggregates", name, "to", by, "table"),
                    f"{other} loads into {place.table!r} of this warehouse too; {_OF_ITS_OWN}",
                )
