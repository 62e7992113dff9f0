"""The contracts between the engine and the sinks.

Two kinds: *per-object* sinks (S3 archive, staging, quarantine) write objects of many events under keys that follow from
the events; *per-record* sinks (OpenSearch, DynamoDB) write each event under its own id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aetherstream.errors import Rejected
from aetherstream.objects import Target
from aetherstream.records import Event, Events


class Placement(Protocol):
    """Says where in a sink an event goes: the partition of an object, the index of a document. Pure.

    Obligations: `partition` depends on the events alone (never on a clock or on what else is in the batch), so that a
    retry puts an event where an earlier attempt put it; nothing handed in is changed.
    """

    @property
    def name(self) -> str:
        """Name of the sink in the pipeline file."""

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:
        """Group the events at `indices` (ascending) by place; and say which can't be placed, and why."""


Rewrite = Callable[[Sequence[Event]], bytes]
"""From events with their `_event_id` to one line of JSON each, in their order. Changes nothing that is handed in."""


class ObjectSink(Placement, Protocol):
    """A per-object sink: pure, the engine does the writing."""

    @property
    def target(self) -> Target:
        """Where its objects go."""

    @property
    def max_partitions(self) -> int:
        """How many partitions one batch may open; past it the batch's prefix ends."""

    @property
    def rewrite(self) -> Rewrite | None:
        """What writes the sink's own lines, of events that `partition` took; None: it stores those that all share."""

    def encode(self, lines: bytes, epoch: int, /) -> bytes:
        """Make the bytes of an object that holds `lines` (NDJSON, one event a line); the epoch stands in them."""


@dataclass(slots=True)
class Documents:
    """Documents for a per-record sink, by column; the i-th entries of all columns belong together."""

    ids: list[str] = field(default_factory=list)
    """Each once: the event id, or the data's own identity."""
    places: list[str] = field(default_factory=list)
    """What the sink's placement gave each: of OpenSearch, the index."""
    bodies: list[bytes] = field(default_factory=list)
    """JSON objects."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Answer:
    """One request to a sink: how many documents it carried, and how many the sink could not take now."""

    documents: int
    failed: int
    why: str = ""
    refused: bool = False
    """Whether the sink refused the request as a whole for a cause that no retry changes: credentials, rights."""


@dataclass(slots=True)
class Outcome:
    """What became of the documents handed to a per-record sink; what is in neither field was delivered."""

    rejected: dict[str, Rejected] = field(default_factory=dict)
    """By id: these can never be stored."""
    undelivered: dict[str, str] = field(default_factory=dict)
    """By id: these may work later, with the reason."""
    answers: list[Answer] = field(default_factory=list)
    """One for each request, in their order: what a circuit breaker judges by."""


class RecordSink(Protocol):
    """A per-record sink.

    Obligations: writing a document twice under its id leaves one document; every item of every answer is inspected; a
    failure of the whole request marks all its documents undelivered instead of raising; documents are not changed; the
    call returns before `seconds` have passed and leaves no request behind.
    """

    @property
    def name(self) -> str:
        """Name of the sink in the pipeline file."""

    def deliver(self, documents: Documents, seconds: float, /) -> Outcome:
        """Write each document under its id, in its place."""
