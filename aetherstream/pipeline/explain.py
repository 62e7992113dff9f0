"""The plan of a pipeline in words, and what is doubtful about it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, UnsetType

from aetherstream.pipeline import explain_aggregates, explain_opensearch, explain_redshift
from aetherstream.pipeline.loader import Pipeline
from aetherstream.pipeline.model import EventTime
from aetherstream.pipeline.model_redshift import RedshiftSink, full_column
from aetherstream.pipeline.model_sinks import S3Sink
from aetherstream.pipeline.steps import in_words, removes

_TIME_FORMATS = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d", "hour": "%H"}
_SUFFIXES = {"gzip": "ndjson.gz", "zstd": "ndjson.zst"}
_MANY_VALUES = ("id", "uuid", "time", "timestamp", "email", "url", "ip", "key", "token", "session")


def explain(pipeline: Pipeline) -> str:
    """Return the plan, a line for each thing that happens, and the warnings."""
    file = pipeline.file
    lines = [f"{file.pipeline}{': ' + file.description if file.description else ''}", ""]
    once = "exactly once (progress in DynamoDB; a retry leaves no duplicates)"
    rows = [
        ("delivery", once if file.delivery == "exactly_once" else "at least once (a retry may leave duplicates)"),
        ("source", f"JSON: objects, arrays, lines; a record may expand to {_bytes(file.source.max_expanded_bytes)}"),
        ("validate", _validation(pipeline)),
    ]
    digits = len(str(len(file.transforms)))
    for index, step in enumerate(file.transforms):
        rows.append(("transforms" if index == 0 else "", f"{index + 1:>{digits}}. {step.kind:<10} {in_words(step)}"))
    if not file.transforms:
        rows.append(("transforms", "none: events go on as they came"))
    rows.append(("event time", "arrival in the stream" if file.event_time is UNSET else _event_time(file.event_time)))
    identity = "position in the stream" if isinstance(file.identity, UnsetType) else " + ".join(file.identity)
    rows.append(("identity", identity))
    moment, identified = _example_time(file.event_time), not isinstance(file.identity, UnsetType)
    for name, sink in pipeline.sinks.items():
        if not isinstance(sink.s3, UnsetType):
            rows += [(f"sink {name}", line) for line in _objects(sink.s3, moment)]
        if not isinstance(sink.opensearch, UnsetType):
            said = explain_opensearch.in_words(sink.opensearch, moment, identified=identified)
            rows += [(f"sink {name}", line) for line in said]
        if not isinstance(sink.redshift, UnsetType):
            said = explain_redshift.in_words(sink.redshift, _objects(sink.redshift, moment))
            rows += [(f"sink {name}", line) for line in said]
    for name, written in pipeline.aggregates.items():
        rows += [(f"aggregate {name}", line) for line in explain_aggregates.in_words(written, pipeline.sinks)]
    rows.append(("quarantine", f"s3://{pipeline.quarantine.bucket}/{pipeline.quarantine.prefix}/..."))
    lines += _table(rows)
    found = list(warnings(pipeline))
    if found:
        lines += ["", "Warnings", *(f"  - {warning}" for warning in found)]
    return "\n".join(lines) + "\n"


def warnings(pipeline: Pipeline) -> Iterator[str]:
    """Yield what is allowed and probably not meant."""
    file = pipeline.file
    if isinstance(file.event_time, UnsetType):
        yield "no event_time: time partitions follow the arrival in the stream, so late data lands in later partitions"
    elif file.event_time.earliest is None and file.event_time.max_age_seconds is None:
        yield "event_time has no not_before or max_age: a device whose clock stands in 1970 opens partitions there"
    if isinstance(file.event_time, EventTime) and file.event_time.latest is None and file.event_time.max_ahead is UNSET:
        yield "event_time has no not_after or max_ahead: a device whose clock is ahead opens partitions in the future"
    if isinstance(file.validate, UnsetType):
        yield "no validate: any JSON object passes on to the transforms"
    for use, path in _fields_used(pipeline):
        index = removes(file.transforms, path)
        if index is not None:
            kind = file.transforms[index].kind
            yield f"{use} reads {path!r}, which transforms[{index}].{kind} takes away"
    yield from _cardinality(pipeline)
    for name, sink in pipeline.sinks.items():
        if not isinstance(sink.opensearch, UnsetType):
            yield from explain_opensearch.warnings(name, sink.opensearch)
        if not isinstance(sink.redshift, UnsetType):
            identified = not isinstance(file.identity, UnsetType)
            yield from explain_redshift.warnings(name, sink.redshift, identified=identified)

    for name, written in pipeline.aggregates.items():
        yield from explain_aggregates.warnings(name, written, pipeline.sinks, file.event_time)


def notes(pipeline: Pipeline) -> Iterator[str]:
    """Yield what the environment does to a pipeline: sinks that it switches off."""
    for name in pipeline.switched_off:
        yield f"sinks.{name} is switched off: its endpoint is empty"


def _fields_used(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    file = pipeline.file
    if not isinstance(file.event_time, UnsetType):
        yield "event_time", file.event_time.field
    for path in () if isinstance(file.identity, UnsetType) else file.identity:
        yield "identity", path
    for name, sink in pipeline.sinks.items():
        for part in sink.objects[1].partition if sink.objects else ():
            if not isinstance(part.field, UnsetType):
                yield f"sinks.{name}", part.field
        if not isinstance(sink.redshift, UnsetType):
            for column, written in sink.redshift.columns.items():
                if column != sink.redshift.unknown:
                    yield f"sinks.{name}.columns.{column}", full_column(written).source or column
    for name, aggregate in pipeline.aggregates.items():
        yield from explain_aggregates.fields_used(name, aggregate)


def _cardinality(pipeline: Pipeline) -> Iterator[str]:
    file = pipeline.file
    unique = set() if isinstance(file.identity, UnsetType) else set(file.identity)
    if not isinstance(file.event_time, UnsetType):
        unique.add(file.event_time.field)
    for name, sink in pipeline.sinks.items():
        fields = 0
        for part in sink.objects[1].partition if sink.objects else ():
            if isinstance(part.field, UnsetType):
                continue
            fields += 1
            last = part.field.rpartition(".")[2].lower()
            if part.field in unique or last in _MANY_VALUES or last.endswith(("_id", "_at", "_time", "uuid")):
                yield (
                    f"sinks.{name} is partitioned by {part.field!r}, which looks as if it had many values:"
                    " many tiny objects, and batches that end early at max_partitions"
                )
        if fields > 2:
            yield f"sinks.{name} is partitioned by {fields} fields: the objects of a batch are their product"


def _validation(pipeline: Pipeline) -> str:
    validate = pipeline.file.validate
    if isinstance(validate, UnsetType) or pipeline.schema is None:
        return "any JSON object"
    name = validate.schema if isinstance(validate.schema, str) else "schema in the file"
    required = pipeline.schema.get("required", ())
    return f"{name}{'; required: ' + ', '.join(required) if required else ''}"


def _event_time(times: Any) -> str:
    bounds = [
        f"{word} {value}"
        for word, value in (
            ("from", times.not_before),
            ("to", times.not_after),
            ("at most before arrival:", times.max_age),
            ("at most after arrival:", times.max_ahead),
        )
        if value is not UNSET
    ]
    return f"{times.field} ({times.format}){'; ' + ', '.join(bounds) if bounds else ''}; others are quarantined"


def _example_time(times: EventTime | UnsetType) -> datetime:
    earliest = None if isinstance(times, UnsetType) else times.earliest
    return datetime.fromtimestamp(earliest, UTC) if earliest is not None else datetime(2026, 1, 31, 7, tzinfo=UTC)


def _objects(sink: S3Sink | RedshiftSink, moment: datetime) -> Iterator[str]:
    parts = []
    for part in sink.partition:
        if not isinstance(part.time, UnsetType):
            parts.append(f"{part.name}={moment.strftime(_TIME_FORMATS[part.time])}")
        elif not isinstance(part.field, UnsetType):
            parts.append(f"{part.name}=<{part.field}>")
        else:
            parts.append(f"{part.name}=<{part.expr}>")
    middle = "".join(f"{part}/" for part in parts)
    suffix = _SUFFIXES[sink.compression]
    yield f"s3://{sink.bucket}/{sink.prefix}/{middle}shardId-000000000000-<first position>.{suffix}"
    level = "" if isinstance(sink.level, UnsetType) else f" level {sink.level}"
    objects = f"at most {sink.max_partitions} partitions a batch" if sink.partition else "one object a batch"
    yield f"NDJSON, {sink.compression}{level}; {objects}"


def _table(rows: list[tuple[str, str]]) -> Iterator[str]:
    width = max(len(label) for label, _ in rows)
    before = ""
    for label, text in rows:
        yield f"  {'' if label == before else label:<{width}}  {text}".rstrip()
        before = label or before


def _bytes(count: int) -> str:
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count % factor == 0:
            return f"{count // factor} {unit}"
    return f"{count:,} bytes"
