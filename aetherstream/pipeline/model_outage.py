"""The part of the pipeline model that says what happens while a per-record sink is down."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from aetherstream.pipeline import values
from aetherstream.pipeline.forms import Bucket, Duration, Prefix


class BreakerRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a sink counts as down, so that its events are spilled instead of waited for."""

    failures: Annotated[
        int, Meta(ge=1, description="Requests in a row of which no document was taken.", examples=[5])
    ] = 5
    share: Annotated[
        float,
        Meta(
            gt=0, le=1, description="Or this share of the documents of the last `window` was not taken.", examples=[0.5]
        ),
    ] = 0.5
    window: Annotated[
        Duration, Meta(title="a duration", description="What `share` looks back on.", examples=["60s"])
    ] = "60s"
    patience: Annotated[
        Duration,
        Meta(
            title="a duration",
            description="Most time that one batch waits for the sink, its retries included.",
            examples=["15s"],
        ),
    ] = "15s"
    probe_after: Annotated[
        Duration,
        Meta(
            title="a duration",
            description="Pause before the sink is tried again; it doubles with each failing try, up to 5 minutes.",
            examples=["30s"],
        ),
    ] = "30s"

    @property
    def window_seconds(self) -> float:
        """`window` in seconds."""
        return values.duration(self.window)

    @property
    def patience_seconds(self) -> float:
        """`patience` in seconds."""
        return values.duration(self.patience)

    @property
    def probe_after_seconds(self) -> float:
        """`probe_after` in seconds."""
        return values.duration(self.probe_after)


class DrainRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast the spill goes back into a sink that answers again."""

    rate: Annotated[
        int, Meta(ge=1, description="Most documents a second, beside the live traffic.", examples=[2000])
    ] = 2000


class SpillPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where documents wait in S3 while their sink is down."""

    bucket: (
        Annotated[
            Bucket,
            Meta(
                title="a bucket name",
                description="Bucket; by default the quarantine's.",
                examples=["${AETHERSTREAM_BUCKET}"],
            ),
        ]
        | UnsetType
    ) = UNSET
    prefix: (
        Annotated[
            Prefix,
            Meta(
                title="a key prefix without / at its ends",
                description="Keys begin with it; by default `<pipeline>/spill/<sink>`.",
                examples=["flights/spill/search"],
            ),
        ]
        | UnsetType
    ) = UNSET
