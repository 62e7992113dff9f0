from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from aetherstream.errors import UsageError
from aetherstream.kpl import MAGIC, AggregatedRecord
from aetherstream.producer import (
    BufferFull,
    Counters,
    Delivery,
    FlushTimeout,
    Limits,
    Producer,
    RecordRefused,
    RecordsLostError,
    Timing,
)
from aetherstream.records import Position
from aetherstream.testing.kinesis import THROTTLED, Fail, FakeKinesis, Refuse, client_error

AT_ONCE = Timing(linger=0.0, backoff=0.0)
NEVER = Timing(linger=3600.0, backoff=0.0)  # only a flush, or a full request, sends


class Gate(FakeKinesis):
    """A stream that answers no PutRecords before it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.reached = threading.Event()

    def put_records(self, **request: Any) -> dict[str, Any]:
        self.reached.set()
        self.open.wait()
        return super().put_records(**request)


@contextmanager
def gated(**options: Any) -> Iterator[tuple[Gate, Producer]]:
    gate = Gate()
    producer = Producer("events", client=gate, senders=1, timing=AT_ONCE, **options)
    try:
        yield gate, producer
    finally:
        gate.open.set()
        producer.close()


def data_of(kinesis: FakeKinesis) -> list[bytes]:
    return [record.data for _, record in kinesis.stored()]


def test_everything_put_is_stored_when_the_with_block_ends() -> None:
    kinesis = FakeKinesis(2)
    with Producer("events", client=kinesis, timing=NEVER) as producer:
        for number in range(1_201):
            producer.put(b"%d" % number, f"key-{number}")
    assert sorted(data_of(kinesis), key=int) == [b"%d" % number for number in range(1_201)]
    assert sorted(map(len, kinesis.requests)) == [201, 500, 500]


def test_only_what_failed_is_sent_again() -> None:
    kinesis = FakeKinesis(script=[Refuse({1: THROTTLED, 2: "InternalFailure"})])
    with Producer("events", client=kinesis, timing=NEVER) as producer:
        for text in (b"a", b"b", b"c", b"d"):
            producer.put(text, "key")
    assert [[entry["Data"] for entry in request] for request in kinesis.requests] == [
        [b"a", b"b", b"c", b"d"],
        [b"b", b"c"],
    ]
    assert sorted(data_of(kinesis)) == [b"a", b"b", b"c", b"d"]


def test_the_callback_is_told_position_context_and_attempts() -> None:
    told: list[Delivery] = []
    kinesis = FakeKinesis(script=[Fail(client_error("InternalFailure", status=500))])
    with Producer("events", client=kinesis, timing=AT_ONCE, on_delivery=told.append) as producer:
        producer.put(b"a", "key", context=7)
    shard, record = kinesis.stored()[0]
    assert told == [Delivery(7, b"a", "key", 2, position=Position(shard, record.sequence))]


def test_a_callback_of_the_put_goes_before_the_producers() -> None:
    told: list[tuple[str, bytes]] = []
    with Producer(
        "events", client=FakeKinesis(), timing=AT_ONCE, on_delivery=lambda one: told.append(("all", one.data))
    ) as producer:
        producer.put(b"a", "key")
        producer.flush()
        producer.put(b"b", "key", on_delivery=lambda one: told.append(("own", one.data)))
    assert told == [("all", b"a"), ("own", b"b")]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            client_error("AccessDeniedException", "no kinesis:PutRecords"),
            "AccessDeniedException: no kinesis:PutRecords",
        ),
        (RuntimeError("a bug in the client"), "RuntimeError: a bug in the client"),
    ],
)
def test_a_final_failure_reaches_the_callback(error: Exception, text: str) -> None:
    told: list[Delivery] = []
    kinesis = FakeKinesis(script=[Fail(error)])
    with Producer("events", client=kinesis, timing=AT_ONCE, on_delivery=told.append) as producer:
        producer.put(b"a", "key")
    assert [str(one.error) for one in told] == [text]


def test_a_failure_that_no_callback_hears_of_is_raised_by_flush_once() -> None:
    kinesis = FakeKinesis(script=[Fail(client_error("AccessDeniedException", "no"))])
    with Producer("events", client=kinesis, timing=AT_ONCE) as producer:
        producer.put(b"a", "key")
        with pytest.raises(
            RecordsLostError, match="1 records were not delivered to events; the last error: AccessDenied"
        ):
            producer.flush()
        producer.put(b"b", "key")
    assert data_of(kinesis) == [b"b"]


def test_a_lost_answer_leads_to_a_duplicate_not_to_a_loss() -> None:
    lost = EndpointConnectionError(endpoint_url="http://kinesis")
    kinesis = FakeKinesis(script=[Fail(lost, lost_answer=True)])
    with Producer("events", client=kinesis, timing=AT_ONCE) as producer:
        producer.put(b"a", "key")
    assert data_of(kinesis) == [b"a", b"a"]


def test_a_record_larger_than_the_stream_takes_does_not_hold_back_its_neighbours() -> None:
    told: list[Delivery] = []
    kinesis = FakeKinesis(max_record_bytes=100)
    with Producer("events", client=kinesis, timing=NEVER, on_delivery=told.append) as producer:
        for data in (b"a", b"b", b"x" * 200, b"c"):
            producer.put(data, "key")
    assert sorted(data_of(kinesis)) == [b"a", b"b", b"c"]
    assert [str(one.error) for one in told if one.error] == ["InvalidArgumentException: a record is larger than 100"]


def test_put_refuses_what_is_too_large_and_goes_on() -> None:
    kinesis = FakeKinesis()
    with Producer(
        "events", client=kinesis, timing=AT_ONCE, limits=Limits(record_bytes=10, aggregate_bytes=10)
    ) as producer:
        with pytest.raises(RecordRefused, match="the limit is 10"):
            producer.put(b"x" * 11, "key")
        producer.put(b"a", "key")
    assert data_of(kinesis) == [b"a"]


def test_put_raises_when_the_buffer_stays_full() -> None:
    with gated(max_buffered_bytes=600) as (_, producer):
        producer.put(b"a", "key")
        producer.put(b"b", "key")
        with pytest.raises(BufferFull, match="the stream takes records slower than they are put"):
            producer.put(b"c", "key", timeout=0.0)


def test_put_blocks_until_there_is_room() -> None:
    with gated(max_buffered_bytes=600) as (gate, producer):
        producer.put(b"a", "key")
        producer.put(b"b", "key")
        blocked = threading.Thread(target=producer.put, args=(b"c", "key"))
        blocked.start()
        gate.open.set()
        blocked.join()
        producer.flush()
        assert data_of(gate) == [b"a", b"b", b"c"]


def test_a_put_that_is_blocked_is_told_when_the_producer_closes() -> None:
    errors: list[Exception] = []

    def put() -> None:
        try:
            producer.put(b"b", "key")
        except UsageError as error:
            errors.append(error)

    with gated(max_buffered_bytes=300) as (gate, producer):
        producer.put(b"a", "key")
        gate.reached.wait()
        blocked = threading.Thread(target=put)
        blocked.start()
        closer = threading.Thread(target=producer.close)
        closer.start()
        blocked.join()
        gate.open.set()
        closer.join()
    assert [str(error) for error in errors] == ["the producer is closed; records must be put before close()"]


def test_flush_gives_up_waiting_after_its_time_and_the_records_still_arrive() -> None:
    with gated() as (gate, producer):
        producer.put(b"a", "key")
        with pytest.raises(FlushTimeout, match="1 records for events are still on their way"):
            producer.flush(timeout=0.0)
        gate.open.set()
        producer.flush()
        assert data_of(gate) == [b"a"]


def test_close_gives_up_what_is_not_sent_in_its_time() -> None:
    told: list[Delivery] = []
    with gated(on_delivery=told.append) as (gate, producer):
        producer.put(b"a", "key")
        gate.reached.wait()
        producer.put(b"b", "key")
        with pytest.raises(FlushTimeout):
            producer.close(timeout=0.0)
    assert [(one.data, str(one.error)) for one in told if one.error] == [
        (b"b", "Closed: the producer was closed before the record was sent")
    ]
    assert data_of(gate) == [b"a"]


def test_put_after_close_is_refused() -> None:
    producer = Producer("events", client=FakeKinesis())
    producer.close()
    with pytest.raises(UsageError, match="the producer is closed"):
        producer.put(b"a", "key")


def test_a_failing_callback_is_logged_and_does_not_stop_the_sending(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Delivery) -> None:
        raise ValueError("the application's bug")

    kinesis = FakeKinesis()
    with caplog.at_level(logging.ERROR), Producer("events", client=kinesis, timing=AT_ONCE) as producer:
        producer.put(b"a", "key", on_delivery=fail)
        producer.flush()
        producer.put(b"b", "key")
    assert data_of(kinesis) == [b"a", b"b"]
    assert [record.getMessage() for record in caplog.records] == ["a delivery callback failed"]


def test_a_callback_may_put_but_not_flush() -> None:
    errors: list[Exception] = []

    def again(delivery: Delivery) -> None:
        producer.put(b"b", "key", on_delivery=lambda _: None)
        try:
            producer.flush()
        except UsageError as error:
            errors.append(error)

    kinesis = FakeKinesis()
    with Producer("events", client=kinesis, timing=AT_ONCE) as producer:
        producer.put(b"a", "key", on_delivery=again)
        producer.flush()
    assert data_of(kinesis) == [b"a", b"b"]
    assert [str(error) for error in errors] == ["flush() was called from a delivery callback; it would wait for itself"]


def test_records_of_a_shard_travel_together_under_a_fresh_map() -> None:
    kinesis = FakeKinesis(2)
    with Producer("events", client=kinesis, aggregation="shard", timing=NEVER) as producer:
        for number in range(100):
            producer.put(b"%d" % number, f"key-{number}")
    assert sorted(len(AggregatedRecord.FromString(data[len(MAGIC) : -16]).records) for data in data_of(kinesis)) == [
        48,
        52,
    ]
    assert producer.counters == Counters(records=100, bytes=190, delivered=100, requests=1, entries=2)


def test_after_a_split_no_aggregate_mixes_the_children() -> None:
    kinesis = FakeKinesis(1)
    timing = Timing(linger=3600.0, backoff=0.0, shards_min_age=0.0)
    with Producer("events", client=kinesis, aggregation="shard", timing=timing, senders=1) as producer:
        kinesis.split("shardId-000000000000")
        for number in range(50):
            producer.put(b"%d" % number, f"key-{number}")
        producer.flush()  # lands somewhere else than predicted, which brings a fresh map
        assert producer.counters.misrouted == 1
        for number in range(50):
            producer.put(b"%d" % number, f"key-{number}")
        producer.flush()
    assert (producer.counters.misrouted, kinesis.list_shards_calls) == (1, 2)


def test_what_was_put_is_sent_when_the_interpreter_ends() -> None:
    program = """
