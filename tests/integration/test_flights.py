"""The data set through the application as sam deployed it: every record accounted for, once."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from aetherstream.local.stack import Stack
from aetherstream.producer import Producer
from demo.closing import close_windows
from demo.findings import Findings, collect
from demo.flights import flights
from demo.report import as_json
from demo.traffic import expectation, traffic
from tests.integration.ground import Ground, Written, ground_deployed

pytestmark = pytest.mark.integration

FLIGHTS = 30_000
BROKEN = {
    "decode: KPL aggregate: checksum mismatch": 1,
    "decode: KPL aggregate: index out of range": 1,
    "decode: empty record": 1,
    "decode: expands too far": 1,
    "decode: gzip: truncated": 1,
    "decode: nested too deep": 1,
    "decode: not JSON": 3,
    "decode: not UTF-8": 1,
    "decode: not an object": 1,
    "event_time: event time after its bound": 1,
    "event_time: event time before its bound": 1,
    "transform: unknown carrier": 1,
    "validate: distance is of the wrong type": 1,
    "validate: origin is missing": 1,
}
"""Quarantined records by stage and reason: every kind of demo.broken once."""


@pytest.fixture(scope="module")
def ground(stack: Stack) -> Ground:
    return ground_deployed(stack.clients, "flights", stack.outputs)


@pytest.fixture(scope="module")
def findings(stack: Stack) -> Findings:
    """What the demo finds after the flights have gone through."""
    stack.start_polling()
    with Producer(stack.outputs["StreamName"], client=stack.clients.kinesis) as producer:
        for transmission in traffic(FLIGHTS):
            producer.put(transmission.data, transmission.partition_key)
    stack.drain(120)
    close_windows(stack, 120)
    stack.stop_polling()
    return collect(stack, expectation(FLIGHTS), 1.0)


@pytest.fixture(scope="module")
def objects(ground: Ground, findings: Findings) -> list[Written]:
    return ground.objects("archive")


def test_every_record_is_delivered_quarantined_or_dropped_once(findings: Findings) -> None:
    cancelled = sum(event["dep_time"] is None for event in flights(FLIGHTS))
    counters = findings.counters
    assert (counters["passed"], counters["dropped"], counters["quarantined"]) == (
        FLIGHTS - cancelled,
        cancelled,
        sum(findings.expected.broken.values()),
    )
    assert counters["records"] == findings.records_in
    assert (counters["archive.events"], counters["archive.delivered"]) == (counters["passed"], counters["passed"])
    assert (findings.lines, findings.distinct) == (counters["passed"], counters["passed"])
    assert (findings.dead_letters, findings.unfinished) == (0, 0)


def test_the_aggregates_are_what_duckdb_computes_from_the_file(findings: Findings) -> None:
    assert findings.aggregated is not None
    assert [text for text, holds in findings.aggregated.checks().items() if not holds] == []


def test_what_is_delivered_is_what_was_sent(findings: Findings, ground: Ground) -> None:
    sent = Counter(
        (event["time_hour"], event["carrier"], event["flight"], event["origin"], event["dest"], event["dep_time"])
        for event in flights(FLIGHTS)
        if event["dep_time"] is not None
    )
    came = Counter(
        (line["time_hour"], line["carrier"], line["flight"], line["origin"], line["destination"], line["dep_time"])
        for line in ground.archived()
    )
    assert came == sent


def test_each_broken_record_is_quarantined_by_the_stage_that_refuses_it(findings: Findings, ground: Ground) -> None:
    envelopes = ground.quarantined()
    assert Counter(f"{envelope['stage']}: {envelope['reason']}" for envelope in envelopes) == BROKEN
    assert len({envelope["id"] for envelope in envelopes}) == len(envelopes)
    assert [envelope["reason"] for envelope in envelopes if not envelope["data"]] == ["empty record"]


def test_the_objects_stand_under_the_day_of_their_events(objects: list[Written]) -> None:
    for written in objects:
        days = {f"day={event['time_hour'][:10]}" for event in written.events}
        assert days == {written.partition}, written.key


def test_the_metadata_of_an_object_says_what_is_in_it(objects: list[Written], ground: Ground) -> None:
    (version,) = {written.metadata["aether-version"] for written in objects}
    assert re.fullmatch("[0-9a-f]{12}", version)
    epochs = {shard: item.epoch for shard, item in ground.progress().items()}
    for written in objects:
        events = written.events
        shard = events[0]["_event_id"].partition(":")[0]
        said = {name: written.metadata[f"aether-{name}"] for name in ("count", "first", "last")}
        assert said == {
            "count": f"{len(events)}",
            "first": events[0]["_event_id"],
            "last": events[-1]["_event_id"],
        }
        epoch = int(written.metadata["aether-epoch"])
        assert 1 <= epoch <= epochs[shard]
        # gzip's MTIME: four bytes from the fifth on, the lowest first.
        assert int.from_bytes(written.body[4:8], "little") == epoch


def test_the_report_has_the_shape_that_programs_rely_on(findings: Findings) -> None:
    report: dict[str, Any] = as_json(findings)
    assert report["balanced"] is True
    assert {name: type(report[name]) for name in sorted(report)} == {
        "balanced": bool,
        "bytes": int,
        "checks": dict,
        "dead_letters": int,
        "delivered": dict,
        "dropped": int,
        "objects": int,
        "quarantine_reasons": dict,
        "quarantined": dict,
        "records_in": int,
        "records_per_second": int,
        "seconds": float,
        "settled": int,
    }
