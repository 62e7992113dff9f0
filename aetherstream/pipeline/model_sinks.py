"""The part of the pipeline model that says where events and rejected records go."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from aetherstream.pipeline.forms import Bucket, FieldPath, Prefix
from aetherstream.pipeline.model_opensearch import OpenSearchSink

RESERVED_SINK_NAMES = frozenset({"rejected", "dropped", "quarantine", "spill"})
"""Words that mean something else beside sink names: in config tests and under the bucket's prefix."""

PartitionName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class PartitionPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One level of the Hive-style path of an object, `name=value`. Exactly one of `time`, `field` and `expr`."""

    time: (
        Annotated[
            Literal["year", "month", "day", "hour"],
            Meta(
                description="Part of the event time, UTC: `year=2013`, `month=2013-01`, `day=2013-01-31`, `hour=07`.",
                examples=["day"],
            ),
        ]
        | UnsetType
    ) = UNSET
    field: (
        Annotated[
            FieldPath,
            Meta(
                description="Value of a field after the transforms; a dotted path reaches into objects.",
                examples=["origin"],
            ),
        ]
        | UnsetType
    ) = UNSET
    expr: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="Value of an expression over the event. It knows no clock, so that retries agree.",
                examples=["distance > 1000"],
            ),
        ]
        | UnsetType
    ) = UNSET
    as_: (
        Annotated[
            PartitionName,
            Meta(
                title="a name of letters, digits and _",
                description="Name in the path; by default the time's or the field's. `expr` needs one.",
                examples=["long_haul"],
            ),
        ]
        | UnsetType
    ) = struct_field(name="as", default=UNSET)

    @property
    def name(self) -> str:
        """Name in the path, for example `day`."""
        for value in (self.as_, self.time):
            if not isinstance(value, UnsetType):
                return value
        return "" if isinstance(self.field, UnsetType) else self.field.rpartition(".")[2]


class S3Sink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Objects of compressed NDJSON in S3, one per partition and batch."""

    bucket: Annotated[
        Bucket,
        Meta(
            title="a bucket name",
            description="Bucket; the template's own is `${AETHERSTREAM_BUCKET}`.",
            examples=["${AETHERSTREAM_BUCKET}"],
        ),
    ]
    prefix: (
        Annotated[
            Prefix,
            Meta(
                title="a key prefix without / at its ends",
                description="Keys begin with it; by default `<pipeline>/<sink>`.",
                examples=["flights/archive"],
            ),
        ]
        | UnsetType
    ) = UNSET
    compression: Annotated[
        Literal["gzip", "zstd"], Meta(description="Compression of the objects.", examples=["zstd"])
    ] = "gzip"
    level: (
        Annotated[
            int,
            Meta(ge=0, le=22, description="Compression level: 0 to 3 for gzip (isal), 1 to 22 for zstd.", examples=[1]),
        ]
        | UnsetType
    ) = UNSET
    partition: Annotated[
        list[PartitionPart],
        Meta(
            description="Levels of the path below the prefix, outermost first; by default the day of the event.",
            examples=[[{"time": "day"}, {"field": "origin"}]],
        ),
    ] = struct_field(default_factory=lambda: [PartitionPart(time="day")])
    max_partitions: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Most partitions that one batch may write; it ends before the record that would pass this,"
            " and the rest comes again.",
            examples=[200],
        ),
    ] = 200


class Sink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events go. Exactly one kind."""

    s3: Annotated[S3Sink, Meta(description="Objects in S3.")] | UnsetType = UNSET
    opensearch: Annotated[OpenSearchSink, Meta(description="Documents in OpenSearch.")] | UnsetType = UNSET

    @property
    def is_optional(self) -> bool:
        """Whether the environment may switch the sink off."""
        return not isinstance(self.opensearch, UnsetType) and self.opensearch.optional

    @property
    def is_off(self) -> bool:
        """Whether the sink gets nothing: it is optional, and the environment names no endpoint."""
        return not isinstance(self.opensearch, UnsetType) and self.opensearch.is_off


class QuarantineS3(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where rejected records are kept in S3."""

    bucket: Annotated[
        Bucket, Meta(title="a bucket name", description="Bucket; the template's own is `${AETHERSTREAM_BUCKET}`.")
    ]
    prefix: (
        Annotated[
            Prefix,
            Meta(
                title="a key prefix without / at its ends",
                description="Keys begin with it; by default `<pipeline>/quarantine`.",
                examples=["flights/quarantine"],
            ),
        ]
        | UnsetType
    ) = UNSET


class Quarantine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where records are kept that can never be delivered as they are, with the reason and their bytes."""

    s3: QuarantineS3
