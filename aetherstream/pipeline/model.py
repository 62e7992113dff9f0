"""The typed model of a pipeline file: every field with its type, default, meaning and an example, declared once.

The loader converts a file to it, the JSON Schema for editors and the reference page are generated from it.
`aetherstream.pipeline.load` gives it checked; the properties give in bytes, seconds and epoch seconds what the file
writes as text.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from aetherstream.pipeline import values
from aetherstream.pipeline.forms import Duration, FieldPath, Instant, Size
from aetherstream.pipeline.model_aggregates import AggregateName, DeclaredAggregate
from aetherstream.pipeline.model_sinks import Quarantine, Sink
from aetherstream.transforms.model import Step

SinkName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
TableName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the data of a Kinesis record becomes events."""

    format: Annotated[
        Literal["json"],
        Meta(
            description="Format of the data: JSON objects, arrays of objects or one object a line, plain or compressed"
            " (gzip, zlib, zstd), alone or in KPL aggregates: these are recognised by themselves.",
            examples=["json"],
        ),
    ] = "json"
    max_expanded: Annotated[
        Size,
        Meta(
            title="a size",
            description="Most bytes that one Kinesis record may expand to; one with more is quarantined.",
            examples=["32MiB", 33554432],
        ),
    ] = "32MiB"

    @property
    def max_expanded_bytes(self) -> int:
        """`max_expanded` in bytes."""
        return values.size(self.max_expanded)


class Validate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an event must look like before the transforms see it."""

    schema: Annotated[
        str | dict[str, Any],
        Meta(
            title="a file name or a JSON Schema",
            description="A JSON Schema: a file, relative to the pipeline file, or the schema itself.",
            examples=["flights.schema.json", {"type": "object", "required": ["carrier"]}],
        ),
    ]


class EventTime(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an event happened, and which times are believed. An event outside the bounds is quarantined."""

    field: Annotated[
        FieldPath,
        Meta(
            description="Field with the time, after the transforms; a dotted path reaches into objects.",
            examples=["time_hour", "meta.sent_at"],
        ),
    ]
    format: Annotated[
        str,
        Meta(
            min_length=1,
            description="`iso8601` (UTC where no zone is given), `epoch_s`, `epoch_ms`, or a strptime pattern.",
            examples=["iso8601", "epoch_ms", "%d/%b/%Y:%H:%M:%S %z"],
        ),
    ] = "iso8601"
    not_before: (
        Annotated[
            Instant,
            Meta(title="a date or timestamp", description="Earliest time believed.", examples=["2013-01-01"]),
        ]
        | UnsetType
    ) = UNSET
    not_after: (
        Annotated[
            Instant,
            Meta(
                title="a date or timestamp",
                description="Latest time believed.",
                examples=["2014-01-02T00:00:00Z"],
            ),
        ]
        | UnsetType
    ) = UNSET
    max_age: (
        Annotated[
            Duration,
            Meta(
                title="a duration",
                description="How far the time may lie before the record's arrival in the stream.",
                examples=["30d"],
            ),
        ]
        | UnsetType
    ) = UNSET
    max_ahead: (
        Annotated[
            Duration,
            Meta(
                title="a duration",
                description="How far the time may lie after the record's arrival in the stream.",
                examples=["1h"],
            ),
        ]
        | UnsetType
    ) = UNSET

    @property
    def earliest(self) -> float | None:
        """`not_before` in epoch seconds."""
        return None if isinstance(self.not_before, UnsetType) else values.instant(self.not_before)

    @property
    def latest(self) -> float | None:
        """`not_after` in epoch seconds; itself not allowed."""
        return None if isinstance(self.not_after, UnsetType) else values.instant(self.not_after)

    @property
    def max_age_seconds(self) -> float | None:
        """`max_age` in seconds."""
        return None if isinstance(self.max_age, UnsetType) else values.duration(self.max_age)

    @property
    def max_ahead_seconds(self) -> float | None:
        """`max_ahead` in seconds."""
        return None if isinstance(self.max_ahead, UnsetType) else values.duration(self.max_ahead)


class ReferenceTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table that `lookup` steps read."""

    file: Annotated[
        str,
        Meta(
            pattern=r"\.(csv|json|ndjson)$",
            title="a .csv, .json or .ndjson file, or s3://bucket/key of one",
            description="`.csv`, `.json` (array of objects) or `.ndjson`: a file relative to the pipeline file,"
            " or `s3://bucket/key`.",
            examples=["reference/airlines.csv", "s3://my-bucket/reference/airlines.csv"],
        ),
    ]
    key: Annotated[
        str, Meta(min_length=1, description="Column whose value is looked up; unique.", examples=["carrier"])
    ]
    reload: (
        Annotated[
            Duration,
            Meta(
                title="a duration",
                description="Age at which the table is read again, between two batches. Without it: once per process.",
                examples=["1h"],
            ),
        ]
        | UnsetType
    ) = UNSET

    @property
    def reload_seconds(self) -> float | None:
        """`reload` in seconds."""
        return None if isinstance(self.reload, UnsetType) else values.duration(self.reload)

    @property
    def remote(self) -> bool:
        """Whether the table is in S3."""
        return self.file.startswith("s3://")


class PipelineFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pipeline: what comes from a stream, what is made of it, and where it goes."""

    pipeline: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9-]{0,40}$",
            title="a name of lower-case letters, digits and -",
            description="Name; it stands in keys, metrics and logs.",
            examples=["flights"],
        ),
    ]
    description: Annotated[
        str, Meta(description="What it is for, in a sentence.", examples=["Departures from New York"])
    ] = ""
    delivery: Annotated[
        Literal["exactly_once", "at_least_once"],
        Meta(
            description="`exactly_once` keeps progress in DynamoDB, so that retries leave no duplicates;"
            " `at_least_once` does without, and only then may a shard have several writers.",
            examples=["at_least_once"],
        ),
    ] = "exactly_once"
    source: Annotated[Source, Meta(description="How the data of a Kinesis record becomes events.")] = Source()
    validate: (
        Annotated[Validate, Meta(description="What an event must look like. Without it: any JSON object.")] | UnsetType
    ) = UNSET
    event_time: (
        Annotated[
            EventTime, Meta(description="When an event happened. Without it: when its record arrived in the stream.")
        ]
        | UnsetType
    ) = UNSET
    identity: (
        Annotated[
            list[FieldPath],
            Meta(
                min_length=1,
                description="Fields that identify an event, after the transforms; otherwise its position does.",
                examples=[["carrier", "flight", "time_hour"]],
            ),
        ]
        | UnsetType
    ) = UNSET
    tables: Annotated[
        dict[TableName, ReferenceTable],
        Meta(
            description="Reference tables by name.",
            examples=[{"airlines": {"file": "reference/airlines.csv", "key": "carrier", "reload": "1h"}}],
        ),
    ] = struct_field(default_factory=dict)
    transforms: Annotated[
        list[Step], Meta(description="Steps, in their order; each has exactly one key, its kind.")
    ] = struct_field(default_factory=list)
    sinks: Annotated[dict[SinkName, Sink], Meta(min_length=1, description="Where events go, by name.")]
    aggregates: Annotated[
        dict[AggregateName, DeclaredAggregate],
        Meta(
            description="Live aggregates by name: events after the transforms, folded by group and window.",
            examples=[
                {
                    "carrier_hours": {
                        "group_by": ["carrier"],
                        "window": {"tumbling": "1h"},
                        "outputs": {"flights": "count"},
                    }
                }
            ],
        ),
    ] = struct_field(default_factory=dict)
    quarantine: (
        Annotated[
            Quarantine,
            Meta(
                description="Where rejected records go; by default `<pipeline>/quarantine` in `${AETHERSTREAM_BUCKET}`."
            ),
        ]
        | UnsetType
    ) = UNSET
