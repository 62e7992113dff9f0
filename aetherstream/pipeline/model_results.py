"""The part of the pipeline model that says what the results of an aggregate are, and where they go."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from aetherstream.pipeline import values
from aetherstream.pipeline.forms import Duration, ExpressionText, Prefix
from aetherstream.pipeline.model_redshift import Type

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
RESERVED = frozenset({"id", "aggregate", "window_start", "window_end", "version", "final", "removed", "rank"})
"""Fields that every result has beside its group and outputs."""
RESERVED_OF_PARTS = frozenset({"shard", "part", "early", "state"})
"""And those of the shards' parts with `state: lambda`."""


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
            ExpressionText,
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
