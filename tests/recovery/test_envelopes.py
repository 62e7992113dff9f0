"""Quarantined records are read back as they were written, and made into units with their positions."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest

from aetherstream.quarantine import Quarantine
from aetherstream.records import Rejection
from aetherstream.recovery.envelopes import Envelope, UnusableEnvelope, envelopes_of, grouped, parse, units_of
from aetherstream.testing.builders import SHARD, START, STREAM, kinesis_records

BATCH = kinesis_records([{"a": 1}, [{"b": 1}, {"b": 2}], "{no json"])
KEY = "quarantine/day=2025-11-21/x.ndjson.gz"


def written(*rejections: Rejection) -> bytes:
    return Quarantine(bucket="data", prefix="quarantine", pipeline="p").encode(rejections, BATCH, "v1", 7)


def read(body: bytes, pipeline: str = "p") -> list[Envelope | UnusableEnvelope]:
    return list(envelopes_of("s3://data/x", KEY, body, pipeline))


def envelope(rejection: Rejection) -> Envelope:
    [found] = read(written(rejection))
    assert isinstance(found, Envelope)
    return found


WHOLE = envelope(Rejection(2, None, "decode", "decode", "not JSON", "at 1"))
FIRST = envelope(Rejection(0, 0, "transform", "transforms[0]", "no", "no such carrier"))
PART = envelope(Rejection(1, 1, "transform", "transforms[0]", "no", "no such carrier", payload=b'{"b":2}'))


def test_what_the_engine_wrote_is_read_back() -> None:
    expected = Envelope(
        id=f"{SHARD}:110:1",
        fingerprint=FIRST.fingerprint,
        stage="transform",
        where="transforms[0]",
        reason="no",
        message="no such carrier",
        pipeline="p",
        version="v1",
        stream=STREAM,
        shard=SHARD,
        sequence="110",
        sub=1,
        partition_key="key-1",
        arrival="2025-11-21T08:00:01.000+00:00",
        data=base64.b64encode(b'{"b":2}').decode(),
        alone=True,
    )
    assert expected == PART
    assert (WHOLE.id, WHOLE.sub, WHOLE.payload()) == (f"{SHARD}:120", None, b"{no json")


def test_an_envelope_has_the_bytes_that_are_not_base64_as_they_came() -> None:
    assert replace(WHOLE, data="%%%").payload() == b"%%%"


def test_an_empty_object_holds_nothing() -> None:
    assert read(written()) == []


def test_an_object_that_is_cut_off_is_named() -> None:
    [found] = read(written(Rejection(0, 0, "decode", "decode", "x", "x"))[:-12])
    assert isinstance(found, UnusableEnvelope)
    assert found.message.startswith("s3://data/x: can't be decompressed, perhaps half-written")


def line(**changes: Any) -> bytes:
    return orjson.dumps({**PART.as_json(), **changes})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not JSON"),
        (b"[]", "no envelope"),
        (b'{"id": "x"}', "no envelope"),
        (line(sub=-1), "no envelope"),
        (line(sub="1"), "no envelope"),
        (line(alone="yes"), "no envelope"),
        (line(data=None), "no envelope"),
        (line(pipeline="q"), "another pipeline"),
        (line(id="shard:1:1"), "changed"),
        (line(sub=2), "changed"),
        (line(sequence="x", id=f"{SHARD}:x:1"), "changed"),
        (line(reason="another"), "changed"),
        (line(fingerprint="0" * 12), "changed"),
        (line(arrival="yesterday"), "changed"),
    ],
)
def test_a_line_that_the_engine_did_not_write_so_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(UnusableEnvelope) as raised:
        parse("x line 1", text, "p")
    assert (raised.value.reason, raised.value.message.startswith("x line 1: ")) == (reason, True)


def test_a_bad_line_leaves_its_neighbours_readable() -> None:
    import gzip

    body = gzip.compress(line() + b"\n{\n" + orjson.dumps(WHOLE.as_json()) + b"\n")
    found = read(body)
    assert (found[0], found[2]) == (PART, WHOLE)
    assert isinstance(found[1], UnusableEnvelope)


def test_a_unit_has_each_record_once_in_the_order_of_the_stream() -> None:
    [unit] = units_of([WHOLE, PART, FIRST, PART])
    assert unit.ids() == [FIRST.id, PART.id, WHOLE.id]
    assert unit.subs == [0, 1, None]
    assert unit.records.sequences == ["100", "110", "120"]
    assert unit.records.arrivals == [START, START + 1, START + 2]
    assert unit.records.data == [FIRST.data, PART.data, WHOLE.data]
    assert (unit.records.stream, unit.records.shard) == (STREAM, SHARD)


def test_sequence_numbers_are_ordered_as_numbers() -> None:
    nine = replace(FIRST, sequence="9", id=f"{SHARD}:9:0")
    [unit] = units_of([FIRST, nine])
    assert unit.records.sequences == ["9", "100"]


def test_a_part_comes_with_its_whole_where_both_are_chosen() -> None:
    whole = replace(PART, sub=None, id=f"{SHARD}:110", data=BATCH.data[1])
    [unit] = units_of([PART, whole])
    assert (unit.ids(), unit.subs) == ([whole.id], [None])


def test_there_is_a_unit_for_each_shard() -> None:
    other = replace(FIRST, shard="shardId-000000000001", id="shardId-000000000001:100:0")
    assert [unit.ids() for unit in units_of([other, FIRST])] == [[FIRST.id], [other.id]]


def test_patched_bytes_take_the_place_of_the_records_own() -> None:
    [unit] = units_of([FIRST, PART], {PART.id: b"{}"})
    assert unit.records.data == [FIRST.data, "e30="]


def test_a_part_of_a_unit_keeps_its_positions() -> None:
    [unit] = units_of([FIRST, PART, WHOLE])
    assert unit.part(1, 3).ids() == [PART.id, WHOLE.id]


def test_groups_count_by_cause_and_state_and_show_the_earliest() -> None:
    early = replace(PART, arrival="2025-01-01T00:00:00.000+00:00", message="the first")
    groups = grouped([(FIRST, "waiting"), (early, "replayed"), (WHOLE, "discarded")])
    assert [group.as_json() for group in groups.values()] == [
        {
            "fingerprint": FIRST.fingerprint,
            "stage": "transform",
            "where": "transforms[0]",
            "reason": "no",
            "waiting": 1,
            "replayed": 1,
            "discarded": 0,
            "first": "2025-01-01T00:00:00.000+00:00",
            "last": FIRST.arrival,
            "example": {"id": early.id, "message": "the first"},
        },
        {
            "fingerprint": WHOLE.fingerprint,
            "stage": "decode",
            "where": "decode",
            "reason": "not JSON",
            "waiting": 0,
            "replayed": 0,
            "discarded": 1,
            "first": WHOLE.arrival,
            "last": WHOLE.arrival,
            "example": {"id": WHOLE.id, "message": "at 1"},
        },
    ]
