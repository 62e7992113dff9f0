"""The contracts between the engine and the sinks.

Two kinds: *per-object* sinks (S3 archive, staging, quarantine) write objects of many events under keys that follow from
the events; *per-record* sinks (OpenSearch, DynamoDB) write each event under its own id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aetherstream.errors import Rejected
from aetherstream.objects import Target
from aetherstream.records import Events


class ObjectSink(Protocol):
    """A per-object sink: pure, the engine does the writing.

    Obligations: `partition` depends on the events alone (never on a clock or on what else is in the batch), so that a
    retry puts an event into the partition where an earlier attempt put it; nothing handed in is changed.
    """

    @property
    def name(self) -> str:
        """Name of the sink in the pipeline file."""

    @property
    def target(self) -> Target:
        """Where its objects go."""

    @property
    def max_partitions(self) -> int:
        """How many partitions one batch may open; past it the batch's prefix ends."""

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:
        """Group the events at `indices` (ascending) by partition path; and say which can't be placed, and why."""

    def encode(self, lines: bytes, epoch: int, /) -> bytes:
        """Make the bytes of an object that holds `lines` (NDJSON, one event a line); the epoch stands in them."""


@dataclass(slots=True)
class Outcome:
    """What became of the documents handed to a per-record sink; what is in neither field was delivered."""

    rejected: dict[str, Rejected] = field(default_factory=dict)
    """By event id: these can never be stored."""
    undelivered: dict[str, str] = field(default_factory=dict)
    """By event id: these may work later, with the reason."""


class RecordSink(Protocol):
    """A per-record sink.

    Obligations: writing a document twice under its id leaves one document; every item of every answer is inspected; a
    failure of the whole request marks all its documents undelivered instead of raising; documents are not changed; the
    call returns before `seconds` have passed and leaves no request behind.
    """

    @property
    def name(self) -> str:
        """Name of the sink in the pipeline file."""

    def deliver(self, documents: Mapping[str, bytes], seconds: float, /) -> Outcome:
        """Write each document (JSON) under its id (the event id, or the data's own identity)."""
