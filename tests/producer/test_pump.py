from __future__ import annotations

import gzip
from collections.abc import Iterable
from random import Random

import pytest

from aetherstream.producer import Limits, Producer, Timing
from aetherstream.producer.pump import Pace, Result, pump
from aetherstream.producer.source import BadLine, Line
from aetherstream.testing.kinesis import Fail, FakeKinesis, client_error

LINES = [Line(1, {"id": "a"}, b'{"id":"a"}'), Line(2, {"id": "b"}, b'{"id":"b"}')]


def run(
    kinesis: FakeKinesis, lines: Iterable[Line | BadLine], *, key: str | None = "id", compress: bool = False
) -> tuple[Result, list[str]]:
    said: list[str] = []
    limits = Limits(record_bytes=50, aggregate_bytes=50)
    result = pump(
        Producer("events", client=kinesis, timing=Timing(linger=0.0, backoff=0.0), limits=limits),
        lines,
        key_field=key,
        compress=compress,
        pace=Pace(None, lambda: 0.0, lambda _: None),
        random=Random(1),
        complain=lambda line, reason: said.append(f"{line}: {reason}"),
        tick=lambda _: None,
        clock=iter([1.0, 3.0]).__next__,
    )
    return result, said


def test_every_line_is_put_under_the_key_of_its_field() -> None:
    kinesis = FakeKinesis()
    result, said = run(kinesis, LINES)
    assert [(record.partition_key, record.data) for _, record in kinesis.stored()] == [
        ("a", b'{"id":"a"}'),
        ("b", b'{"id":"b"}'),
    ]
    assert (result.read, result.bad, result.stopped, said) == (2, 0, None, [])


def test_without_a_field_keys_are_random() -> None:
    kinesis = FakeKinesis()
    run(kinesis, LINES, key=None)
    assert len({record.partition_key for _, record in kinesis.stored()}) == 2


def test_records_are_compressed_one_by_one() -> None:
    kinesis = FakeKinesis()
    run(kinesis, LINES, compress=True)
    assert [gzip.decompress(record.data) for _, record in kinesis.stored()] == [b'{"id":"a"}', b'{"id":"b"}']


def test_bad_lines_are_named_counted_and_passed_over() -> None:
    kinesis = FakeKinesis()
    lines: list[Line | BadLine] = [BadLine(1, "not JSON"), Line(2, {}, b"{}"), Line(3, {"id": "c"}, b"x" * 60), *LINES]
    result, said = run(kinesis, lines)
    assert (result.read, result.bad, result.counters.delivered) == (5, 3, 2)
    assert said[:2] == ["1: not JSON", "2: no value in 'id' to take the partition key from"]
    assert said[2].startswith("3: the record has 61 bytes with its key; the limit is 50 (record_bytes")


def test_a_record_that_is_given_up_is_named_by_its_line() -> None:
    kinesis = FakeKinesis(script=[Fail(client_error("InvalidArgumentException", "odd"))])
    result, said = run(kinesis, LINES[:1])
    assert (result.counters.failed, said) == (1, ["1: not delivered: InvalidArgumentException: odd"])


def test_an_error_that_would_meet_every_record_ends_the_reading() -> None:
    def endless() -> Iterable[Line]:
        while True:
            yield LINES[0]

    class Missing(FakeKinesis):
        def put_records(self, **_: object) -> dict[str, object]:
            raise client_error("ResourceNotFoundException", "Stream events not found.")

    result, said = run(Missing(), endless())
    assert (result.stopped, said) == ("ResourceNotFoundException: Stream events not found.", [])
    assert result.counters.failed == result.read


def test_the_report_has_the_rate() -> None:
    result, _ = run(FakeKinesis(), LINES)
    report = result.as_json()
    assert (report["seconds"], report["records_per_second"], report["delivered"]) == (2.0, 1.0, 2)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_the_pace_is_even() -> None:
    clock = Clock()
    pace = Pace(4.0, clock, clock.sleep)
    for _ in range(4):
        pace.wait()
    assert clock.slept == [0.25, 0.25, 0.25]


def test_lost_time_is_not_made_up_for_by_a_burst() -> None:
    clock = Clock()
    pace = Pace(4.0, clock, clock.sleep)
    pace.wait()
    clock.now = 10.0
    pace.wait()
    pace.wait()
    assert clock.slept == [0.25]


@pytest.mark.parametrize("rate", [None, 0.0])
def test_no_rate_is_no_limit(rate: float | None) -> None:
    clock = Clock()
    pace = Pace(rate, clock, clock.sleep)
    pace.wait()
    pace.wait()
    assert clock.slept == []
