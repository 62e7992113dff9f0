from typing import Any

import pytest

from aetherstream.decode import read_batch
from aetherstream.errors import ConfigurationError
from aetherstream.records import KinesisRecords
from aetherstream.testing.events import FIRST_SEQUENCE, SHARD, STREAM, kinesis_event, sequence_numbers


def test_columns_are_those_of_the_event() -> None:
    event = kinesis_event([b"a", b"", b"b"], keys=["x", "y", "z"], arrival=1000.5)

    assert read_batch(event) == KinesisRecords(
        STREAM,
        SHARD,
        sequence_numbers(3, FIRST_SEQUENCE),
        [1000.5, 1000.501, 1000.502],
        ["x", "y", "z"],
        ["YQ==", "", "Yg=="],
    )


def test_an_arrival_without_fraction_becomes_a_float() -> None:
    event = kinesis_event([b"a"])
    event["Records"][0]["kinesis"]["approximateArrivalTimestamp"] = 1545084650

    (arrival,) = read_batch(event).arrivals

    assert (arrival, type(arrival)) == (1545084650.0, float)


def test_an_event_without_records_is_an_empty_batch() -> None:
    assert read_batch({"Records": []}) == KinesisRecords("", "", [], [], [], [])


def test_the_last_event_of_a_window_names_its_shard_without_records() -> None:
    event = {"Records": [], "shardId": SHARD, "eventSourceARN": STREAM, "isFinalInvokeForWindow": True}

    assert read_batch(event) == KinesisRecords(STREAM, SHARD, [], [], [], [])


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"Records": [{"eventSource": "aws:sqs", "body": ""}]}, "an SQS event"),
        ({"Records": [{"EventSource": "aws:sns", "Sns": {}}]}, "an SNS event"),
        ({"Records": [{"eventSource": "aws:s3", "s3": {}}]}, "an S3 event"),
        ({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {}}]}, "a DynamoDB Streams event"),
        ({"Records": [{"eventSource": "aws:new"}]}, "an event of aws:new"),
        ({"detail-type": "Scheduled Event"}, "an EventBridge event"),
        ({"requestContext": {}, "rawPath": "/"}, "an API Gateway or function URL request"),
        ({"requestContext": {}, "KinesisBatchInfo": {}}, "a failed batch"),
        ({"awslogs": {"data": ""}}, "a CloudWatch Logs subscription event"),
        ({"deliveryStreamArn": "", "records": []}, "a Firehose transformation event"),
        ({"key1": "value1", "key2": "value2"}, "its keys: key1, key2"),
        ({}, "an empty event"),
        ({"Records": "x"}, "its keys: Records"),
        ({"Records": [7]}, "its keys: Records"),
        ([1], "a JSON list"),
    ],
)
def test_another_event_is_refused_by_its_name(event: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match="it reads batches of an event source mapping") as caught:
        read_batch(event)

    assert words in str(caught.value)


def test_two_shards_in_one_event_are_refused() -> None:
    event = kinesis_event([b"a"])
    event["Records"] += kinesis_event([b"b"], shard="shardId-000000000007")["Records"]

    with pytest.raises(ConfigurationError, match=r"several shards \(shardId-000000000000, shardId-000000000007\)"):
        read_batch(event)


def test_two_streams_in_one_event_are_refused() -> None:
    event = kinesis_event([b"a", b"b"])
    event["Records"][1]["eventSourceARN"] = STREAM + "-other"

    with pytest.raises(ConfigurationError, match="several streams"):
        read_batch(event)


def test_records_that_share_a_sequence_number_are_refused() -> None:
    event = kinesis_event([b"a"])
    event["Records"] *= 2

    with pytest.raises(ConfigurationError, match="enhanced fan-out"):
        read_batch(event)


@pytest.mark.parametrize("field", ["sequenceNumber", "data", "partitionKey", "approximateArrivalTimestamp"])
def test_a_missing_field_is_named_with_its_record(field: str) -> None:
    event = kinesis_event([b"a", b"b"])
    del event["Records"][1]["kinesis"][field]

    with pytest.raises(ConfigurationError, match=rf"record 1 .* lacks a usable kinesis\.{field}"):
        read_batch(event)


def test_a_field_of_another_type_is_named_with_its_record() -> None:
    event = kinesis_event([b"a", b"b"])
    event["Records"][1]["kinesis"]["data"] = 7

    with pytest.raises(ConfigurationError, match=r"record 1 .* lacks a usable kinesis\.data"):
        read_batch(event)


def test_an_event_id_without_a_shard_is_refused() -> None:
    event = kinesis_event([b"a"])
    event["Records"][0]["eventID"] = "7"

    with pytest.raises(ConfigurationError, match="eventID '7' is not"):
        read_batch(event)
