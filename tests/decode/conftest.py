from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from aetherstream.decode import Decoder, read_batch
from aetherstream.records import Event, Rejection
from aetherstream.testing.events import Payload, kinesis_event


class Decoded(NamedTuple):
    """What a decoder made of some payloads, each the data of one Kinesis record."""

    events: list[tuple[int, int, Event]]
    rejected: list[tuple[int, int | None, str, bytes | None]]
    seen: int
    rejections: list[Rejection]


Decode = Callable[..., Decoded]


@pytest.fixture(scope="session")
def decode() -> Decode:
    def run(*payloads: Payload, decoder: Decoder | None = None, texts: Sequence[str] | None = None) -> Decoded:
        decoder = decoder or Decoder()
        records = read_batch(kinesis_event(payloads))
        if texts is not None:
            records.data[:] = texts
        rejections: list[Rejection] = []
        events = decoder.decode(records, 0, len(records), rejections)
        return Decoded(
            list(zip(events.records, events.subs, events.values, strict=True)),
            [(r.record, r.sub, r.reason, r.payload) for r in rejections],
            decoder.seen,
            rejections,
        )

    return run
