from __future__ import annotations

import pytest

from aetherstream.producer.entry import CallFailure
from aetherstream.producer.model import Counters, Limits, Timing
from tests.producer.driving import Driver, failed, ok, texts

THROTTLED = "ProvisionedThroughputExceededException"
SMALL = Limits(request_records=3, request_bytes=100, record_bytes=100, aggregate_bytes=100)


def test_a_request_has_at_most_the_records_that_the_limit_allows() -> None:
    driver = Driver(limits=SMALL)
    for text in "abcde":
        driver.put(text)
    assert [driver.sent(), driver.sent(), driver.sent()] == [["a", "b", "c"], ["d", "e"], []]


def test_a_request_has_at_most_the_bytes_that_the_limit_allows_keys_included() -> None:
    driver = Driver(limits=Limits(request_bytes=20, record_bytes=20, aggregate_bytes=20))
    for text in ("aaaa", "bbbb", "cc"):
        driver.put(text, "keykey")
    assert [driver.sent(), driver.sent()] == [["aaaa", "bbbb"], ["cc"]]


def test_a_record_waits_for_company_as_long_as_it_may_linger() -> None:
    driver = Driver(timing=Timing(linger=5.0))
    driver.put("a")
    driver.now = 4.9
    driver.put("b")
    assert (driver.take(), driver.core.wake_at()) == (None, 5.0)
    driver.now = 5.0
    assert driver.sent() == ["a", "b"]


def test_a_full_request_does_not_linger() -> None:
    driver = Driver(limits=SMALL, timing=Timing(linger=5.0))
    for text in "abcd":
        driver.put(text)
    assert [driver.sent(), driver.sent()] == [["a", "b", "c"], []]


def test_a_flush_does_not_linger() -> None:
    driver = Driver(timing=Timing(linger=5.0), aggregation="key")
    driver.put("a")
    epoch = driver.core.flush()
    assert not driver.core.flushed(epoch)
    assert driver.sent() == ["a"]
    assert driver.core.flushed(epoch)


def test_a_flush_does_not_wait_for_what_is_put_after_it() -> None:
    driver = Driver(timing=Timing(linger=5.0))
    driver.put("a")
    epoch = driver.core.flush()
    batch = driver.take()
    assert batch is not None
    driver.put("b")
    driver.succeed(batch)
    assert (driver.core.flushed(epoch), driver.core.idle) == (True, False)


def test_each_record_is_told_where_it_stands() -> None:
    driver = Driver(aggregation="key")
    for text, key in (("a", "k"), ("b", "l"), ("c", "k")):
        driver.put(text, key)
    assert driver.sent() == ["a+c", "b"]
    assert driver.outcomes() == [("a", "s:0:0"), ("c", "s:0:1"), ("b", "s:1:0")]


def test_only_the_failed_entries_are_sent_again() -> None:
    driver = Driver()
    for text in "abcd":
        driver.put(text)
    batch = driver.take()
    assert batch is not None
    driver.answer(batch, ok(0), failed(THROTTLED), ok(2), failed())
    driver.now = 1.0
    assert driver.sent() == ["b", "d"]
    assert driver.core.counters == Counters(
        records=4, bytes=4, delivered=4, requests=2, entries=4, retries=2, throttles=1
    )


def test_the_wait_doubles_up_to_its_cap_and_is_drawn_from_zero_to_it() -> None:
    driver = Driver(random=0.5)
    driver.put("a")
    waits = []
    for _ in range(6):
        batch = driver.take()
        assert batch is not None
        driver.answer(batch, failed())
        wake_at = driver.core.wake_at()
        assert wake_at is not None
        waits.append(wake_at - driver.now)
        driver.now = wake_at
    assert waits == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_nothing_is_sent_again_before_its_wait_is_over() -> None:
    driver = Driver()
    driver.put("a")
    batch = driver.take()
    assert batch is not None
    driver.answer(batch, failed())
    driver.now = 0.99
    assert driver.sent() == []
    driver.now = 1.0
    assert driver.sent() == ["a"]


