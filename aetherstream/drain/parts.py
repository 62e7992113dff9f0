"""What a drain is given: the sinks that spill, and the stores, clock and threads that its runs share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from aetherstream.delivery.breaker_item import Rules
from aetherstream.delivery.progress import ProgressStore
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.drain.backlog import AT_ONCE
from aetherstream.objects import Target
from aetherstream.sinks.base import RecordSink

SLICE = 2000
"""Documents that are handed to the sink at once."""

SecondsLeft = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Spilling:
    """A per-record sink that spills in an outage."""

    sink: RecordSink
    target: Target
    """Where its spill is."""
    rules: Rules
    rate: int
    """Documents a second."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the runs of one pipeline share."""

    pipeline: str
    quarantine: Target
    store: ObjectStore
    reader: ObjectReader
    progress: ProgressStore | None
    clock: Callable[[], float]
    """Epoch seconds."""
    sleep: Callable[[float], None]
    executor: Executor
    """Reads and empties objects beside each other."""
    most: int = SLICE
    """Most documents that are handed to a sink at once."""
    at_once: int = AT_ONCE
    """Most objects of a listing that are remembered."""
