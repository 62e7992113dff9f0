from __future__ import annotations

import base64

import orjson
import pytest

from aetherstream.decode import Decoder
from aetherstream.records import KinesisRecords, Rejection
from demo.broken import CARRIERS, KINDS
from demo.flights import flights
from demo.traffic import traffic

# Decoded well, and refused by what the pipeline does with them.
LATER = {"wrong_type", "missing_field", "time_1970", "time_2100", "unknown_carrier"}


def decode(*payloads: bytes) -> tuple[int, list[Rejection]]:
    rejections: list[Rejection] = []
    texts = [base64.b64encode(payload).decode() for payload in payloads]
    numbers = [str(number) for number in range(len(payloads))]
    records = KinesisRecords("stream", "shardId-0", numbers, [0.0] * len(texts), [""] * len(texts), texts)
    return len(Decoder().decode(records, 0, len(texts), rejections)), rejections


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LATER])
def test_a_broken_record_is_one_rejection_and_its_neighbours_survive(kind: str) -> None:
    events, rejections = decode(KINDS[kind](next(flights(1))))
    assert (events, len(rejections)) == (int(kind in CARRIERS), 1), rejections


@pytest.mark.parametrize("kind", sorted(LATER))
def test_what_the_pipeline_refuses_is_decoded(kind: str) -> None:
    assert decode(KINDS[kind](next(flights(1)))) == (1, [])


def test_the_decoder_finds_in_the_traffic_what_was_put_into_it() -> None:
    events, rejections = decode(*(one.data for one in traffic(2_000)))
    assert (events, len(rejections)) == (2_000 + len(LATER), len(KINDS) - len(LATER))


def test_the_broken_kinds_have_different_reasons() -> None:
    reasons = {kind: decode(KINDS[kind](next(flights(1))))[1][0].reason for kind in KINDS if kind not in LATER}
    assert len(set(reasons.values())) >= 8, reasons


@pytest.mark.parametrize("kind", ["time_1970", "time_2100", "unknown_carrier"])
def test_a_cancelled_flight_is_sent_as_one_that_flew_so_that_no_filter_drops_it_first(kind: str) -> None:
    cancelled = next(flight for flight in flights(2_000) if flight["dep_time"] is None)
    sent = orjson.loads(KINDS[kind](cancelled))
    assert sent["dep_time"] == cancelled["sched_dep_time"] > 0
