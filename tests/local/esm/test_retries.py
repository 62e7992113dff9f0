import random

import orjson
import pytest

from aetherstream.local.esm import Backoff, Discard, FunctionError, Returned, StreamRecord, Throttled

from .harness import (
    FUNCTION,
    SHARD,
    START,
    STREAM,
    Harness,
    answering,
    failing_at,
    harness,
    invokes,
    numbers,
    raising_at,
    record,
    records,
)


def seconds(run: Harness) -> list[int]:
    return [round(at - START) for at, _ in run.invoked]


def test_a_failed_batch_is_retried_whole_before_anything_behind_it() -> None:
    function = answering(FunctionError(), FunctionError(), Returned(None), Returned(None))
    run = harness(function, feed=records([1, 2, 3]), batch_size=2)
    assert run.run().batches == [["1", "2"], ["1", "2"], ["1", "2"], ["3"]]


def test_retries_are_spaced_out_up_to_a_cap() -> None:
    run = harness(raising_at("1"), feed=[record(1)], maximum_retry_attempts=8, backoff=Backoff(jitter=0)).run()
    assert seconds(run) == [0, 1, 3, 7, 15, 27, 39, 51, 63]


def test_the_delay_does_not_overflow_after_a_million_failures() -> None:
    assert 11.5 < Backoff().delay(1_000_000, random.Random(1)) < 12.5


def test_without_a_limit_a_poisonous_record_blocks_its_shard() -> None:
    run = harness(raising_at("1"), feed=records([1, 2]), batch_size=1).run(invocations=200)
    assert (set(map(tuple, run.batches)), run.gone, run.mapping.checkpoint(SHARD)) == ({("1",)}, [], None)


def test_zero_retries_discard_after_the_first_invocation() -> None:
    run = harness(raising_at("1"), feed=records([1, 2]), batch_size=1, maximum_retry_attempts=0).run()
    assert (run.batches, run.gone) == ([["1"], ["2"]], [("RetryAttemptsExhausted", ["1"])])


def test_throttles_are_not_counted_as_attempts() -> None:
    function = answering(*[Throttled()] * 20, FunctionError(), Throttled(), FunctionError())
    run = harness(function, feed=[record(1)], maximum_retry_attempts=1).run()
    assert (len(run.batches), run.discarded[0].message["requestContext"]["approximateInvokeCount"]) == (23, 2)


def test_a_late_end_of_an_invocation_that_was_given_up_is_ignored() -> None:
    mapping = harness(feed=[record(1)]).mapping
    (first,) = invokes(mapping, START)
    assert mapping.finished(first.invocation_id, FunctionError(), START + 1) is True
    (second,) = invokes(mapping, START + 5)
    assert mapping.finished(first.invocation_id, Returned(None), START + 6) is False
    assert mapping.checkpoint(SHARD) is None
    assert mapping.finished(second.invocation_id, Returned(None), START + 7) is True
    assert mapping.checkpoint(SHARD) == "1"


# Bisect


def test_bisecting_isolates_a_poisonous_record_with_no_retries_at_all() -> None:
    run = harness(raising_at("6"), feed=records(range(1, 9)), bisect=True, maximum_retry_attempts=0).run()
    assert run.batches == [
        ["1", "2", "3", "4", "5", "6", "7", "8"],
        ["1", "2", "3", "4"],
        ["5", "6", "7", "8"],
        ["5", "6"],
        ["5"],
        ["6"],
        ["7", "8"],
    ]
    assert run.gone == [("RetryAttemptsExhausted", ["6"])]


def test_bisecting_is_done_without_partial_responses_too() -> None:
    run = harness(raising_at("2"), feed=records([1, 2]), bisect=True, maximum_retry_attempts=1).run()
    assert run.batches == [["1", "2"], ["1"], ["2"], ["2"]]


def test_bisecting_splits_a_partial_response_at_the_returned_number() -> None:
    run = harness(
        failing_at("2"),
        feed=records([1, 2, 3, 4]),
        bisect=True,
        report_batch_item_failures=True,
        maximum_retry_attempts=1,
    ).run()
    assert run.batches == [["1", "2", "3", "4"], ["2", "3", "4"], ["2", "3", "4"]]
    assert run.gone == [("RetryAttemptsExhausted", ["2", "3", "4"])]


def test_a_malformed_response_is_bisected_like_an_exception() -> None:
    bad = Returned({"batchItemFailures": [{"itemIdentifier": ""}]})
    function = answering(bad, Returned(None), Returned(None))
    run = harness(function, feed=records([1, 2]), bisect=True, report_batch_item_failures=True).run()
    assert run.batches == [["1", "2"], ["1"], ["2"]]


