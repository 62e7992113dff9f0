"""The part of the pipeline model that says how events become rows of a table in Redshift."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from aetherstream.pipeline.forms import FieldPath, Prefix
from aetherstream.pipeline.model_objects import Compression, Level, MaxPartitions, Partition, SinkBucket, daily

Type = Annotated[
    str,
    Meta(
        min_length=1,
        title="a column type",
        description="As Redshift has it: smallint, integer, bigint, decimal(p,s), real, double precision, boolean,"
        " char(n), varchar(n) (n bytes), date, timestamp, timestamptz, super.",
        examples=["varchar(64)"],
    ),
]
Region = Annotated[str, Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]+$")]


class TableColumn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column; `origin: char(3)` is short for `origin: {type: char(3)}`."""

    type: Type
    null: Annotated[
        bool,
        Meta(
            description="Whether it may be null. Where it may not, an event without a value is quarantined.",
            examples=[False],
        ),
    ] = True
    from_: (
        Annotated[
            FieldPath,
            Meta(
                description="Field of the event after the transforms; a dotted path reaches into objects. By default"
                " the column's name.",
                examples=["delays.departure"],
            ),
        ]
        | UnsetType
    ) = struct_field(name="from", default=UNSET)

    @property
    def source(self) -> str:
        """`from`; empty where it is not given."""
        return "" if isinstance(self.from_, UnsetType) else self.from_