import atexit
from aetherstream.producer import Producer, Timing
from aetherstream.testing.kinesis import FakeKinesis
kinesis = FakeKinesis()
atexit.register(lambda: print([record.data for _, record in kinesis.stored()]))
Producer("events", client=kinesis, timing=Timing(linger=3600.0)).put(b"a", "key")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[b'a']\n"


def test_a_busy_sender_leaves_what_is_due_to_the_others() -> None:
    class Meeting(FakeKinesis):
        """Refuses a request of three, and lets the three single ones pass only together."""

        def __init__(self) -> None:
            super().__init__()
            self.barrier = threading.Barrier(3)

        def put_records(self, **request: Any) -> dict[str, Any]:
            if len(request["Records"]) == 3:
                raise client_error("InvalidArgumentException")
            self.barrier.wait(timeout=20.0)  # broken, and so three lost records, if they do not meet
            return super().put_records(**request)

    told: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
    limits = Limits(request_records=3)
    with Producer("events", client=Meeting(), senders=3, timing=NEVER, limits=limits, on_delivery=told.put) as producer:
        for data in (b"a", b"b", b"c"):
            producer.put(data, "key")
        deliveries = [told.get() for _ in range(3)]
    assert sorted((one.data, one.error) for one in deliveries) == [(b"a", None), (b"b", None), (b"c", None)]


def test_many_threads_may_put_at_once() -> None:
    kinesis = FakeKinesis(4)
    with Producer("events", client=kinesis, aggregation="shard", ordered=True, max_buffered_bytes=100_000) as producer:

        def put(name: int) -> None:
            for number in range(500):
                producer.put(b"%d" % number, f"key-{name}")

        threads = [threading.Thread(target=put, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    arrived: dict[str, list[bytes]] = {}
    for _, record in kinesis.stored():
        if record.data.startswith(MAGIC):
            message = AggregatedRecord.FromString(record.data[len(MAGIC) : -16])
            for inner in message.records:
                arrived.setdefault(message.partition_key_table[inner.partition_key_index], []).append(inner.data)
        else:
            arrived.setdefault(record.partition_key, []).append(record.data)
    assert arrived == {f"key-{name}": [b"%d" % number for number in range(500)] for name in range(8)}