def test_a_record_is_given_up_at_its_age_with_the_last_error() -> None:
    driver = Driver(timing=Timing(linger=0.0, delivery_timeout=1.5, backoff=1.0))
    driver.put("a")
    for at in (0.0, 1.0, 1.5):
        driver.now = at
        batch = driver.take()
        if batch is not None:
            driver.answer(batch, failed(THROTTLED))
    assert driver.outcomes() == [("a", f"{THROTTLED}: scripted")]
    assert [(one.attempts, getattr(one.error, "expired", None)) for one in driver.deliveries] == [(2, True)]
    assert driver.core.idle


def test_a_record_too_old_is_not_sent_at_all() -> None:
    driver = Driver(timing=Timing(linger=0.0, delivery_timeout=1.0))
    driver.put("a")
    driver.now = 1.0
    assert driver.take() is None
    assert driver.outcomes() == [("a", "Expired: not sent within delivery_timeout")]


@pytest.mark.parametrize("kind", ["retry", "throttle"])
def test_a_call_that_failed_is_sent_again_whole(kind: str) -> None:
    driver = Driver()
    driver.put("a")
    driver.put("b")
    batch = driver.take()
    assert batch is not None
    driver.core.failed(batch, CallFailure(kind, "Code", "text"), driver.now)  # type: ignore[arg-type]
    assert driver.sent() == []
    driver.now = 1.0
    assert driver.sent() == ["a", "b"]
    assert (driver.core.counters.retries, driver.core.counters.throttles) == (2, int(kind == "throttle"))


def test_a_final_failure_is_told_at_once() -> None:
    driver = Driver()
    driver.put("a")
    batch = driver.take()
    assert batch is not None
    driver.core.failed(batch, CallFailure("final", "ResourceNotFoundException", "no stream"), driver.now)
    assert driver.take() is None
    assert driver.outcomes() == [("a", "ResourceNotFoundException: no stream")]


def test_a_refused_request_is_halved_until_the_guilty_record_stands_alone() -> None:
    driver = Driver()
    for text in ("a", "b", "bad", "c", "d"):
        driver.put(text)
    requests = []
    while (batch := driver.take()) is not None:
        requests.append(texts(batch))
        if "bad" in texts(batch):
            driver.core.failed(batch, CallFailure("refused", "InvalidArgumentException", "too large"), driver.now)
        else:
            driver.succeed(batch)
    assert sorted(driver.outcomes()) == [
        ("a", "s:0:0"),
        ("b", "s:1:0"),
        ("bad", "InvalidArgumentException: too large"),
        ("c", "s:1:0") if ["d", "c"] in requests else ("c", "s:0:0"),
        ("d", "s:0:0"),
    ]


def test_an_answer_of_the_wrong_length_is_no_answer() -> None:
    driver = Driver()
    driver.put("a")
    driver.put("b")
    batch = driver.take()
    assert batch is not None
    driver.answer(batch, ok())
    assert driver.core.counters.delivered == 0
    driver.now = 1.0
    assert driver.sent() == ["a", "b"]


def test_the_buffer_is_full_at_its_bound_and_has_room_again_after_delivery() -> None:
    driver = Driver(max_buffered_bytes=600)
    driver.put("a")
    driver.put("b")
    assert not driver.core.has_room(2)
    driver.sent()
    assert driver.core.has_room(2)


def test_an_empty_buffer_takes_a_record_of_any_size() -> None:
    assert Driver(max_buffered_bytes=10).core.has_room(10_000)


def test_failures_without_a_callback_are_counted_for_flush_to_raise() -> None:
    from aetherstream.producer.model import user_record

    driver = Driver()
    driver.core.put(user_record(b"a", "k", Limits()), 0.0)
    batch = driver.take()
    assert batch is not None
    driver.core.failed(batch, CallFailure("final", "Code", "text"), 0.0)
    assert (driver.core.unreported_failures, str(driver.core.last_unreported)) == (1, "Code: text")


def test_what_is_abandoned_is_told() -> None:
    driver = Driver(aggregation="key", ordered=True)
    for text, key in (("a", "k"), ("b", "l")):
        driver.put(text, key)
    batch = driver.take()
    assert batch is not None
    driver.answer(batch, failed(), ok(1))
    driver.put("c", "k")
    driver.core.abandon()
    assert driver.take() is None
    assert driver.outcomes() == [
        ("b", "s:1:0"),
        ("a", "InternalFailure: scripted"),
        ("c", "Closed: the producer was closed before the record was sent"),
    ]
    assert driver.core.idle
