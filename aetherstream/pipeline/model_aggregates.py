"""The part of the pipeline model that declares live aggregates: their groups and windows, and when results go out."""

from keyword import iskeyword
from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec import field as struct_field

from aetherstream.pipeline import values
from aetherstream.pipeline.forms import Duration, ExpressionText, FieldPath, Shift
from aetherstream.pipeline.model_results import (
    RESERVED,
    RESERVED_OF_PARTS,
    DeclaredOutput,
    Kind,
    Rank,
    ResultName,
    ResultPlace,
)

AggregateName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
WindowKind = Literal["tumbling", "hopping", "session"]
WINDOW_KINDS: tuple[WindowKind, ...] = get_args(WindowKind)


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
        Annotated[ExpressionText, Meta(description="An expression over the event.", examples=["distance > 1000"])]
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
