"""What a run of the emitter or the closer came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from aetherstream.errors import AetherStreamError, Rejected


class Refusal(NamedTuple):
    """A row that an outlet can never store."""

    outlet: str
    id: str
    why: Rejected


@dataclass(slots=True)
class Tally:
    """What became of the rows for one outlet."""

    sent: int = 0
    refused: int = 0
    failed: int = 0
    """Rows that come again."""


@dataclass(slots=True)
class Published:
    """What became of all rows of a run."""

    outlets: dict[str, Tally] = field(default_factory=dict)
    """By the outlet's name."""
    refusals: list[Refusal] = field(default_factory=list)
    """The first ones, for people; the states stay the truth."""


@dataclass(slots=True)
class Emission:
    """A batch of changes."""

    records: int = 0
    groups: int = 0
    """Groups whose states were read."""
    ranked: int = 0
    """Closed windows that were ranked again."""
    undeclared: int = 0
    """Groups of aggregates that are no longer declared so: nobody reads their results."""
    gone: int = 0
    """Groups whose states may have been removed since they changed, some time after closing."""
    unreadable: int = 0
    """Groups and rankings of which no results can be made: this version can't read a state, or a user's class fails."""
    oldest: float | None = None
    """When the first change was made, epoch seconds."""
    published: Published = field(default_factory=Published)
    error: AetherStreamError | None = None
    """Why the batch has to come again: the first cause."""
    unread: str = ""
    """Why: the first cause."""

    def fail(self, error: AetherStreamError) -> None:
        """Note why the batch has to come again."""
        self.error = self.error or error


@dataclass(slots=True)
class Closing:
    """A run of the closer."""

    watermark: float | None = None
    """Event time, epoch seconds; None: nothing may be closed yet."""
    held_by: tuple[str, ...] = ()
    """The shards that hold the watermark where it is."""
    folded: int = 0
    """Groups into which commits were folded that nobody had folded."""
    windows: int = 0
    """Windows that were closed."""
    sessions: int = 0
    """Sessions that were closed."""
    groups: int = 0
    """Groups whose final results went out."""
    given_up: int = 0
    """Windows with a ranking that could not be sent for as long as states are kept."""
    overdue: int = 0
    """Windows that are due and still open."""
    published: Published = field(default_factory=Published)
    troubles: list[AetherStreamError] = field(default_factory=list)
    """What hindered it; the next run goes on."""
