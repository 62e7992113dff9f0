"""The part of the pipeline model that says how events become documents in OpenSearch."""

from typing import Annotated, Any, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from aetherstream.pipeline import values
from aetherstream.pipeline.forms import Duration, Size
from aetherstream.pipeline.model_outage import BreakerRules, DrainRules, SpillPlace

Period = Literal["hour", "day", "month", "year"]
TargetKind = Literal["index", "alias", "data_stream"]
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)


class Rollover(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the cluster's index state management begins a new index behind an alias or data stream. At least one."""

    age: Annotated[Duration, Meta(title="a duration", description="Age of the index.", examples=["1d"])] | UnsetType = (
        UNSET
    )
    size: (
        Annotated[Size, Meta(title="a size", description="Size of its primary shards together.", examples=["30GiB"])]
        | UnsetType
    ) = UNSET

    @property
    def age_seconds(self) -> float | None:
        """`age` in seconds."""
        return None if isinstance(self.age, UnsetType) else values.duration(self.age)

    @property
    def size_bytes(self) -> int | None:
        """`size` in bytes."""
        return None if isinstance(self.size, UnsetType) else values.size(self.size)


class Bulk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How documents are put together into requests."""

    documents: Annotated[int, Meta(ge=1, le=50_000, description="Most documents of one request.", examples=[2000])] = (
        2000
    )
    bytes: Annotated[
        Size,
        Meta(
            title="a size",
            description="A request ends with the document that would pass this; a larger document goes alone."
            " OpenSearch recommends 5 to 15 MB and takes 100 MB (`http.max_content_length`).",
            examples=["5MB"],
        ),
    ] = 5_000_000
    parallel: Annotated[
        int, Meta(ge=1, le=16, description="Requests that one function has under way at a time.", examples=[4])
    ] = 4
    compress: Annotated[
        bool, Meta(description="Send requests compressed with gzip: less on the wire, more processor time.")
    ] = False

    @property
    def most_bytes(self) -> int:
        """`bytes` as a number."""
        return values.size(self.bytes)


class OpenSearchSink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documents in OpenSearch, each under its event's id. Exactly one of `index`, `alias` and `data_stream`."""

    # None is what an unquoted `${NAME:-}` comes to where the environment has no NAME.
    endpoint: Annotated[
        str | None,
        Meta(
            title="a URL",
            description="Where the cluster answers, `https://host` or `https://host:port`; the template's is"
            " `${AETHERSTREAM_OPENSEARCH_ENDPOINT}`.",
            examples=["${AETHERSTREAM_OPENSEARCH_ENDPOINT:-}"],
        ),
    ]
    optional: Annotated[
        bool,
        Meta(
            description="Whether an empty endpoint switches the sink off: nothing is sent and nothing is spilled."
            " Otherwise an empty endpoint is a mistake.",
            examples=[True],
        ),
    ] = False
    auth: Annotated[
        Literal["none", "basic", "es", "aoss"],
        Meta(
            description="`basic`: user and password; `es` (Amazon OpenSearch Service) and `aoss` (Serverless): requests"
            " are signed (SigV4) with the function's role.",
            examples=["${AETHERSTREAM_OPENSEARCH_AUTH:-none}"],
        ),
    ] = "none"
    secret: Annotated[
        str | None,
        Meta(
            title="text",
            description="With `auth: basic`: name or ARN of a Secrets Manager secret with"
            ' `{"username": ..., "password": ...}`.',
            examples=["${AETHERSTREAM_OPENSEARCH_SECRET:-}"],
        ),
    ] = None
    username: Annotated[
        str | None,
        Meta(title="text", description="With `auth: basic`, instead of `secret`.", examples=["${OPENSEARCH_USER}"]),
    ] = None
    password: Annotated[
        str | None,
        Meta(title="text", description="With `username`; always a `${NAME}`.", examples=["${OPENSEARCH_PASSWORD}"]),
    ] = None
    region: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]+$")] | None,
        Meta(
            title="an AWS Region",
            description="With `auth: es` or `aoss`: Region of the domain; by default the function's.",
            examples=["eu-west-1"],
        ),
    ] = None
    index: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="Beginning of the index names; the event time's `period` follows it:"
                " `flights-2013.01.31`. The same event always goes to the same index, so it is stored once.",
                examples=["flights"],
            ),
        ]
        | UnsetType
    ) = UNSET
    alias: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="An alias with a write index. An event that comes again after a rollover is stored twice.",
                examples=["flights"],
            ),
        ]
        | UnsetType
    ) = UNSET
    data_stream: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="A data stream; its time is the field of `event_time`. An event that comes again after a"
                " rollover is stored twice.",
                examples=["flights"],
            ),
        ]
        | UnsetType
    ) = UNSET
    period: (
        Annotated[
            Period,
            Meta(
                description="With `index`: what one index holds, by event time (UTC): `-2013.01.31.07`, `-2013.01.31`,"
                " `-2013.01` or `-2013`. Default: `day`.",
                examples=["month"],
            ),
        ]
        | UnsetType
    ) = UNSET
    mappings: Annotated[
        dict[str, str | dict[str, Any]],
        Meta(
            description="Types of fields: a name, or a mapping as OpenSearch has it. What is not named is mapped as"
            " `dynamic` says, but `_event_id` and `_identity` are keywords, and the field of `event_time` is a date.",
            examples=[{"origin": "keyword", "dep_delay": "double", "where": {"type": "geo_point"}}],
        ),
    ] = struct_field(default_factory=dict)
    dynamic: Annotated[
        bool | Literal["strict"],
        Meta(
            title="`true`, `false` or `strict`",
            description="Fields without a mapping: `true` maps them by their first value, texts as keywords,"
            " `false` stores them"
            " unsearchable, `strict` refuses the document.",
            examples=["strict"],
        ),
    ] = True
    field_limit: Annotated[
        int,
        Meta(
            ge=1, description="Most fields of an index; a document that would pass it is quarantined.", examples=[1000]
        ),
    ] = 1000
    ignore_above: Annotated[
        int,
        Meta(
            ge=1,
            le=8191,
            description="Texts of fields without a mapping become keywords; longer ones than this many characters are"
            " stored and not indexed. Lucene: a term has at most 32,766 bytes.",
            examples=[1024],
        ),
    ] = 1024
    shards: Annotated[int, Meta(ge=1, le=1024, description="Primary shards of an index.", examples=[1])] = 1
    replicas: Annotated[int, Meta(ge=0, description="Copies of each shard.", examples=[1])] = 1
    refresh: (
        Annotated[
            Duration,
            Meta(
                title="a duration",
                description="How often new documents become searchable. Default: the cluster's, about `1s`.",
                examples=["10s"],
            ),
        ]
        | UnsetType
    ) = UNSET
    retention: (
        Annotated[
            Duration,
            Meta(
                title="a duration",
                description="Age at which the cluster deletes an index, counted from its making; it needs index state"
                " management. Without it: never.",
                examples=["90d"],
            ),
        ]
        | UnsetType
    ) = UNSET
    rollover: (
        Annotated[
            Rollover, Meta(description="With `alias` or `data_stream`: when a new index begins. Without it: never.")
        ]
        | UnsetType
    ) = UNSET
    bulk: Annotated[Bulk, Meta(description="How documents are put together into requests.")] = Bulk()
    on_outage: Annotated[
        Literal["spill", "block"],
        Meta(
            description="While the cluster is down: `spill` keeps its documents in S3 and brings them later, and the"
            " other sinks go on; `block` waits, and the shard with it.",
            examples=["block"],
        ),
    ] = "spill"
    breaker: (
        Annotated[BreakerRules, Meta(description="With `on_outage: spill`: when the cluster counts as down.")]
        | UnsetType
    ) = UNSET
    drain: (
        Annotated[DrainRules, Meta(description="With `on_outage: spill`: how fast the spill goes back.")] | UnsetType
    ) = UNSET
    spill: Annotated[SpillPlace, Meta(description="With `on_outage: spill`: where the documents wait.")] | UnsetType = (
        UNSET
    )

    @property
    def is_off(self) -> bool:
        """Whether nothing is sent: the sink is optional and its endpoint empty."""
        return self.optional and not (self.endpoint or "").strip()

    @property
    def kinds(self) -> list[TargetKind]:
        """Which of `index`, `alias` and `data_stream` are given; in a sound file one."""
        return [kind for kind in TARGET_KINDS if not isinstance(getattr(self, kind), UnsetType)]

    @property
    def kind(self) -> TargetKind:
        """Which of `index`, `alias` and `data_stream` is given."""
        return self.kinds[0]

    @property
    def target(self) -> str:
        """What it says."""
        return str(getattr(self, self.kind))

    @property
    def refresh_seconds(self) -> float | None:
        """`refresh` in seconds."""
        return None if isinstance(self.refresh, UnsetType) else values.duration(self.refresh)

    @property
    def retention_seconds(self) -> float | None:
        """`retention` in seconds."""
        return None if isinstance(self.retention, UnsetType) else values.duration(self.retention)


def full_mapping(written: Any) -> Any:
    """Return a field's mapping as OpenSearch has it: `keyword` is short for `{type: keyword}`, at every depth."""
    if isinstance(written, str):
        return {"type": written}
    if not isinstance(written, dict):
        return written
    return {
        key: {name: full_mapping(one) for name, one in value.items()}
        if key in ("properties", "fields") and isinstance(value, dict)
        else value
        for key, value in written.items()
    }
