"""Steps that decide which events there are and where they go: filter, split, route."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from .options import ExpressionText, FieldPath, Options

Filter = Annotated[
    ExpressionText,
    Meta(
        description="Keep the events for which this holds; the rest is dropped and counted. null, false, 0 and empty "
        "texts, lists and objects do not hold.",
        examples=["dep_time != null"],
    ),
]


class Split(Options):
    """Make one event of each element of a list; the other fields are kept in all of them."""

    field: Annotated[FieldPath, Meta(description="The list.")]
    into: Annotated[
        FieldPath | UnsetType, Meta(description="Where each element goes; default: the place of the list.")
    ] = UNSET
    index: Annotated[
        FieldPath | UnsetType, Meta(description="Where the element's number goes, from 0; default: nowhere.")
    ] = UNSET
    empty: Annotated[
        Literal["reject", "drop", "keep"],
        Meta(description="What happens to an event whose list is empty, null or absent."),
    ] = "reject"


class Case(Options):
    """One case of a route."""

    when: ExpressionText
    to: Annotated[list[str], Meta(description="Names of sinks; an empty list drops the event.", examples=[["archive"]])]


class Route(Options):
    """Send each event to the sinks of the first case that holds. Where a pipeline routes twice, the last route decides."""

    cases: Annotated[list[Case], Meta(min_length=1)]
    otherwise: Annotated[
        list[str], Meta(description="Sinks of the events that no case takes; an empty list drops them.")
    ]
