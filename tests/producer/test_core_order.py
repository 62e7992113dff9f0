from __future__ import annotations

from collections import defaultdict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.producer.entry import Batch, CallFailure
from aetherstream.producer.model import Aggregation, Limits, Timing
from aetherstream.producer.shards import ShardMap
from tests.producer.driving import Driver, failed, ok, texts
from tests.producer.test_core_aggregation import FOUR, Q0, Q1, Q2, Q3, TWO


def test_one_key_goes_one_record_at_a_time() -> None:
    driver = Driver(ordered=True)
    for text, key in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")):
        driver.put(text, key)
    assert [driver.sent(), driver.sent(), driver.sent()] == [["a1", "b1"], ["a2"], ["a3"]]


def test_successors_wait_while_their_predecessor_is_in_flight() -> None:
    driver = Driver(ordered=True)
    driver.put("a1", "a")
    batch = driver.take()
    driver.put("a2", "a")
    driver.put("b1", "b")
    assert texts(batch) == ["a1"]
    assert driver.sent() == ["b1"]
    assert driver.take() is None


def test_successors_wait_while_their_predecessor_waits_for_its_retry() -> None:
    driver = Driver(ordered=True)
    driver.put("a1", "a")
    driver.put("a2", "a")
    batch = driver.take()
    assert batch is not None
    driver.answer(batch, failed())
    driver.put("b1", "b")
    assert driver.sent() == ["b1"]
    driver.now = 1.0
    assert [driver.sent(), driver.sent()] == [["a1"], ["a2"]]


def test_successors_pass_a_record_that_was_given_up() -> None:
    driver = Driver(ordered=True)
    driver.put("a1", "a")
    driver.put("a2", "a")
    batch = driver.take()
    assert batch is not None
    driver.core.failed(batch, CallFailure("final", "Code", "text"), driver.now)
    assert driver.sent() == ["a2"]


def test_without_order_a_key_goes_in_one_request() -> None:
    driver = Driver()
    for text in ("a1", "a2", "a3"):
        driver.put(text, "a")
    assert driver.sent() == ["a1", "a2", "a3"]


@pytest.mark.parametrize("aggregation", ["none", "key", "shard"])
@given(seed=st.integers(0, 2**32))
def test_under_any_failures_the_first_delivery_of_each_keys_records_is_in_order(
    aggregation: Aggregation, seed: int
) -> None:
    random = Random(seed)
    limits = Limits(request_records=4, request_bytes=400, record_bytes=200, aggregate_bytes=90)
    timing = Timing(linger=0.2, delivery_timeout=None, backoff=1.0, backoff_cap=4.0)
    driver = Driver(aggregation=aggregation, ordered=True, limits=limits, timing=timing, random=0.5)
    driver.core.use_shards(TWO)
    maps = [TWO, FOUR, ShardMap([(0, 2**128 - 1, "all")])]
    in_flight: list[Batch] = []
    arrived: dict[str, list[str]] = defaultdict(list)
    put: dict[str, list[str]] = defaultdict(list)
    left = 60
    while left or not driver.core.idle:
        step = random.randrange(6)
        if step < 2 and left:
            key = random.choice([Q0, Q1, Q2, Q3])
            left -= 1
            put[key].append(str(left))
            driver.put(str(left), key, key)
        elif step == 2 and random.random() < 0.5:
            driver.core.use_shards(random.choice(maps))
        elif step == 3:
            driver.now += random.random()
        elif step == 4 and len(in_flight) < 3 and (batch := driver.take()) is not None:
            in_flight.append(batch)
        elif step == 5 and in_flight:
            batch = in_flight.pop(random.randrange(len(in_flight)))
            results = [failed() if random.random() < 0.3 else ok(number) for number in range(len(batch.entries))]
            # PutRecords promises no order inside a request: let the stream take the entries in any.
            taken = [number for number, result in enumerate(results) if "ErrorCode" not in result]
            for number in random.sample(taken, len(taken)):
                for record in batch.entries[number].records:
                    arrived[record.partition_key].append(record.data.decode())
            driver.answer(batch, *results)
    assert arrived == put
