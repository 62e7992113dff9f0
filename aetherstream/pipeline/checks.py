"""What a schema can't say: references between the parts of a pipeline, orders, formats. Every mistake is noted.

Cheap enough for each cold start. `aetherstream.pipeline.compiled` goes on to what needs imports and files.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from msgspec import UNSET, UnsetType

from aetherstream.pipeline.checks_opensearch import check_opensearch, check_together
from aetherstream.pipeline.document import Document
from aetherstream.pipeline.mistakes import Path
from aetherstream.pipeline.model import EventTime, PipelineFile
from aetherstream.pipeline.model_aggregates import DeclaredAggregate
from aetherstream.pipeline.model_objects import PartitionPart
from aetherstream.pipeline.model_outage import SpillPlace
from aetherstream.pipeline.model_redshift import RedshiftSink
from aetherstream.pipeline.model_sinks import RESERVED_SINK_NAMES, QuarantineS3, S3Sink, Sink
from aetherstream.transforms.mistakes import nearest

MANIFESTS = ".manifests"
"""What the prefix of a sink's staged objects is continued with for that of their manifests (`LoadTarget`)."""
Stored = tuple[Path, str, str]
"""What of the file puts objects below a prefix: where it stands in the file, the bucket, the prefix."""
_LEVELS = {"gzip": range(4), "zstd": range(1, 23)}


def check_meaning(
    file: PipelineFile,
    sinks: Mapping[str, Sink],
    quarantine: QuarantineS3,
    aggregates: Mapping[str, DeclaredAggregate],
    document: Document,
) -> None:
    """Note what is wrong with a file whose types are right, or with what is sound of one.

    `sinks`, `quarantine` and `aggregates` are the file's with their defaults filled in.
    """
    _times(file.event_time, document)
    _unique(list(() if isinstance(file.identity, UnsetType) else file.identity), ("identity",), document)
    for name in file.sinks.keys() & RESERVED_SINK_NAMES:
        document.add(("sinks", name), f"{name!r} has a meaning of its own; give the sink another name", on_key=True)
    for name, sink in sinks.items():
        kinds = [kind for kind in sink.__struct_fields__ if not isinstance(getattr(sink, kind), UnsetType)]
        if not kinds and not document.lost(("sinks", name)):
            document.add(("sinks", name), f"needs exactly one of: {', '.join(sink.__struct_fields__)}", on_key=True)
        if len(kinds) > 1:
            document.add(
                ("sinks", name, kinds[1]),
                f"only one of {', '.join(kinds)} may stand here; make a sink of each",
                on_key=True,
            )
        if not isinstance(sink.s3, UnsetType):
            _objects(sink.s3, ("sinks", name, "s3"), document)
        if not isinstance(sink.opensearch, UnsetType):
            check_opensearch(sink.opensearch, ("sinks", name, "opensearch"), file, document)
        if not isinstance(sink.redshift, UnsetType):
            from aetherstream.pipeline.checks_redshift import check_redshift

            _objects(sink.redshift, ("sinks", name, "redshift"), document)
            check_redshift(sink.redshift, ("sinks", name, "redshift"), document)
    check_together(sinks, document)
    if any(not isinstance(sink.redshift, UnsetType) for sink in sinks.values()):
        from aetherstream.pipeline.checks_redshift import check_tables

        check_tables(sinks, document)
    results: list[Stored] = []
    if aggregates:
        from aetherstream.pipeline.checks_aggregates import check_aggregates
        from aetherstream.pipeline.checks_results import check_logs, check_results, prefixes_of

        check_aggregates(file, sinks, document)
        check_results(aggregates, sinks, document)
        results += prefixes_of(aggregates, sinks)
        check_logs(file, sinks, quarantine, results, document)
    _prefixes(file, sinks, quarantine, results, document)
    _parsed(lambda: file.source.max_expanded_bytes, ("source", "max_expanded"), document)
    for name, table in file.tables.items():
        _table(name, table.file, document)


def _table(name: str, file: str, document: Document) -> None:
    at = ("tables", name, "file")
    if "://" in file and not file.startswith("s3://"):
        document.add(at, f"{file!r} is neither a relative path nor s3://bucket/key")
    elif file.startswith("s3://") and file.removeprefix("s3://").count("/") == 0:
        document.add(at, f"{file!r} has no key; expected s3://bucket/key")
    elif file.startswith("/") or ".." in file.split("/"):
        document.add(at, f"{file!r} leaves the pipeline's folder, and only that is deployed; put the table into it")


def _parsed(parse: Callable[[], float | None], path: Path, document: Document) -> float | None:
    try:
        return parse()
    except ValueError as error:
        document.add(path, str(error))
        return None


