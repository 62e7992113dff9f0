"""What was observed on AWS, one test a row.

Source: test snapshots of LocalStack that were recorded against AWS (`test_lambda_integration_kinesis.snapshot.json`).
"""

from typing import Any

import pytest

from aetherstream.local.esm import Backoff, FunctionError, Result, Returned

from .harness import SHARD, START, failing_at, harness, invokes, raising_at, record, records

PARTIAL: dict[str, Any] = {"report_batch_item_failures": True}


def test_row_an_ordinary_event_has_no_top_level_key_but_records() -> None:
    (invoke,) = invokes(harness(feed=[record(1)]).mapping, START)
    assert set(invoke.event) == {"Records"}


def test_row_encryption_type_is_not_present() -> None:
    (invoke,) = invokes(harness(feed=[record(1)]).mapping, START)
    assert set(invoke.event["Records"][0]["kinesis"]) == {
        "kinesisSchemaVersion",
        "partitionKey",
        "sequenceNumber",
        "data",
        "approximateArrivalTimestamp",
    }


def test_row_a_batch_size_of_100_with_a_window_of_0_works() -> None:
    run = harness(feed=records(range(1, 151)), batch_size=100, batching_window=0).run()
    assert [len(batch) for batch in run.batches] == [100, 50]


@pytest.mark.parametrize("payload", [{"batchItemFailures": []}, {"batchItemFailures": None}, {}, None, [], ""])
def test_row_six_shapes_are_complete_success(payload: object) -> None:
    run = harness(lambda *_: Returned(payload), feed=records([1, 2]), maximum_retry_attempts=0, **PARTIAL).run()
    assert (run.batches, run.gone, run.mapping.checkpoint(SHARD)) == ([["1", "2"]], [], "2")


@pytest.mark.parametrize(
    "failure",
    [
        {"itemIdentifier": ""},
        {"itemIdentifier": None},
        {"itemIdentifier": 123},
        {"foo": "123"},
        {"foo": None},
    ],
    ids=["empty", "null", "number", "misspelt", "misspelt null"],
)
def test_row_a_malformed_identifier_is_complete_failure(failure: dict[str, object]) -> None:
    response = Returned({"batchItemFailures": [failure]})
    run = harness(lambda *_: response, feed=records([123, 124]), maximum_retry_attempts=1, **PARTIAL).run()
    assert (run.batches, run.gone) == ([["123", "124"]] * 2, [("RetryAttemptsExhausted", ["123", "124"])])


def test_row_an_unhandled_exception_is_complete_failure() -> None:
    run = harness(raising_at("2"), feed=records([1, 2]), maximum_retry_attempts=1, **PARTIAL).run()
    assert (run.batches, run.gone) == ([["1", "2"]] * 2, [("RetryAttemptsExhausted", ["1", "2"])])
    assert run.discarded[0].message["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }


@pytest.mark.parametrize("retries", [1, 2])
def test_row_n_retries_are_n_plus_1_invocations(retries: int) -> None:
    run = harness(raising_at("1"), feed=[record(1)], maximum_retry_attempts=retries).run()
    count = run.discarded[0].message["requestContext"]["approximateInvokeCount"]
    assert (len(run.batches), count) == (retries + 1, retries + 1)


def test_row_partial_progress_is_not_charged() -> None:
    run = harness(failing_at("6"), feed=records(range(1, 7)), batch_size=3, maximum_retry_attempts=3, **PARTIAL).run()
    delivered = sum("6" in batch for batch in run.batches)
    count = run.discarded[0].message["requestContext"]["approximateInvokeCount"]
    assert (delivered, count) == (5, 4)


def test_row_after_partial_success_the_destination_is_told_of_the_remaining_records_only() -> None:
    run = harness(failing_at("6"), feed=records(range(1, 7)), batch_size=3, maximum_retry_attempts=3, **PARTIAL).run()
    info = run.discarded[0].message["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == ("6", "6", 1)


def test_row_only_the_expired_record_of_a_batch_is_discarded() -> None:
    feed = [record(1, arrival=START - 61), *records(range(2, 7))]
    run = harness(feed=feed, maximum_record_age=60).run()
    assert (run.gone, run.batches) == ([("RecordAgeExceeded", ["1"])], [["2", "3", "4", "5", "6"]])
    assert run.discarded[0].message["KinesisBatchInfo"]["batchSize"] == 1


@pytest.mark.parametrize("seed", range(20))
def test_row_sixty_seconds_of_age_without_a_retry_limit_are_eight_invocations(seed: int) -> None:
    run = harness(raising_at("1"), feed=[record(1)], maximum_record_age=60, seed=seed, backoff=Backoff()).run()
    assert (len(run.batches), run.discarded[0].message["requestContext"]["approximateInvokeCount"]) == (8, 8)


def test_row_failure_by_response_has_no_function_error() -> None:
    run = harness(failing_at("1"), feed=[record(1)], maximum_retry_attempts=0, **PARTIAL).run()
    assert run.discarded[0].message["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": None,
    }


def test_row_a_record_that_is_too_old_at_the_start_has_no_response_context_and_an_invoke_count_of_1() -> None:
    run = harness(
        raising_at("1"), feed=[record(1, arrival=START - 61)], maximum_record_age=60, maximum_retry_attempts=0
    ).run()
    message = run.discarded[0].message
    assert (run.batches, "responseContext" in message) == ([], False)
    assert message["requestContext"]["condition"] == "RecordAgeExceeded"
    assert message["requestContext"]["approximateInvokeCount"] == 1


def test_row_the_s3_key_starts_with_mapping_and_shard() -> None:
    run = harness(raising_at("1"), feed=[record(1)], maximum_retry_attempts=0).run()
    prefix = f"aws/lambda/00000000-0000-0000-0000-000000000000/{SHARD}/2025/11/21/2025-11-21T08.00.00-"
    assert run.discarded[0].s3_key.startswith(prefix)
    assert len(run.discarded[0].s3_key) == len(prefix) + 36


def test_row_exhaustion_after_function_errors_moves_the_shard_on() -> None:
    def run_function(batch: list[str], _event: dict[str, Any]) -> Result:
        return FunctionError() if "1" in batch else Returned(None)

    run = harness(run_function, feed=records([1, 2]), batch_size=1, maximum_retry_attempts=2).run()
    assert (run.batches, run.mapping.checkpoint(SHARD)) == ([["1"]] * 3 + [["2"]], "2")
