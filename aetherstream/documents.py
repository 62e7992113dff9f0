"""The events of a batch as documents for the per-record sinks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from aetherstream.core import Prepared
from aetherstream.sinks.base import Documents


def members_of(prepared: Prepared, sink: str) -> Sequence[int]:
    """Indices of the events that go to a per-record sink, ascending."""
    groups = prepared.groups.get(sink)
    if groups is None:
        return prepared.events.routed(sink)
    if len(groups) == 1:
        return next(iter(groups.values()))
    return sorted(chain.from_iterable(groups.values()))


def documents_of(prepared: Prepared, sink: str, indices: Sequence[int]) -> Documents:
    """Make the documents of the events at `indices` (ascending).

    Of several events with one identity the first is the document: a sink that creates documents keeps the first of
    two batches as well.
    """
    events = prepared.events
    groups: Mapping[str, Sequence[int]] = prepared.groups.get(sink) or {"": ()}
    keys, bounds = events.keys, events.bounds
    ids = [keys[index] for index in indices]
    if len(set(ids)) < len(ids):
        firsts = dict(zip(reversed(ids), reversed(indices), strict=True))
        indices = sorted(firsts.values())
        ids = [keys[index] for index in indices]
    if len(groups) == 1:
        places = list(groups) * len(indices)
    else:
        place_of = {index: place for place, members in groups.items() for index in members}
        places = [place_of[index] for index in indices]
    with memoryview(events.buffer) as view:
        bodies = [bytes(view[bounds[index] : bounds[index + 1] - 1]) for index in indices]
    return Documents(ids, places, bodies)
