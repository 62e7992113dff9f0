"""The queue of staged objects: what can't be settled comes again later, or goes to the dead letters; and a person may
announce objects again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote_plus

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.notifications import Message
from aetherstream.warehouse.sql import ObjectRef

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_AT_ONCE = 10
"""AWS: most entries of one batch request."""
_IN_ONE = 7
"""Objects that one message announces. A key has up to 1,024 bytes, three times that as it is written there, so that ten
messages stay below 256 KB, which AWS takes in one request."""
_LONGEST_REASON = 1000
_MISCONFIGURED = {
    "AWS.SimpleQueueService.NonExistentQueue": "does not exist",
    "QueueDoesNotExist": "does not exist",
    "AccessDenied": "may not be used by the function's role",
    "AccessDeniedException": "may not be used by the function's role",
}


class LoaderQueue(Protocol):
    """Where the loader's messages come from, and the dead letters beside it. Used from one thread at a time."""

    def delay(self, waits: Sequence[tuple[Message, int]], /) -> None:
        """Let messages come again after so many seconds each.

        Raises Retryable and ConfigurationError; what is not delayed then comes when the queue's own time is over.
        """

    def refuse(self, message: Message, reason: str, /) -> None:
        """Put a copy among the dead letters, with the reason. Raises Retryable and ConfigurationError."""


class SqsLoadQueue:
    """`LoaderQueue`, and `aetherstream.loader.by_hand.LoadQueue`, on SQS."""

    def __init__(
        self, client: SQSClient, queue: str, dead_letters: str, clock: Callable[[], float] = time.time
    ) -> None:
        """`queue`, `dead_letters`: URLs; `clock`: epoch seconds."""
        self._client = client
        self._queue = queue
        self._dead_letters = dead_letters
        self._clock = clock

    def delay(self, waits: Sequence[tuple[Message, int]], /) -> None:
        """See `LoaderQueue.delay`."""
        left = 0
        for start in range(0, len(waits), _AT_ONCE):
            entries: list[Any] = [
                {"Id": str(number), "ReceiptHandle": message.receipt, "VisibilityTimeout": seconds}
                for number, (message, seconds) in enumerate(waits[start : start + _AT_ONCE])
            ]
            ask = self._client.change_message_visibility_batch
            answer = _asked(self._queue, "sqs:ChangeMessageVisibility", ask, Entries=entries)
            left += len(answer.get("Failed", ()))
        if left:
            raise Retryable(f"{self._queue}: {left} of {len(waits)} messages could not be delayed")

    def refuse(self, message: Message, reason: str, /) -> None:
        """See `LoaderQueue.refuse`."""
        # AWS: the value of an attribute holds no control characters.
        text = "".join(each if each.isprintable() else "?" for each in reason)[:_LONGEST_REASON]
        attributes = {"reason": {"DataType": "String", "StringValue": text}}
        ask = self._client.send_message
        _asked(self._dead_letters, "sqs:SendMessage", ask, MessageBody=message.body, MessageAttributes=attributes)

    def announce(self, objects: Sequence[ObjectRef], /) -> None:
        """Say that these objects are there, as S3 says it; what was sent before an error stays sent.

        Raises Retryable and ConfigurationError.
        """
        messages = list(notifications(objects, self._clock()))
        for start in range(0, len(messages), _AT_ONCE):
            batch = messages[start : start + _AT_ONCE]
            entries: list[Any] = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)]
            answer = _asked(self._queue, "sqs:SendMessage", self._client.send_message_batch, Entries=entries)
            if failed := answer.get("Failed"):
                raise Retryable(f"{self._queue} took not every message: {failed[0].get('Message', '')}")

    def counts(self) -> Mapping[str, int]:
        """Count the messages, roughly: `waiting`, `taken`, `delayed`, and `dead` beside it. Raises as `announce`."""
        own = self._attributes(self._queue, "", "NotVisible", "Delayed")
        dead = self._attributes(self._dead_letters, "")
        return {"waiting": own[0], "taken": own[1], "delayed": own[2], "dead": dead[0]}

    def _attributes(self, queue: str, *kinds: str) -> list[int]:
        names: list[Any] = [f"ApproximateNumberOfMessages{kind}" for kind in kinds]
        ask = self._client.get_queue_attributes
        found = _asked(queue, "sqs:GetQueueAttributes", ask, AttributeNames=names).get("Attributes", {})
        return [int(found.get(name, 0)) for name in names]


def notifications(objects: Sequence[ObjectRef], now: float) -> Iterator[str]:
    """Write the bodies of messages as S3 writes its notifications, some objects in each; `now`: epoch seconds."""
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for start in range(0, len(objects), _IN_ONE):
        records = [
            {
                "eventSource": "aetherstream",
                "eventName": "ObjectCreated:Announced",
                "eventTime": at,
                "s3": {"bucket": {"name": each.bucket}, "object": {"key": quote_plus(each.key, safe="/")}},
            }
            for each in objects[start : start + _IN_ONE]
        ]
        yield orjson.dumps({"Records": records}).decode()


def _asked(queue: str, right: str, ask: Callable[..., Any], **request: Any) -> Any:
    try:
        return ask(QueueUrl=queue, **request)
    except ClientError as error:
        why = _MISCONFIGURED.get(error.response["Error"]["Code"])
        if why is not None:
            raise ConfigurationError(f"the queue {queue} {why} ({right}): {error}") from error
        raise Retryable(f"{queue}: {error}") from error
    except BotoCoreError as error:
        raise Retryable(f"{queue}: {error}") from error
