"""What a pipeline declares beside the aggregate itself: what becomes of late events, and which results go out when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from .aggregate import Aggregate

OnLate = Literal["drop", "quarantine", "correct"]
"""What becomes of an event whose windows are closed: counted only; counted and kept in the quarantine; folded."""
Emit = Literal["updates", "close"]
Store = Literal["dynamodb", "lambda"]


class Ranking(NamedTuple):
    """At close, only the first groups of a window by one of their outputs go out."""

    by: str
    """Name of the output."""
    most: int
    ascending: bool = False


@dataclass(frozen=True)
class Declaration:
    """An aggregate of a pipeline."""

    aggregate: Aggregate
    on_late: OnLate = "drop"
    emit: Emit = "updates"
    """`updates`: whenever a group changes, and at close; `close`: when its window is closed, and on later changes."""
    ranking: Ranking | None = None
    """Only with `emit: close` and windows that are no sessions."""
    store: Store = "dynamodb"
    """`lambda`: in the state that Lambda keeps for tumbling windows over arrival times, one shard for itself."""

    @property
    def name(self) -> str:
        """Name of the aggregate."""
        return self.aggregate.name
