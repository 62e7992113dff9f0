"""The part of the pipeline model that says where events and rejected records go."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from aetherstream.pipeline.forms import Bucket, Prefix
from aetherstream.pipeline.model_objects import Compression, Level, MaxPartitions, Partition, SinkBucket, daily
from aetherstream.pipeline.model_opensearch import OpenSearchSink
from aetherstream.pipeline.model_redshift import RedshiftSink

RESERVED_SINK_NAMES = frozenset({"rejected", "dropped", "aggregates", "quarantine", "spill"})
"""Words that mean something else beside sink names: in config tests and under the bucket's prefix."""


class S3Sink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Objects of compressed NDJSON in S3, one per partition and batch."""

    bucket: SinkBucket
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
    compression: Compression = "gzip"
    level: Level | UnsetType = UNSET
    partition: Partition = struct_field(default_factory=daily)
    max_partitions: MaxPartitions = 200


class Sink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events go. Exactly one kind."""

    s3: Annotated[S3Sink, Meta(description="Objects in S3.")] | UnsetType = UNSET
    opensearch: Annotated[OpenSearchSink, Meta(description="Documents in OpenSearch.")] | UnsetType = UNSET
    redshift: Annotated[RedshiftSink, Meta(description="Rows of a table in Redshift.")] | UnsetType = UNSET

    @property
    def objects(self) -> tuple[str, S3Sink | RedshiftSink] | None:
        """The kind, for example `s3`, and its options, where the sink writes objects; those of one that is off too."""
        if not isinstance(self.s3, UnsetType):
            return "s3", self.s3
        return None if isinstance(self.redshift, UnsetType) else ("redshift", self.redshift)

    @property
    def is_optional(self) -> bool:
        """Whether the environment may switch the sink off."""
        return any(kind.optional for kind in (self.opensearch, self.redshift) if not isinstance(kind, UnsetType))

    @property
    def is_off(self) -> bool:
        """Whether the sink gets nothing: it is optional, and the environment names no endpoint."""
        return any(kind.is_off for kind in (self.opensearch, self.redshift) if not isinstance(kind, UnsetType))


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
