"""What emitting and closing agree on: the row of a result, and what takes rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aetherstream.aggregates.windows import Window
from aetherstream.errors import Rejected


@dataclass(frozen=True, slots=True)
class Part:
    """A shard's share of a result, where Lambda keeps the state; `aetherstream.managed.combine` unites them."""

    shard: str
    part: str
    """Sequence number of the first record in it."""
    early: bool
    """The window went on after it: its state had grown too large."""
    state: str
    """The fingerprint of the aggregate and the merge state in base64, with a colon between."""


@dataclass(frozen=True, slots=True)
class Row:
    """One result: what a group has in a window or session now."""

    id: str
    """`aetherstream.aggregates.ids.result_id`; with a ranking `<aggregate>/<window>/rank-<n>`."""
    aggregate: str
    window: Window
    """Of the session, where the windows are sessions."""
    version: int
    """Grows with every change of the result: whoever has a greater one is right."""
    final: bool
    """Whether the window was closed when this was made; later changes make further rows that are final too."""
    group: Mapping[str, Any] = field(default_factory=dict)
    """The values of the group by the names of `group_by`."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The results by the names of the outputs."""
    removed: bool = False
    """The session of this id is no more: a late event united it with another. Only id, window and version count."""
    rank: int | None = None
    """1 for the first of a ranking."""
    part: Part | None = None
    """Where it is a shard's part of a result."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of rows; those that are not named are stored, or something newer is."""

    refused: Mapping[str, Rejected] = field(default_factory=dict)
    """By id: rows that can never be stored, and why."""


class Outlet(Protocol):
    """A place for the results of one aggregate: an index, a table, a prefix. Safe to use from one thread at a time."""

    @property
    def name(self) -> str:
        """`aggregates.<aggregate>.to.<sink>`, for logs and metrics."""

    @property
    def final_only(self) -> bool:
        """Whether only final rows are sent here: what is stored can't be replaced (S3)."""

    def send(self, rows: Sequence[Row], seconds_left: float, /) -> Sent:
        """Store rows by id, each unless a row of the same or a greater version is there. Twice is once.

        Raises Retryable where it may work later (some may be stored), ConfigurationError where a person has to act.
        """
