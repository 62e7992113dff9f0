"""Partials: the states of one group and window. Merged in any order, written as bytes, turned into results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .aggregate import Aggregate, Key
from .serial import Reader, Writer
from .sessions import Accs, Sessions, SessionState
from .sessions import merged as merged_sessions

Partial = Accs | Sessions
"""Sessions where the aggregate's windows are sessions, else the states of its outputs."""
Partials = dict[Key, Partial]


def merge_states(aggregate: Aggregate, a: Accs, b: Accs) -> Accs:
    """Merge the states of each output."""
    return tuple(
        [output.accumulator.merge(left, right) for output, left, right in zip(aggregate.outputs, a, b, strict=True)]
    )


def merge(aggregate: Aggregate, a: Partial, b: Partial) -> Partial:
    """Merge two partials of one key; neither is changed."""
    if aggregate.gap is None:
        return merge_states(aggregate, a, b)
    return merged_sessions(a, b, aggregate.gap, lambda left, right: merge_states(aggregate, left, right))


def merge_all(aggregates: Mapping[str, Aggregate], parts: Iterable[Mapping[Key, Partial]]) -> Partials:
    """Merge the partials of batches, shards or both."""
    out: Partials = {}
    for part in parts:
        for key, partial in part.items():
            before = out.get(key)
            out[key] = partial if before is None else merge(aggregates[key.aggregate], before, partial)
    return out


def dump(aggregate: Aggregate, partial: Partial) -> bytes:
    """Write a partial: format 1, how many sessions (0: fixed windows), and each state with its length."""
    out = Writer(1)
    if aggregate.gap is None:
        _put_states(out.uint(0), aggregate, partial)
    else:
        out.uint(len(partial))
        for session in partial:
            _put_states(out.double(session.first).double(session.last), aggregate, session.accs)
    return out.done()


def load(aggregate: Aggregate, data: bytes) -> Partial:
    """Read a partial.

    Raises:
        UnreadableState: a later version wrote it, the aggregate was declared otherwise (see `Aggregate.fingerprint`),
            or it is damaged.
    """
    read = Reader(data, f"aggregate {aggregate.name}")
    count = read.uint()
    if (count == 0) != (aggregate.gap is None):
        raise read.damaged()
    found: Partial = (
        _states(read, aggregate)
        if aggregate.gap is None
        else tuple(SessionState(read.double(), read.double(), _states(read, aggregate)) for _ in range(count))
    )
    read.end()
    return found


def results(aggregate: Aggregate, accs: Accs) -> dict[str, Any]:
    """Give the result of each output, by name."""
    return {output.name: output.accumulator.result(acc) for output, acc in zip(aggregate.outputs, accs, strict=True)}


def max_bytes(aggregate: Aggregate) -> int:
    """Most bytes of a partial; where windows are sessions, of one session."""
    return 12 + 16 + sum(output.accumulator.max_bytes + 3 for output in aggregate.outputs)


def _put_states(out: Writer, aggregate: Aggregate, accs: Accs) -> None:
    for output, acc in zip(aggregate.outputs, accs, strict=True):
        out.blob(output.accumulator.dump(acc))


def _states(read: Reader, aggregate: Aggregate) -> Accs:
    return tuple(output.accumulator.load(read.blob()) for output in aggregate.outputs)
