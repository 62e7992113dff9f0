"""Dead letters are read in both of their shapes; what is none, or not a whole one, is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aetherstream.decode import read_batch
from aetherstream.recovery.dead_letters import UnusableLetter, function_of, locations, parse
from aetherstream.testing.events import STREAM, kinesis_event
from tests.recovery.letters import body_of, letter_of

EVENT = kinesis_event([{"n": 1}, {"n": 2}, {"n": 3}])


def why(body: bytes, **more: str) -> tuple[str, str]:
    with pytest.raises(UnusableLetter) as raised:
        parse("s3://dead/key", body, **more)
    return raised.value.reason, raised.value.message


@pytest.mark.parametrize("nested", [False, True], ids=["escaped", "nested"])
def test_the_payload_is_read_whether_it_is_text_or_an_object(nested: bool) -> None:
    letter = parse("p", json.dumps(letter_of(EVENT, nested=nested)).encode())
    assert letter.records() == read_batch(EVENT)


def test_it_says_where_it_comes_from_and_why(  # the words that `dlq list` shows
) -> None:
    sequences = [record["kinesis"]["sequenceNumber"] for record in EVENT["Records"]]
    assert parse("s3://dead/key", json.dumps(letter_of(EVENT)).encode(), stream=STREAM).summary() == {
        "place": "s3://dead/key",
        "at": "2026-11-21T08:00:00.000Z",
        "condition": "RetryAttemptsExhausted",
        "function_error": "Unhandled",
        "attempts": 3,
        "function": "arn:aws:lambda:eu-central-1:000000000000:function:f",
        "stream": STREAM,
        "shard": "shardId-000000000000",
        "first": sequences[0],
        "last": sequences[2],
        "first_arrival": "2026-11-21T07:00:00.250Z",
        "last_arrival": "2026-11-21T07:00:01.250Z",
        "size": 3,
        "payload": True,
    }


def test_a_letter_of_an_age_passed_has_no_response(  # AWS leaves responseContext out
) -> None:
    made = letter_of(EVENT)
    del made["responseContext"]
    assert parse("p", json.dumps(made).encode()).function_error is None


def test_one_with_metadata_only_has_no_records_but_a_range() -> None:
    letter = parse("p", json.dumps(letter_of(EVENT, payload=False)).encode())
    with pytest.raises(UnusableLetter, match="its records are in the stream alone"):
        letter.records()
    assert [letter.holds(record["kinesis"]["sequenceNumber"]) for record in EVENT["Records"]] == [True] * 3
    assert not letter.holds(letter.last + "0")


def test_one_that_came_by_a_topic_is_read_from_its_notification() -> None:
    notification = {"TopicArn": "arn:aws:sns:x", "Message": json.dumps(letter_of(EVENT, payload=False))}
    assert parse("p", json.dumps(notification).encode()).size == 3


@pytest.mark.parametrize("cut", [0, 1, 40, 400, -1])
def test_a_half_written_one_is_refused(cut: int) -> None:
    assert why(body_of([{"n": 1}])[:cut])[0] == "not JSON"


@pytest.mark.parametrize("foreign", [b"[]", b"{}", b"7", b'{"Records": []}', b'{"KinesisBatchInfo": 3}'])
def test_a_foreign_object_is_refused(foreign: bytes) -> None:
    assert why(foreign) == ("no dead letter", "s3://dead/key: not an invocation record of a Kinesis batch")


def drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(letter: dict[str, Any]) -> None:
        inner = letter
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]

    return change


@pytest.mark.parametrize(
    "path",
    [
        ("timestamp",),
        ("requestContext",),
        ("requestContext", "condition"),
        ("KinesisBatchInfo", "shardId"),
        ("KinesisBatchInfo", "batchSize"),
        ("KinesisBatchInfo", "approximateArrivalOfFirstRecord"),
    ],
)
def test_one_that_lacks_something_is_refused_with_its_name(path: tuple[str, ...]) -> None:
    made = letter_of(EVENT)
    drop(*path)(made)
    reason, message = why(json.dumps(made).encode())
    assert (reason, "without a usable" in message) == ("no dead letter", True)


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("shardId", "shardId-000000000009", "the shard is"),
        ("batchSize", 2, "the number of records is 2 in its metadata but 3 in its payload"),
        ("startSequenceNumber", "1", "the first sequence number is"),
        ("endSequenceNumber", "9" * 60, "the last sequence number is"),
        ("streamArn", "arn:aws:kinesis:::stream/other", "the stream is"),
        ("startSequenceNumber", "9" * 60, "its range"),
        ("startSequenceNumber", "x", "its range"),
    ],
)
def test_one_whose_metadata_and_payload_differ_is_refused(field: str, value: Any, what: str) -> None:
    made = letter_of(EVENT)
    made["KinesisBatchInfo"][field] = value
    reason, message = why(json.dumps(made).encode())
    assert (reason, what in message) == ("changed", True), message


def test_one_whose_records_were_swapped_is_refused() -> None:
    event = kinesis_event([{"n": n} for n in range(4)])
    made = letter_of(event)
    records = event["Records"]
    records[1], records[2] = records[2], records[1]
    made["payload"] = json.dumps(event)
    assert why(json.dumps(made).encode()) == (
        "changed",
        "s3://dead/key: the sequence numbers of its payload do not rise",
    )


def test_one_whose_payload_is_another_event_is_refused() -> None:
    made = letter_of(EVENT) | {"payload": '{"Records": [{"eventSource": "aws:sqs"}]}'}
    assert why(json.dumps(made).encode())[0] == "payload unusable"


def test_one_of_another_stream_is_refused() -> None:
    other = "arn:aws:kinesis:eu-central-1:000000000000:stream/other"
    reason, message = why(json.dumps(letter_of(EVENT)).encode(), stream=other)
    assert (reason, f"this pipeline reads {other}" in message) == ("another stream", True)


def test_the_objects_of_a_notification_are_found_by_their_decoded_keys() -> None:
    record = {"s3": {"bucket": {"name": "dead"}, "object": {"key": "aws/lambda/a+b%2Bc"}}}
    assert locations(json.dumps({"Records": [record]})) == [("dead", "aws/lambda/a b+c")]


@pytest.mark.parametrize("message", ["", "{}", "[1]", '{"Records": [1, {}]}'])
def test_other_messages_name_no_objects(message: str) -> None:
    assert locations(message) == []


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:lambda:eu-central-1:000000000000:function:flights-Stream-1", "flights-Stream-1"),
        ("arn:aws-cn:lambda:cn-north-1:000000000000:function:flights:live", "flights"),
        ("arn:aws:lambda:eu-central-1:000000000000:function:flights:$LATEST", "flights"),
        ("flights", "flights"),
    ],
)
def test_a_function_is_named_without_its_version_or_alias(arn: str, name: str) -> None:
    assert function_of(arn) == name
