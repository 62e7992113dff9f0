from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.load_queue import SqsLoadQueue
from aetherstream.loader.notifications import Message, announced
from aetherstream.warehouse.sql import ObjectRef

QUEUE, DEAD = "https://sqs/queue", "https://sqs/dead"
NOW = 1_763_712_000.0


class Client:
    """SQS as far as it is asked: notes the requests; answers with an error, or what it is given."""

    def __init__(self, error: Exception | None = None, **answers: Any) -> None:
        self.error = error
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def ask(**request: Any) -> Any:
            self.asked.append((name, request))
            if self.error is not None:
                raise self.error
            return self.answers.get(name, {})

        return ask


def queue(client: Client) -> SqsLoadQueue:
    return SqsLoadQueue(client, QUEUE, DEAD, lambda: NOW)  # type: ignore[arg-type]


def message(name: str = "m1", body: str = "hello") -> Message:
    return Message(name, f"receipt of {name}", body)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "SendMessage")


def test_messages_are_delayed_ten_at_a_time() -> None:
    client = Client()
    queue(client).delay([(message(f"m{number}"), 60 + number) for number in range(12)])
    assert [(name, request["QueueUrl"], len(request["Entries"])) for name, request in client.asked] == [
        ("change_message_visibility_batch", QUEUE, 10),
        ("change_message_visibility_batch", QUEUE, 2),
    ]
    assert client.asked[1][1]["Entries"] == [
        {"Id": "0", "ReceiptHandle": "receipt of m10", "VisibilityTimeout": 70},
        {"Id": "1", "ReceiptHandle": "receipt of m11", "VisibilityTimeout": 71},
    ]


def test_messages_that_are_not_delayed_are_told() -> None:
    client = Client(change_message_visibility_batch={"Failed": [{"Id": "0"}]})
    with pytest.raises(Retryable, match=r"2 of 12 messages could not be delayed"):
        queue(client).delay([(message(f"m{number}"), 60) for number in range(12)])


def test_a_dead_letter_has_the_message_and_the_reason() -> None:
    client = Client()
    queue(client).refuse(message(), "s3://a/b\nis\x00 not ours")
    [(name, request)] = client.asked
    assert (name, request) == (
        "send_message",
        {
            "QueueUrl": DEAD,
            "MessageBody": "hello",
            "MessageAttributes": {"reason": {"DataType": "String", "StringValue": "s3://a/b?is? not ours"}},
        },
    )


def test_a_long_reason_is_cut() -> None:
    client = Client()
    queue(client).refuse(message(), "x" * 5000)
    assert len(client.asked[0][1]["MessageAttributes"]["reason"]["StringValue"]) == 1000


def test_objects_are_announced_in_few_requests_of_messages_that_the_loader_reads() -> None:
    client, objects = Client(), [ObjectRef("data", f"a/day=1/{number}.ndjson.gz") for number in range(100)]
    queue(client).announce(objects)
    bodies = [entry["MessageBody"] for _, request in client.asked for entry in request["Entries"]]
    read = [ObjectRef(each.bucket, each.key) for body in bodies for each in announced(body)]
    assert (read, [len(request["Entries"]) for _, request in client.asked]) == (objects, [10, 5])


def test_no_request_is_larger_than_aws_takes() -> None:
    client = Client()
    queue(client).announce([ObjectRef("b" * 63, "é" * 512) for _ in range(200)])
    sizes = [sum(len(entry["MessageBody"]) for entry in request["Entries"]) for _, request in client.asked]
    assert max(sizes) < 256 * 1024


def test_nothing_is_announced_without_objects() -> None:
    client = Client()
    queue(client).announce([])
    assert client.asked == []


def test_messages_that_the_queue_does_not_take_are_told() -> None:
    client = Client(send_message_batch={"Failed": [{"Id": "3", "Message": "too much"}]})
    with pytest.raises(Retryable, match="took not every message: too much"):
        queue(client).announce([ObjectRef("data", "a")])


def test_the_queue_and_its_dead_letters_are_counted() -> None:
    counts = {
        "ApproximateNumberOfMessages": "5",
        "ApproximateNumberOfMessagesNotVisible": "2",
        "ApproximateNumberOfMessagesDelayed": "1",
    }
    client = Client(get_queue_attributes={"Attributes": counts})
    assert queue(client).counts() == {"waiting": 5, "taken": 2, "delayed": 1, "dead": 5}
    assert [request["QueueUrl"] for _, request in client.asked] == [QUEUE, DEAD]


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (refused("AccessDenied"), ConfigurationError, "may not be used by the function's role .sqs:SendMessage."),
        (refused("AWS.SimpleQueueService.NonExistentQueue"), ConfigurationError, f"{QUEUE} does not exist"),
        (refused("RequestThrottled"), Retryable, "RequestThrottled"),
        (EndpointConnectionError(endpoint_url="https://sqs"), Retryable, "Could not connect"),
    ],
)
def test_each_error_says_what_to_do(error: Exception, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        queue(Client(error)).announce([ObjectRef("data", "a")])