def test_halves_inherit_the_attempts_of_their_batch() -> None:
    """AWS does not say whether each half starts afresh: here an earlier charge stays."""
    first_reported = Returned({"batchItemFailures": [{"itemIdentifier": "1"}]})
    run = harness(
        answering(first_reported, FunctionError(), FunctionError(), Returned(None)),
        feed=records([1, 2]),
        bisect=True,
        report_batch_item_failures=True,
        maximum_retry_attempts=1,
    ).run()
    assert run.batches == [["1", "2"], ["1", "2"], ["1"], ["2"]]
    assert run.gone == [("RetryAttemptsExhausted", ["1"])]


def test_a_throttle_is_not_bisected() -> None:
    run = harness(answering(Throttled(), Returned(None)), feed=records([1, 2]), bisect=True).run()
    assert run.batches == [["1", "2"], ["1", "2"]]


# Age


def test_records_older_than_the_maximum_age_are_discarded_between_retries() -> None:
    run = harness(raising_at("1", "2"), feed=[record(1), record(2, arrival=START + 30)], maximum_record_age=60).run()
    assert run.gone == [("RecordAgeExceeded", ["1"]), ("RecordAgeExceeded", ["2"])]


@pytest.mark.parametrize(("age", "batches"), [(60.0, [["1"]]), (60.001, [])])
def test_a_record_of_exactly_the_maximum_age_is_delivered(age: float, batches: list[list[str]]) -> None:
    run = harness(feed=[record(1, arrival=START - age)], maximum_record_age=60).run()
    assert run.batches == batches


def test_neighbours_that_expire_together_are_one_discard() -> None:
    old, new = START - 100, START
    feed = [record(1, arrival=old), record(2, arrival=old), record(3, arrival=new), record(4, arrival=old)]
    run = harness(feed=feed, maximum_record_age=60).run()
    assert run.gone == [("RecordAgeExceeded", ["1", "2"]), ("RecordAgeExceeded", ["4"])]
    assert (run.batches, run.mapping.checkpoint(SHARD)) == ([["3"]], "4")


def test_throttled_records_expire_too() -> None:
    run = harness(lambda *_: Throttled(), feed=[record(1)], maximum_record_age=60).run()
    assert run.gone == [("RecordAgeExceeded", ["1"])]


# Destinations


def discard() -> Discard:
    feed = [
        StreamRecord("1", "k", b"hello", START - 2),
        StreamRecord("2", "k", b"world", START - 1.165),
    ]
    (gone,) = harness(raising_at("1"), feed=feed, maximum_retry_attempts=1, uuid=UUID).run().discarded
    return gone


UUID = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"


def test_the_invocation_record_is_that_of_aws() -> None:
    gone = discard()
    assert gone.destination == "arn:aws:s3:::dead-letters"
    assert gone.message == {
        "requestContext": {
            "requestId": gone.message["requestContext"]["requestId"],
            "functionArn": FUNCTION,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 2,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": gone.message["timestamp"],
        "KinesisBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": "1",
            "endSequenceNumber": "2",
            "approximateArrivalOfFirstRecord": "2025-11-21T07:59:58.000Z",
            "approximateArrivalOfLastRecord": "2025-11-21T07:59:58.835Z",
            "batchSize": 2,
            "streamArn": STREAM,
        },
    }


def test_s3_gets_the_invocation_record_with_the_event_as_a_string() -> None:
    gone = discard()
    body = orjson.loads(gone.s3_body())
    payload = body.pop("payload")
    assert (body, isinstance(payload, str)) == (gone.message, True)
    assert numbers(orjson.loads(payload)) == ["1", "2"]


def test_the_s3_key_has_mapping_shard_and_time() -> None:
    assert discard().s3_key.startswith(f"aws/lambda/{UUID}/{SHARD}/2025/11/21/2025-11-21T08.00.0")


def test_the_request_id_is_the_services_where_the_driver_knows_it() -> None:
    run = harness(
        lambda *_: FunctionError(request_id="r-1", executed_version="7"), feed=[record(1)], maximum_retry_attempts=0
    ).run()
    message = run.discarded[0].message
    assert (message["requestContext"]["requestId"], message["responseContext"]["executedVersion"]) == ("r-1", "7")


@pytest.mark.parametrize("factor", [1, 3])
def test_the_counts_balance(factor: int) -> None:
    run = harness(
        raising_at("3"),
        feed=[record(n, key=str(n)) for n in range(1, 11)],
        bisect=True,
        maximum_retry_attempts=1,
        parallelization_factor=factor,
    ).run()
    counts = run.mapping.counts
    assert (counts.polled, counts.succeeded, counts.discarded, counts.filtered) == (10, 9, 1, 0)
