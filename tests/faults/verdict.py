"""What became of every record, told by the stream and the sinks alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from aetherstream.records import Event

EVERYTHING = ("lost", "doubled", "strayed", "altered", "unsent", "left")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Numbers of records. A position is a shard and a sequence number."""

    records: int
    """On the stream."""
    lost: int
    """Positions that are in no sink and not in the quarantine."""
    doubled: int
    """How often a position stands in a sink or the quarantine beyond the first time."""
    strayed: int
    """Found under a position that the stream does not have, or not where such a record belongs."""
    altered: int
    """Delivered with other content than what the stream has at that position."""
    unsent: int
    """Put by the application, told to be delivered, and not on the stream."""
    resent: int
    """On the stream again because a producer that got no answer sent them again: other positions, so other records."""
    left: int | None = None
    """Where `identity:` is set: events sent that do not stand exactly once when one line of each identity is kept."""

    @property
    def wrong(self) -> dict[str, int]:
        """What must not be, by name, where it is."""
        return {name: count for name in EVERYTHING if (count := getattr(self, name))}


def judge(
    sent: Iterable[bytes],
    stream: Mapping[str, bytes],
    archived: Iterable[Event],
    quarantined: Iterable[Event],
    *,
    identified: bool = False,
) -> Verdict:
    """Compare what was sent, what the stream holds by position, and what the sinks hold."""
    lines = list(archived)
    expected = Counter(
        f"{position}:0" if _is_good(data) else position  # the only event of its record, or the record's envelope
        for position, data in stream.items()
    )
    found = Counter(str(line["_event_id"]) for line in lines) + Counter(str(one["id"]) for one in quarantined)
    altered = sum(
        _content(line) != _content(orjson.loads(data))
        for line in lines
        if (data := stream.get(line["_event_id"].rpartition(":")[0])) is not None and _is_good(data)
    )
    held = set(stream.values())
    sent = set(sent)
    return Verdict(
        records=len(stream),
        lost=len(expected.keys() - found.keys()),
        doubled=sum(count - 1 for count in found.values()),
        strayed=len(found.keys() - expected.keys()),
        altered=altered,
        unsent=len(sent - held),
        resent=len(stream) - len(held),
        left=_left(sent, lines) if identified else None,
    )


def _left(sent: Iterable[bytes], lines: Iterable[Event]) -> int:
    wanted = Counter(_content(orjson.loads(data)) for data in sent if _is_good(data))
    kept = Counter(_content(line) for line in {line["_identity"]: line for line in lines}.values())
    return ((wanted - kept) + (kept - wanted)).total()


def _content(event: Event) -> bytes:
    """An event without what the pipeline added to it."""
    named = {name: value for name, value in event.items() if not name.startswith("_")}
    return orjson.dumps(named, option=orjson.OPT_SORT_KEYS)


def _is_good(data: bytes) -> bool:
    return data.startswith(b"{") and b'"do":"kill"' not in data
