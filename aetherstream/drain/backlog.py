"""What waits below a spill's prefix, as a listing tells it: streamed, so that its size does not matter."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from aetherstream import objects
from aetherstream.delivery.reader import Listed, ObjectReader
from aetherstream.objects import EMPTY, Name, Target

AT_ONCE = 20_000
"""Objects that are remembered of a listing, the oldest: some 6 MB."""

NAMED = 20
"""Foreign objects that are named; all are counted."""


@dataclass(slots=True)
class Backlog:
    """What a listing found."""

    objects: int = 0
    """Objects that are not empty; foreign ones are not counted."""
    bytes: int = 0
    """Compressed."""
    oldest: float | None = None
    """When the oldest was written, epoch seconds."""
    newest: Listed | None = None
    first: list[Listed] = field(default_factory=list)
    """The oldest of those that were not passed over, at most `AT_ONCE`."""
    foreign: list[str] = field(default_factory=list)
    """Keys of objects whose names the engine does not give, at most `NAMED`."""
    foreigners: int = 0


def look(reader: ObjectReader, target: Target, passed_over: Collection[str] = (), most: int = AT_ONCE) -> Backlog:
    """List a spill. Raises like `ObjectReader.list`.

    `passed_over`: keys that are counted and not given again in `first`; `most`: how many `first` holds, at least 1.
    """
    backlog = Backlog()
    candidates = (each for each in _counted(reader, target, backlog) if each.key not in passed_over)
    backlog.first = heapq.nsmallest(most, candidates, key=lambda each: (each.modified, each.key))
    return backlog


def _counted(reader: ObjectReader, target: Target, backlog: Backlog) -> Iterator[Listed]:
    for listed in reader.list(target.bucket, f"{target.prefix}/"):
        if listed.size <= EMPTY:
            continue
        if name_of(target, listed.key) is None:
            backlog.foreigners += 1
            if len(backlog.foreign) < NAMED:
                backlog.foreign.append(listed.key)
            continue
        backlog.objects += 1
        backlog.bytes += listed.size
        if backlog.oldest is None or listed.modified < backlog.oldest:
            backlog.oldest = listed.modified
        if backlog.newest is None or (listed.modified, listed.key) > (backlog.newest.modified, backlog.newest.key):
            backlog.newest = listed
        yield listed


def name_of(target: Target, key: str) -> Name | None:
    """Read a key; None where the engine gives no such name: spills are not redriven."""
    found = objects.name_of(target, key)
    is_ours = found is not None and found.suffix == target.suffix and not found.position.startswith("redrive-")
    return found if is_ours else None
