"""The part of the pipeline model that declares live aggregates: groups, windows, results, and where these go."""

from collections.abc import Mapping
from keyword import iskeyword
from typing import Annotated, Any, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from aetherstream.pipeline import values
from aetherstream.pipeline.forms import Duration, FieldPath, Prefix, Shift
from aetherstream.pipeline.model_redshift import Type

AggregateName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
RESULT_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,99}$"
"""Of outputs and of the parts of a group: they become fields in OpenSearch and columns in Redshift."""
ResultName = Annotated[str, Meta(pattern=RESULT_NAME)]
Kind = Literal[
    "count",
    "sum",
    "min",
    "max",
    "mean",
    "variance",
    "stddev",
    "first",
    "last",
    "distinct",
    "quantiles",
    "top_k",
    "rate",
    "custom",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
WindowKind = Literal["tumbling", "hopping", "session"]
WINDOW_KINDS: tuple[WindowKind, ...] = get_args(WindowKind)
RESERVED = frozenset({"id", "aggregate", "window_start", "window_end", "version", "final", "removed", "rank"})
"""Fields that every result has beside its group and outputs."""
RESERVED_OF_PARTS = frozenset({"shard", "part", "early", "state"})
"""And those of the shards' parts with `state: lambda`."""

_Expression = Annotated[str, Meta(min_length=1)]


class GroupPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of a group. Exactly one of `field` and `expr`; `carrier` is short for `{field: carrier}`."""

    field: (
        Annotated[
            FieldPath,
            Meta(
                description="A field after the transforms; a dotted path reaches into objects.",
                examples=["device.site"],
            ),
        ]
        | UnsetType
    ) = UNSET
    expr: (
        Annotated[_Expression, Meta(description="An expression over the event.", examples=["distance > 1000"])]
        | UnsetType
    ) = UNSET
    as_: (
        Annotated[
            ResultName,
            Meta(
                title="a name of letters, digits and _",
                description="Name in the results; by default the field's. `expr` needs one.",
                examples=["long_haul"],
            ),
        ]
        | UnsetType
    ) = struct_field(name="as", default=UNSET)

    @property
    def name(self) -> str:
        """Name in the results; empty for an expression without `as`."""
        if not isinstance(self.as_, UnsetType):
            return self.as_
        return "" if isinstance(self.field, UnsetType) else _parts(self.field)[-1]

    @property
    def expression(self) -> str:
        """What gives the value, as an expression."""
        if not isinstance(self.expr, UnsetType):
            return self.expr
        return "" if isinstance(self.field, UnsetType) else field_expression(self.field)


class DeclaredWindow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events of a group belong together, by event time. Exactly one of `tumbling`, `hopping` and `session`."""

    tumbling: (
        Annotated[
            Duration,
            Meta(
                title="a duration",
                description="Windows of this length side by side: each event belongs to one.",
                examples=["1h"],
            ),
        ]
        | UnsetType
    ) = UNSET
    hopping: (
        Annotated[
            Duration,
            Meta(
                title="a duration",
                description="Windows of this length that overlap, a new one with each `every`: an event belongs to"
                " several.",
                examples=["1h"],
            ),
        ]
        | UnsetType
    ) = UNSET
    session: (
        Annotated[
            Duration,
            Meta(
                title="a duration",
                description="Events of a group that follow each other in less than this are one session.",
                examples=["30m"],
            ),
        ]
        | UnsetType
    ) = UNSET
    every: (
        Annotated[
            Duration,
            Meta(title="a duration", description="With `hopping`: how often a window begins.", examples=["5m"]),
        ]
        | UnsetType
    ) = UNSET
    offset: Annotated[
        Shift,
        Meta(
            title="a duration, negative too",
            description="With `tumbling` or `hopping`: shifts the windows, which begin at 1970-01-01T00:00:00Z. Days of"
            " New York's winter begin at `5h`.",
            examples=["-1h"],
        ),
    ] = 0

    @property
    def kinds(self) -> list[WindowKind]:
        """Which of `tumbling`, `hopping` and `session` are given; in a sound file one."""
        return [kind for kind in WINDOW_KINDS if not isinstance(getattr(self, kind), UnsetType)]

    @property
    def kind(self) -> WindowKind:
        """Which of `tumbling`, `hopping` and `session` is given."""
        return self.kinds[0]

    @property
    def seconds(self) -> float:
        """Length of a window, or a session's gap, in seconds."""
        return values.duration(getattr(self, self.kind))

    @property
    def every_seconds(self) -> float | None:
        """`every` in seconds."""
        return None if isinstance(self.every, UnsetType) else values.duration(self.every)

    @property
    def offset_seconds(self) -> float:
        """`offset` in seconds."""
        return values.shift(self.offset)


class DeclaredOutput(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One result; `flights: count` is short for `flights: {kind: count}`."""

    kind: Annotated[
        Kind,
        Meta(
            description="What is made of the events of a group and window, or of their values.",
            examples=["mean"],
        ),
    ]
    of: (
        Annotated[
            _Expression,
            Meta(
                description="The value: a field or an expression. `count` and `rate` do without: they count events"
                " then. All others need one.",
                examples=["dep_delay", "origin + '-' + destination"],
            ),
        ]
        | UnsetType
    ) = UNSET
    unusable: Annotated[
        Literal["skip", "reject"],
        Meta(
            description="A value that is missing, null or of the wrong kind: `skip` leaves it out of this output;"
            " `reject` quarantines the event, and no aggregate counts it. The sinks get it all the same.",
            examples=["reject"],
        ),
    ] = "skip"
    population: (
        Annotated[
            bool,
            Meta(
                description="With `variance` and `stddev`: divide by n, not by n - 1. Default: `false`.",
                examples=[True],
            ),
        ]
        | UnsetType
    ) = UNSET
    per: (
        Annotated[
            Duration,
            Meta(
                title="a duration", description="With `rate`: the unit of time. Default: one second.", examples=["1m"]
            ),
        ]
        | UnsetType
    ) = UNSET
    precision: (
        Annotated[
            int,
            Meta(
                ge=8,
                le=16,
                description="With `distinct`: 2 to the power of this many registers. Default: 12, an error of 1.6 %.",
                examples=[14],
            ),
        ]
        | UnsetType
    ) = UNSET
    exact: (
        Annotated[
            int,
            Meta(
                ge=0,
                description="With `distinct`: exact up to so many values. Default: as many as need no more room than"
                " the registers, 384.",
                examples=[1000],
            ),
        ]
        | UnsetType
    ) = UNSET
    at: (
        Annotated[
            list[Annotated[float, Meta(ge=0, le=1)]],
            Meta(
                min_length=1,
                description="With `quantiles`: which ones; they are called `p50`, `p95`, `p99_9`. Default: 0.5, 0.95,"
                " 0.99.",
                examples=[[0.5, 0.999]],
            ),
        ]
        | UnsetType
    ) = UNSET
    accuracy: (
        Annotated[
            float,
            Meta(
                ge=0.001,
                le=0.1,
                description="With `quantiles`: the relative error. Default: 0.01.",
                examples=[0.02],
            ),
        ]
        | UnsetType
    ) = UNSET
    max_bins: (
        Annotated[
            int,
            Meta(
                ge=64,
                le=8192,
                description="With `quantiles`: most bins, each up to 13 bytes; beyond it the error doubles. Default:"
                " 1024.",
                examples=[2048],
            ),
        ]
        | UnsetType
    ) = UNSET
    k: (
        Annotated[
            int,
            Meta(ge=1, le=1000, description="With `top_k`: how many values are delivered. Default: 10.", examples=[5]),
        ]
        | UnsetType
    ) = UNSET
    capacity: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=1000,
                description="With `top_k`: up to so many different values the counts are exact. Default: ten times"
                " `k`, at least 256.",
                examples=[500],
            ),
        ]
        | UnsetType
    ) = UNSET
    class_: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
                title="module:Class",
                description="With `custom`: an accumulator of your own.",
                examples=["pipelines.accumulators:Spread"],
            ),
        ]
        | UnsetType
    ) = struct_field(name="class", default=UNSET)
    options: (
        Annotated[
            dict[str, Any],
            Meta(description="With `custom`: keyword arguments of the class.", examples=[{"unit": "miles"}]),
        ]
        | UnsetType
    ) = UNSET

    @property
    def expression(self) -> str | None:
        """`of`; None where it is not given."""
        return None if isinstance(self.of, UnsetType) else self.of

    @property
    def per_seconds(self) -> float | None:
        """`per` in seconds."""
        return None if isinstance(self.per, UnsetType) else values.duration(self.per)

    @property
    def given(self) -> Mapping[str, Any]:
        """The options that belong to some kinds only, by their names in the file, as far as they are given."""
        found = {option: getattr(self, field) for option, field in _OPTIONS.items()}
        return {option: value for option, value in found.items() if not isinstance(value, UnsetType)}


_OPTIONS = {
    written: field
    for field, written in zip(DeclaredOutput.__struct_fields__, DeclaredOutput.__struct_encode_fields__, strict=True)
    if field not in ("kind", "of", "unusable")
}


class Rank(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At close, only the first groups of each window go out, ranked by one output."""

    by: Annotated[str, Meta(min_length=1, description="The output, one that is a number.", examples=["flights"])]
    most: Annotated[int, Meta(ge=1, le=1000, description="How many groups.", examples=[5])]
    ascending: Annotated[bool, Meta(description="The least first; otherwise the greatest.", examples=[True])] = False


class ResultPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where results go by way of a sink: to its cluster, warehouse or bucket, but to a place of their own there."""

    index: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="By an `opensearch` sink: the index, with a document for each result.",
                examples=["carrier-hours"],
            ),
        ]
        | UnsetType
    ) = UNSET
    table: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="By a `redshift` sink: `table` or `schema.table`, with a row for each result.",
                examples=["analytics.carrier_hours"],
            ),
        ]
        | UnsetType
    ) = UNSET
    columns: (
        Annotated[
            dict[str, Type],
            Meta(
                description="With `table`: types of some columns by name. The others follow from what they hold.",
                examples=[{"carrier": "char(2)"}],
            ),
        ]
        | UnsetType
    ) = UNSET
    prefix: (
        Annotated[
            Prefix,
            Meta(
                title="a key prefix without / at its ends",
                description="By an `s3` sink: keys of the objects begin with it, by default"
                " `<pipeline>/results/<aggregate>/<sink>`; only final results go there. By a `redshift` sink: those of"
                " the staged objects, by default `<prefix of the sink>.results/<aggregate>`.",
                examples=["flights/carrier-hours"],
            ),
        ]
        | UnsetType
    ) = UNSET
    fields: (
        Annotated[
            list[str],
            Meta(
                min_length=1,
                description="Only these outputs; by default all. The group, the window and the version always go"
                " along.",
                examples=[["flights", "mean_delay"]],
            ),
        ]
        | UnsetType
    ) = UNSET


class DeclaredAggregate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events folded into results by group and window, exact under every retry."""

    description: Annotated[
        str, Meta(description="What it is for, in a sentence.", examples=["Flights of each carrier by the hour"])
    ] = ""
    group_by: Annotated[
        list[FieldPath | GroupPart],
        Meta(
            description="What makes a group: fields after the transforms, or expressions with a name. None: all"
            " events are one group.",
            examples=[["carrier", {"expr": "distance > 1000", "as": "long_haul"}]],
        ),
    ] = struct_field(default_factory=list)
    window: Annotated[DeclaredWindow, Meta(description="Which events of a group belong together, by event time.")]
    lateness: Annotated[
        Duration,
        Meta(
            title="a duration",
            description="How far the watermark has to pass a window's end before the window is closed.",
            examples=["10m"],
        ),
    ] = 0
    on_late: Annotated[
        Literal["drop", "quarantine", "correct"],
        Meta(
            description="An event of a closed window: `drop` counts it and leaves it out, `quarantine` keeps it there"
            " too, `correct` folds it, and the results go out again. The sinks get it in any case.",
            examples=["correct"],
        ),
    ] = "drop"
    emit: Annotated[
        Literal["updates", "close"],
        Meta(
            description="`updates`: a result goes out seconds after it changed, and when its window is closed;"
            " `close`: only then. With `state: lambda` always at the end of a window.",
            examples=["close"],
        ),
    ] = "updates"
    max_groups: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Most groups of a window in one shard; an event that would open one more is quarantined.",
            examples=[1000],
        ),
    ] = 10_000
    max_ahead: Annotated[
        Duration,
        Meta(
            title="a duration",
            description="How far an event time may lie after the record's arrival; an event beyond is quarantined, so"
            " that one wrong clock does not close everybody's windows.",
            examples=["1h"],
        ),
    ] = "1d"
    state: Annotated[
        Literal["dynamodb", "lambda"],
        Meta(
            description="Where states are: `dynamodb`, exact over all shards; `lambda`, in the tumbling windows of the"
            " event source mapping: by arrival, each shard for itself, at most 15 minutes.",
            examples=["lambda"],
        ),
    ] = "dynamodb"
    outputs: Annotated[
        dict[ResultName, Kind | DeclaredOutput],
        Meta(
            min_length=1,
            description="Results by name; each is a kind, or a mapping with `kind`.",
            examples=[{"flights": "count", "mean_delay": {"kind": "mean", "of": "dep_delay"}}],
        ),
    ]
    rank: (
        Annotated[
            Rank,
            Meta(
                description="With `emit: close`: only the first groups of each window go out.",
                examples=[{"by": "flights", "most": 5}],
            ),
        ]
        | UnsetType
    ) = UNSET
    to: Annotated[
        dict[str, ResultPlace],
        Meta(
            description="Where the results go, by the names of sinks. Without one they are only kept, for a look.",
            examples=[{"search": {"index": "carrier-hours"}, "archive": {"prefix": "flights/carrier-hours"}}],
        ),
    ] = struct_field(default_factory=dict)

    @property
    def lateness_seconds(self) -> float:
        """`lateness` in seconds."""
        return values.duration(self.lateness)

    @property
    def max_ahead_seconds(self) -> float:
        """`max_ahead` in seconds."""
        return values.duration(self.max_ahead)

    @property
    def group(self) -> list[GroupPart]:
        """The parts of the group as a whole."""
        return [GroupPart(field=part) if isinstance(part, str) else part for part in self.group_by]

    @property
    def reserved(self) -> frozenset[str]:
        """Names that its results have taken for themselves."""
        return RESERVED if self.state == "dynamodb" else RESERVED | RESERVED_OF_PARTS

    @property
    def full_outputs(self) -> dict[str, DeclaredOutput]:
        """The outputs by name, each as a whole: `count` is short for `{kind: count}`."""
        return {
            name: DeclaredOutput(kind=written) if isinstance(written, str) else written
            for name, written in self.outputs.items()
        }


def field_expression(path: str) -> str:
    """Write a field path as an expression: `a.b` stays, `odd name` becomes `event['odd name']`."""
    parts = _parts(path)
    if all(part.isidentifier() and not iskeyword(part) for part in parts) and parts[0] not in _TAKEN:
        return path
    return "event" + "".join(f"[{part!r}]" for part in parts)


_TAKEN = frozenset({"event", "true", "false", "null"})
"""Names that mean something else in an expression."""


def _parts(path: str) -> tuple[str, ...]:
    from aetherstream.transforms.paths import parse_path

    try:
        return parse_path(path)
    except ValueError:
        return (path,)  # which is a mistake of its own
