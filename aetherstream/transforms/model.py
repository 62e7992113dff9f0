"""One step of a pipeline as it stands in the file: a mapping with exactly one key, the kind of the step."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from .fields import Drop, Flatten, Rename, Select
from .flow import Filter, Route, Split
from .lookup import Lookup
from .options import Options
from .privacy import Hash, Mask
from .python import Call, Reference
from .values import Cast, ParseTime, Set


class Step(Options, frozen=True):
    """One step; exactly one of these keys."""

    select: Select | UnsetType = UNSET
    drop: Drop | UnsetType = UNSET
    rename: Rename | UnsetType = UNSET
    set: Set | UnsetType = UNSET
    cast: Cast | UnsetType = UNSET
    flatten: Flatten | UnsetType = UNSET
    parse_time: ParseTime | UnsetType = UNSET
    filter: Filter | UnsetType = UNSET
    split: Split | UnsetType = UNSET
    mask: Mask | UnsetType = UNSET
    hash: Hash | UnsetType = UNSET
    lookup: Lookup | UnsetType = UNSET
    route: Route | UnsetType = UNSET
    python: Annotated[Reference | Call | UnsetType, Meta(description="Call a Python function.")] = UNSET

    def __post_init__(self) -> None:
        """Refuse a step with no kind or several.

        Raises:
            ValueError: msgspec turns it into its `ValidationError` with the path.
        """
        kinds = self.kinds()
        if len(kinds) != 1:
            said = f"this one has {' and '.join(kinds)}" if kinds else "this one is empty"
            raise ValueError(f"a step has exactly one of {', '.join(self.__struct_fields__)}; {said}")

    def kinds(self) -> list[str]:
        """Return the names of the keys that are set."""
        return [name for name in self.__struct_fields__ if getattr(self, name) is not UNSET]

    @property
    def kind(self) -> str:
        """The one key that is set, for example `cast`."""
        return self.kinds()[0]

    @property
    def options(self) -> object:
        """What stands under the key."""
        return getattr(self, self.kind)


Steps = Annotated[
    list[Annotated[Step, Meta(extra_json_schema={"minProperties": 1, "maxProperties": 1})]],
    Meta(description="Steps, done in this order."),
]
"""The type of the `transforms` section."""
