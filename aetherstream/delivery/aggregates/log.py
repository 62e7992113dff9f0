"""The redo log of one slot: what a commit adds to the aggregates, written before the commit and folded after it.

It stands inside the progress item where it is small, else in an object of its own, named by shard and epoch. The item
says which one is `pending`: the last commit's, whether or not it has been folded.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.partials import Partial, Partials, dump, load
from aetherstream.aggregates.serial import Reader, UnreadableState, Writer
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.pending import Pending
from aetherstream.delivery.reader import ObjectReader
from aetherstream.errors import ConfigurationError

MOST_INLINE = 4096
"""Up to so many bytes a log stands in the progress item.

It is written there twice, by completing and by the next claim. At a write unit for each KB these eight cost as much as
the put of an object (AWS, us-east-1, on demand: $0.625 a million write units, $5 a million puts).
"""
_WHAT = "a redo log of aggregates"


@dataclass(frozen=True, slots=True)
class Log:
    """What a log says."""

    epoch: int
    """Of the attempt or redrive that wrote it."""
    written: int
    """When, epoch seconds."""
    partials: Partials
    undeclared: tuple[tuple[str, Key], ...] = ()
    """Fingerprint and key of what belongs to aggregates that are not declared so here: by an earlier version, or by a
    later one. Without their accumulators nobody can merge it."""


class LogLost(ConfigurationError):
    """The object with a commit's log is gone."""


def write_log(aggregates: Mapping[str, Aggregate], partials: Mapping[Key, Partial], epoch: int, written: int) -> bytes:
    """Format 1: epoch and time; compressed (zlib): by aggregate and window, each group with its partial.

    The epoch makes the bytes of two attempts differ (`aetherstream.delivery.put`).
    """
    by_place: defaultdict[str, defaultdict[Window | None, list[Key]]] = defaultdict(lambda: defaultdict(list))
    for key in partials:
        by_place[key.aggregate][key.window].append(key)
    out = Writer(1).uint(len(by_place))
    for name, windows in by_place.items():
        aggregate = aggregates[name]
        out.text(name).text(aggregate.fingerprint).uint(len(windows))
        for window, keys in windows.items():
            out.uint(0 if window is None else 1)
            if window is not None:
                out.sint(int(window.start)).sint(int(window.end))
            out.uint(len(keys))
            for key in keys:
                out.text(key.group).blob(dump(aggregate, partials[key]))
    return Writer(1).uint(epoch).uint(written).blob(zlib.compress(out.done(), 1)).done()


def read_log(data: bytes, aggregates: Mapping[str, Aggregate]) -> Log:
    """Read a log.

    Raises:
        UnreadableState: a later version wrote it, or it is damaged.
    """
    outer = Reader(data, _WHAT)
    epoch, written, packed = outer.uint(), outer.uint(), outer.blob()
    outer.end()
    try:
        read = Reader(zlib.decompress(packed), _WHAT)
    except zlib.error as error:
        raise UnreadableState(f"{_WHAT} is damaged: {error}") from None
    partials: Partials = {}
    undeclared: list[tuple[str, Key]] = []
    for _ in range(read.uint()):
        name, fingerprint = read.text(), read.text()
        aggregate = aggregates.get(name)
        if aggregate is not None and aggregate.fingerprint != fingerprint:
            aggregate = None
        for _ in range(read.uint()):
            window = Window(read.sint(), read.sint()) if read.uint() else None
            for _ in range(read.uint()):
                group, partial = read.text(), read.blob()
                key = Key(name, window, group)
                if aggregate is None:
                    undeclared.append((fingerprint, key))
                else:
                    partials[key] = load(aggregate, partial)
    read.end()
    return Log(epoch, written, partials, tuple(undeclared))


def log_key(prefix: str, shard: str, epoch: int) -> str:
    """Name the object of a log: no two attempts or redrives of a shard have an epoch in common."""
    return f"{prefix}/{shard}/{epoch:012d}.log"


def get_log(reader: ObjectReader, pending: Pending) -> bytes:
    """The bytes of a log.

    Raises:
        LogLost: the object is gone.
        Retryable: S3 does not answer.
    """
    if pending.inline is not None:
        return pending.inline
    data = reader.get(pending.bucket, pending.key)
    if data is None:
        raise LogLost(
            f"s3://{pending.bucket}/{pending.key}, the redo log of commit {pending.commit}, is gone, and nobody knows "
            "whether it was folded: restore that version of the object; if there is none, rebuild the windows that are "
            "open from the archive"
        )
    return data
