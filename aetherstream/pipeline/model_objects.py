"""The part of the pipeline model that every sink has which writes objects: their place, form and partitions."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from aetherstream.pipeline.forms import Bucket, FieldPath

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


SinkBucket = Annotated[
    Bucket,
    Meta(
        title="a bucket name",
        description="Bucket; the template's own is `${AETHERSTREAM_BUCKET}`.",
        examples=["${AETHERSTREAM_BUCKET}"],
    ),
]
Compression = Annotated[Literal["gzip", "zstd"], Meta(description="Compression of the objects.", examples=["zstd"])]
Level = Annotated[
    int,
    Meta(ge=0, le=22, description="Compression level: 0 to 3 for gzip (isal), 1 to 22 for zstd.", examples=[1]),
]
Partition = Annotated[
    list[PartitionPart],
    Meta(
        description="Levels of the path below the prefix, outermost first; by default the day of the event.",
        examples=[[{"time": "day"}, {"field": "origin"}]],
    ),
]
MaxPartitions = Annotated[
    int,
    Meta(
        ge=1,
        le=1000,
        description="Most partitions that one batch may write; it ends before the record that would pass this,"
        " and the rest comes again.",
        examples=[200],
    ),
]


def daily() -> list[PartitionPart]:
    """Return the partitions where none are given: the day of the event time."""
    return [PartitionPart(time="day")]
