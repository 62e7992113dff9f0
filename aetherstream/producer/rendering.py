"""What `tail` prints for the records of a batch: a JSON value each."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from aetherstream.decode import Decoder
from aetherstream.records import KinesisRecords, Position, Rejection


def undecoded(batch: KinesisRecords) -> Iterator[dict[str, Any]]:
    """Each Kinesis record as it is."""
    for number, data in enumerate(batch.data):
        yield {**_where(batch, number, 0), "data": data}


def decoded(batch: KinesisRecords, *, positions: bool) -> Iterator[dict[str, Any]]:
    """Each event, and in its place in the stream whatever can't be decoded, with the reason."""
    rejections: list[Rejection] = []
    events = Decoder().decode(batch, 0, len(batch), rejections)
    lines: list[tuple[int, int, dict[str, Any]]] = []
    for number, sub, event in zip(events.records, events.subs, events.values, strict=True):
        lines.append((number, sub, {**_where(batch, number, sub), "event": event} if positions else event))
    for rejection in rejections:
        sub = rejection.sub or 0
        payload = rejection.payload if rejection.payload is not None else base64.b64decode(batch.data[rejection.record])
        line = {
            **_where(batch, rejection.record, sub),
            "rejected": rejection.reason,
            "message": rejection.message,
            "data": base64.b64encode(payload).decode(),
        }
        lines.append((rejection.record, sub, line))
    lines.sort(key=lambda line: line[:2])
    for _, _, line in lines:
        yield line


def _where(batch: KinesisRecords, number: int, sub: int) -> dict[str, Any]:
    arrival = datetime.fromtimestamp(batch.arrivals[number], UTC)
    return {
        "position": str(Position(batch.shard, batch.sequences[number], sub)),
        "arrival": arrival.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "partition_key": batch.keys[number],
    }
