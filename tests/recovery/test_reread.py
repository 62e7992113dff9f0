"""The records of a dead letter without payload are read from the stream: all that it still has of the range."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from aetherstream.recovery.dead_letters import DeadLetter, parse
from aetherstream.recovery.reread import reread
from aetherstream.recovery.stream import StreamReader
from aetherstream.testing.events import SHARD, STREAM, kinesis_event
from aetherstream.testing.kinesis import FakeKinesis, StoredRecord
from tests.recovery.letters import letter_of

EVENT = kinesis_event([{"n": n} for n in range(4)])
FIRST = datetime(2026, 11, 21, 7, 0, 0, 250_000, UTC)
"""Arrival of the letter's first record."""


@pytest.fixture
def letter() -> DeadLetter:
    return parse("p", json.dumps(letter_of(EVENT, payload=False)).encode())


def stream(*sequences: str, late: float = 0.0) -> FakeKinesis:
    """A stream that holds these records."""
    kinesis = FakeKinesis(stream=STREAM.rpartition("/")[2])
    kinesis.shards[SHARD].records = [
        StoredRecord(sequence, f"record {sequence}".encode(), "k", None, FIRST + timedelta(seconds=late))
        for sequence in sequences
    ]
    return kinesis


def read(kinesis: FakeKinesis, letter: DeadLetter) -> list[tuple[str, bytes]]:
    found = reread(StreamReader(kinesis, STREAM, sleep=lambda _: None), letter)
    assert (found.stream, found.shard) == (STREAM, SHARD)
    return [(s, base64.b64decode(d)) for s, d in zip(found.sequences, found.data, strict=True)]


def of_range() -> list[str]:
    return [record["kinesis"]["sequenceNumber"] for record in EVENT["Records"]]


def test_all_records_of_the_range_are_read_and_no_others(letter: DeadLetter) -> None:
    inside = of_range()
    kinesis = stream(str(int(inside[0]) - 1), *inside, str(int(inside[-1]) + 1))
    assert read(kinesis, letter) == [(sequence, f"record {sequence}".encode()) for sequence in inside]


def test_records_whose_retention_is_over_are_missing(letter: DeadLetter) -> None:
    inside = of_range()
    assert [sequence for sequence, _ in read(stream(*inside[2:]), letter)] == inside[2:]


def test_records_that_arrived_a_little_apart_from_what_the_letter_says_are_read_too(letter: DeadLetter) -> None:
    assert len(read(stream(*of_range(), late=-30), letter)) == 4


def test_a_shard_that_is_gone_has_nothing(letter: DeadLetter) -> None:
    kinesis = stream(*of_range())
    kinesis.shards["shardId-000000000007"] = kinesis.shards.pop(SHARD)
    assert read(kinesis, letter) == []
