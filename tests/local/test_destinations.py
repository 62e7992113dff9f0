from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from aetherstream.local.destinations import Destinations
from aetherstream.local.environment import Clients
from aetherstream.local.esm import Discard, StreamRecord
from tests.local.fakes import FakeClients, client_error

RECORD = StreamRecord("1", "k", b"x", 0.0)
MESSAGE = {"version": "1.0"}


def discard(destination: str | None) -> Discard:
    return Discard("s", "RetryAttemptsExhausted", (RECORD,), destination, MESSAGE, {"Records": []}, "aws/lambda/key")


def send(clients: FakeClients, destination: str | None) -> bool:
    return Destinations(cast("Clients", clients))(discard(destination))


@pytest.mark.parametrize(
    ("destination", "call"),
    [
        (
            "arn:aws:s3:::bucket",
            (
                "put_object",
                {
                    "Bucket": "bucket",
                    "Key": "aws/lambda/key",
                    "Body": orjson.dumps({"version": "1.0", "payload": '{"Records":[]}'}),
                    "ContentType": "application/json",
                },
            ),
        ),
        (
            "arn:aws:sqs:us-east-1:000000000000:queue",
            ("send_message", {"QueueUrl": "http://queue/queue", "MessageBody": '{"version":"1.0"}'}),
        ),
        (
            "arn:aws:sns:us-east-1:000000000000:topic",
            ("publish", {"TopicArn": "arn:aws:sns:us-east-1:000000000000:topic", "Message": '{"version":"1.0"}'}),
        ),
    ],
)
def test_a_discard_goes_to_its_destination(destination: str, call: tuple[str, dict[str, Any]]) -> None:
    clients = FakeClients()
    assert send(clients, destination)
    assert clients.calls == [call]


def test_a_destination_that_refuses_is_told_and_not_repeated() -> None:
    assert not send(FakeClients(client_error("NoSuchBucket")), "arn:aws:s3:::bucket")


def test_without_a_destination_nothing_is_sent() -> None:
    clients = FakeClients()
    assert not send(clients, None)
    assert clients.calls == []