def _times(times: EventTime | UnsetType, document: Document) -> None:
    if isinstance(times, UnsetType):
        return
    earliest = _parsed(lambda: times.earliest, ("event_time", "not_before"), document)
    latest = _parsed(lambda: times.latest, ("event_time", "not_after"), document)
    if earliest is not None and latest is not None and earliest >= latest:
        document.add(
            ("event_time", "not_after"),
            f"{times.not_after!r} is not after not_before, {times.not_before!r}: nothing would pass",
        )
    if times.format in ("iso8601", "epoch_s", "epoch_ms"):
        return
    if "%" not in times.format:
        hint = nearest(times.format, ["iso8601", "epoch_s", "epoch_ms"])
        document.add(
            ("event_time", "format"),
            f"{times.format!r} is neither iso8601, epoch_s, epoch_ms nor a strptime pattern{hint}",
        )
        return
    try:
        moment = datetime(2013, 2, 3, 4, 5, 6, tzinfo=UTC)
        datetime.strptime(moment.strftime(times.format), times.format)  # noqa: DTZ007 - only whether it can be read
    except ValueError as error:
        document.add(("event_time", "format"), f"{times.format!r} is no strptime pattern: {error}")


def _objects(sink: S3Sink | RedshiftSink, path: Path, document: Document) -> None:
    levels = _LEVELS[sink.compression]
    if isinstance(sink.level, int) and sink.level not in levels and not document.lost((*path, "compression")):
        document.add(
            (*path, "level"), f"{sink.compression} has the levels {levels[0]} to {levels[-1]}, not {sink.level}"
        )
    names: list[str] = []
    for index, part in enumerate(sink.partition):
        here = (*path, "partition", index)
        kinds = [part.time, part.field, part.expr]
        if 3 - kinds.count(UNSET) != 1:
            document.add(here, "needs exactly one of: time, field, expr")
            continue
        _partition(part, here, document)
        if part.name in names:
            document.add(here, f"a second partition is called {part.name!r}; give it another name with `as:`")
        if not document.lost(here):
            names.append(part.name)
    units = [part.time for part in sink.partition if part.time]
    unclear = any(part.time is part.field is part.expr is UNSET for part in sink.partition)
    if "hour" in units and "day" not in units and not unclear:
        document.add((*path, "partition"), "`time: hour` is only the hour of the day; put `- {time: day}` before it")


def _partition(part: PartitionPart, here: Path, document: Document) -> None:
    if not isinstance(part.expr, UnsetType) and isinstance(part.as_, UnsetType):
        document.add(here, "an expression has no name of its own; give it one with `as:`")
    elif not part.name.replace("_", "a").isalnum() or not part.name.isascii() or part.name[:1].isdigit():
        document.add(
            here, f"{part.name!r} can't be the name of a partition column; give one of letters, digits and _ with `as:`"
        )


def _prefixes(
    file: PipelineFile,
    sinks: Mapping[str, Sink],
    quarantine: QuarantineS3,
    results: list[Stored],
    document: Document,
) -> None:
    """Objects below another sink's prefix would be read as that sink's data."""
    refuse: Stored = (("quarantine", "s3"), quarantine.bucket, str(quarantine.prefix))
    declared = not isinstance(file.quarantine, UnsetType)
    places = [] if declared else [refuse]
    for name, sink in sinks.items():
        if sink.objects is not None:
            kind, objects = sink.objects
            places.append((("sinks", name, kind), objects.bucket, str(objects.prefix)))
        if not isinstance(sink.redshift, UnsetType):
            # Beside the staged objects, where the loader puts its manifests.
            manifests = f"{sink.redshift.prefix}{MANIFESTS}"
            places.append((("sinks", name, "redshift"), sink.redshift.bucket, manifests))
        if not isinstance(sink.opensearch, UnsetType) and sink.opensearch.on_outage == "spill":
            spill = sink.opensearch.spill or SpillPlace()
            places.append((("sinks", name, "opensearch", "spill"), str(spill.bucket), str(spill.prefix)))
    if declared:
        places.append(refuse)
    places += results
    places = [
        place
        for place in places
        if place[1] and not any(document.lost((*place[0], option)) for option in ("bucket", "prefix"))
    ]
    for index, (path, bucket, prefix) in enumerate(places):
        for other_path, other_bucket, other in places[:index]:
            if bucket == other_bucket and (
                f"{prefix}/".startswith(f"{other}/") or f"{other}/".startswith(f"{prefix}/")
            ):
                named = ".".join(str(part) for part in other_path)
                document.add(
                    (*path, "prefix"), f"{prefix!r} and {named}'s {other!r} lie in one another; readers would mix them"
                )


def _unique(names: list[str], path: Path, document: Document) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            document.add((*path, index), f"{name!r} stands here twice")
