from __future__ import annotations

import gzip
import zlib
from collections import Counter
from typing import Any

import orjson
import pytest

from aetherstream.kpl import MAGIC, AggregatedRecord
from demo.broken import BOMB_BYTES, CARRIERS, KINDS
from demo.flights import flights
from demo.traffic import Expectation, Transmission, expectation, traffic


def events_of(sent: Transmission) -> list[Any]:
    if sent.kind in KINDS:
        return []
    data = gzip.decompress(sent.data) if sent.data[:2] == b"\x1f\x8b" else sent.data
    if sent.kind == "kpl":
        message = AggregatedRecord.FromString(data[len(MAGIC) : -16])
        return [orjson.loads(inner.data) for inner in message.records]
    if sent.kind == "array":
        return list(orjson.loads(data))
    return [orjson.loads(line) for line in data.splitlines()]


def test_two_runs_send_the_same_bytes() -> None:
    assert list(traffic(1_000)) == list(traffic(1_000))


@pytest.mark.parametrize("limit", [0, 1, 5, 199, 1_000, 20_000])
def test_what_is_sent_is_what_is_expected(limit: int) -> None:
    sent = list(traffic(limit))
    broken = Counter(one.kind for one in sent if one.kind in KINDS)
    assert Expectation(sum(one.events for one in sent), dict(broken)) == expectation(limit)


def test_every_event_is_sent_once_whole_or_beside_a_broken_one() -> None:
    sent = list(traffic(3_000))
    whole = Counter(orjson.dumps(event) for one in sent for event in events_of(one))
    beside = Counter(
        inner
        for one in sent
        if one.kind in CARRIERS
        for inner in [
            one.data.split(b"\n")[0]
            if one.kind == "ndjson_bad_line"
            else AggregatedRecord.FromString(one.data[len(MAGIC) : -16]).records[0].data
        ]
    )
    assert whole + beside == Counter(orjson.dumps(event) for event in flights(3_000))


def test_a_thousand_flights_have_every_broken_kind() -> None:
    assert expectation(1_000) == Expectation(1_000, dict.fromkeys(KINDS, 1))


def test_the_whole_year_has_each_kind_three_times() -> None:
    assert expectation() == Expectation(336_776, dict.fromkeys(KINDS, 3))
    assert expectation().user_records == 336_776 + 3 * len(KINDS)


def test_the_shares_of_the_ways_are_those_that_the_module_names() -> None:
    shares: Counter[str] = Counter()
    for one in traffic(20_000):
        shares[one.kind] += one.events
    assert {way: round(shares[way] / 200, 1) for way in ("kpl", "array", "gzip")} == {
        "kpl": 5.0,
        "array": 2.0,
        "gzip": 3.0,
    }
    assert round((shares["ndjson"] + shares["ndjson+gzip"]) / 200, 1) == 3.0


def test_the_records_of_an_aggregate_share_the_outer_key() -> None:
    aggregates = [one for one in traffic(2_000) if one.kind == "kpl"]
    tables = [list(AggregatedRecord.FromString(one.data[len(MAGIC) : -16]).partition_key_table) for one in aggregates]
    assert tables == [[one.partition_key] for one in aggregates]


def test_the_bomb_is_small_until_it_is_opened() -> None:
    bomb = KINDS["decompression_bomb"]({})
    assert len(bomb) < 80_000
    opened = zlib.decompressobj(wbits=31)
    assert sum(map(len, iter(lambda: opened.decompress(opened.unconsumed_tail or bomb, 1 << 20), b""))) == BOMB_BYTES


@pytest.mark.parametrize("kind", ["truncated_json", "not_json", "invalid_utf8", "deep_nesting"])
def test_what_is_no_json_does_not_parse(kind: str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(KINDS[kind](next(flights(1))))