class TableDistribution(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Redshift spreads the rows over its slices."""

    style: Annotated[
        Literal["auto", "even", "all", "key"],
        Meta(
            description="`auto` leaves it to Redshift; `key`: rows of equal values in `column` are together.",
            examples=["key"],
        ),
    ]
    column: Annotated[str, Meta(min_length=1, description="With `style: key`.", examples=["origin"])] | UnsetType = (
        UNSET
    )


class LoadRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How staged objects are loaded."""

    through: Annotated[
        Literal["connection", "data_api"],
        Meta(
            description="`connection`: a load runs while the loader waits, 15 minutes at most; `data_api`: it is handed"
            " in and looked after, for loads that outlast the function.",
            examples=["data_api"],
        ),
    ] = "connection"
    style: Annotated[
        Literal["merge", "delete_insert"],
        Meta(
            description="With `mode: upsert`: how rows are replaced, by MERGE or, where that can't, by DELETE and"
            " INSERT.",
            examples=["delete_insert"],
        ),
    ] = "merge"
    objects: Annotated[int, Meta(ge=1, le=10_000, description="Most objects of one load.", examples=[500])] = 500


class RedshiftSink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows of a table in Redshift: staged in S3 as compressed NDJSON, and loaded from there within minutes."""

    # None is what an unquoted `${NAME:-}` comes to where the environment has no NAME.
    endpoint: Annotated[
        str | None,
        Meta(
            title="a host and a database",
            description="`host/database` or `host:port/database`, as the console shows it; the template's is"
            " `${AETHERSTREAM_REDSHIFT_ENDPOINT}`. The port is 5439 where none is given.",
            examples=["${AETHERSTREAM_REDSHIFT_ENDPOINT:-}"],
        ),
    ]
    optional: Annotated[
        bool,
        Meta(
            description="Whether an empty endpoint switches the sink off: nothing is staged. Otherwise an empty"
            " endpoint is a mistake.",
            examples=[True],
        ),
    ] = False
    auth: Annotated[
        Literal["secret", "iam", "password"],
        Meta(
            description="How the loader enters: `secret`: with the user of a Secrets Manager secret; `iam`: with"
            " temporary credentials of its role; `password`: with `username` and `password`.",
            examples=["${AETHERSTREAM_REDSHIFT_AUTH:-secret}"],
        ),
    ] = "secret"
    secret: Annotated[
        str | None,
        Meta(
            title="text",
            description="With `auth: secret`: name or ARN of a Secrets Manager secret with"
            ' `{"username": ..., "password": ...}`.',
            examples=["${AETHERSTREAM_REDSHIFT_SECRET:-}"],
        ),
    ] = None
    workgroup: Annotated[
        str | None,
        Meta(
            title="text",
            description="Workgroup of Redshift Serverless. `auth: iam` and `through: data_api` need it or `cluster`.",
            examples=["${AETHERSTREAM_REDSHIFT_WORKGROUP:-}"],
        ),
    ] = None
    cluster: Annotated[
        str | None,
        Meta(
            title="text",
            description="Identifier of a provisioned cluster. `auth: iam` and `through: data_api` need it or"
            " `workgroup`.",
            examples=["${AETHERSTREAM_REDSHIFT_CLUSTER:-}"],
        ),
    ] = None
    username: Annotated[
        str | None,
        Meta(
            title="text",
            description="With `auth: password`: the user; with `auth: iam` and `cluster`: the database user whose"
            " rights the role takes, by default its own.",
            examples=["${AETHERSTREAM_REDSHIFT_USER:-}"],
        ),
    ] = None
    password: Annotated[
        str | None,
        Meta(
            title="text",
            description="With `auth: password`; always a `${NAME}`.",
            examples=["${AETHERSTREAM_REDSHIFT_PASSWORD:-}"],
        ),
    ] = None
    region: Annotated[
        Region | None,
        Meta(
            title="an AWS Region",
            description="Region of the workgroup or cluster; by default the function's.",
            examples=["eu-west-1"],
        ),
    ] = None
    copy_role: Annotated[
        str | None,
        Meta(
            title="the ARN of a role",
            description="Role with which COPY reads the objects, several with commas between for a chain; by default"
            " the warehouse's default role.",
            examples=["${AETHERSTREAM_REDSHIFT_COPY_ROLE:-}"],
        ),
    ] = None
    tls: Annotated[
        Literal["on", "off"],
        Meta(description="`off` only for a server on this machine.", examples=["${AETHERSTREAM_REDSHIFT_TLS:-on}"]),
    ] = "on"
    bucket: SinkBucket
    bucket_region: Annotated[
        Region | None,
        Meta(
            title="an AWS Region",
            description="Region of the bucket, where it is not the warehouse's.",
            examples=["eu-west-1"],
        ),
    ] = None
    prefix: (
        Annotated[
            Prefix,
            Meta(
                title="a key prefix without / at its ends",
                description="Keys of the staged objects begin with it; by default `<pipeline>/staging/<sink>`.",
                examples=["flights/staging/warehouse"],
            ),
        ]
        | UnsetType
    ) = UNSET
    compression: Compression = "gzip"
    level: Level | UnsetType = UNSET
    partition: Partition = struct_field(default_factory=daily)
    max_partitions: MaxPartitions = 200
    table: Annotated[
        str,
        Meta(
            min_length=1,
            description="`table` or `schema.table`; without a schema it is `public`. No two sinks share one.",
            examples=["analytics.flights"],
        ),
    ]
    mode: Annotated[
        Literal["append", "upsert"],
        Meta(
            description="`append`: one row an event; `upsert`: one row a key, of its newest version, in whatever order"
            " they come.",
            examples=["upsert"],
        ),
    ] = "append"
    key: (
        Annotated[
            list[str],
            Meta(
                min_length=1,
                description="With `mode: upsert`: columns that tell rows apart; none of them null.",
                examples=[["carrier", "flight"]],
            ),
        ]
        | UnsetType
    ) = UNSET
    version: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="With `mode: upsert`: column whose greatest value wins; among equals the later position in"
                " the stream does. Not null.",
                examples=["updated_at"],
            ),
        ]
        | UnsetType
    ) = UNSET
    columns: Annotated[
        dict[str, Type | TableColumn],
        Meta(
            description="Columns by name, in their order; each is a type, or a mapping with `type`. The table has"
            " `_event_id` beside them. An event with a value that its column would not take is quarantined.",
            examples=[{"time_hour": {"type": "timestamptz", "null": False}, "origin": "char(3)", "extra": "super"}],
        ),
    ]
    unknown: Annotated[
        str,
        Meta(
            min_length=1,
            description="Top-level fields that no column reads: `ignore`, `reject` (the event is quarantined), or the"
            " name of the super column that collects them.",
            examples=["extra"],
        ),
    ] = "ignore"
    distribution: Annotated[TableDistribution, Meta(description="How Redshift spreads the rows over its slices.")] = (
        TableDistribution(style="auto")
    )
    sort: Annotated[
        list[str], Meta(description="Columns of the sort key, the first first.", examples=[["time_hour"]])
    ] = struct_field(default_factory=list)
    changes: Annotated[
        Literal["apply", "check"],
        Meta(
            description="What the loader does where the table lacks something of this: `apply` makes the table, adds"
            " columns and widens texts; `check` says so and waits. What would lose or rewrite data is never done.",
            examples=["check"],
        ),
    ] = "apply"
    load: Annotated[LoadRules, Meta(description="How staged objects are loaded.")] = LoadRules()

    @property
    def is_off(self) -> bool:
        """Whether nothing is staged: the sink is optional and its endpoint empty."""
        return self.optional and not (self.endpoint or "").strip()


def full_column(written: str | TableColumn) -> TableColumn:
    """Return a column as a whole: `char(3)` is short for `{type: char(3)}`."""
    return TableColumn(type=written) if isinstance(written, str) else written
