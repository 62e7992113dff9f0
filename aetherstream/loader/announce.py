"""Announcing objects on the loader's queue, as S3 would, and counting what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.warehouse.sql import ObjectRef

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MESSAGE = 25
"""Objects that one message announces. One that waits holds the others of its message back with it: they are asked for
again, and the ledger knows them then."""

BATCH = 10
"""Messages of one request. AWS: at most 10, of 256 KB together; a key has at most 1,024 bytes, three times that as it
is written here, so a batch is sent in parts where it has to be."""

MOST_BYTES = 240_000

_FORBIDDEN = {"AccessDenied", "AccessDeniedException", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}


class SqsAnnouncements:
    """`LoadQueue` on SQS."""

    def __init__(self, client: SQSClient, queue: str, dead_letters: str) -> None:
        """`queue`, `dead_letters`: URLs."""
        self._client = client
        self._queue = queue
        self._dead_letters = dead_letters

    def announce(self, objects: Sequence[ObjectRef], /) -> None:
        """See `LoadQueue.announce`; what was sent before an error stays sent."""
        for batch in _batches(_messages(objects)):
            entries: Any = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)]
            answer = self._ask("send_message_batch", self._queue, Entries=entries)
            if failed := answer.get("Failed"):
                first = failed[0]
                raise Retryable(f"{self._queue} took not every message: {first.get('Code')}: {first.get('Message')}")

    def counts(self) -> Mapping[str, int]:
        """See `LoadQueue.counts`."""
        names = {
            "waiting": "ApproximateNumberOfMessages",
            "taken": "ApproximateNumberOfMessagesNotVisible",
            "delayed": "ApproximateNumberOfMessagesDelayed",
        }
        own = self._attributes(self._queue, list(names.values()))
        dead = self._attributes(self._dead_letters, ["ApproximateNumberOfMessages"])
        return {
            **{name: int(own.get(attribute, 0)) for name, attribute in names.items()},
            "dead": int(dead.get("ApproximateNumberOfMessages", 0)),
        }

    def _attributes(self, queue: str, names: list[str]) -> Mapping[str, str]:
        found: Mapping[str, str] = self._ask("get_queue_attributes", queue, AttributeNames=names).get("Attributes", {})
        return found

    def _ask(self, operation: str, queue: str, **request: Any) -> Any:
        try:
            return getattr(self._client, operation)(QueueUrl=queue, **request)
        except ClientError as error:
            if error.response["Error"]["Code"] in _FORBIDDEN:
                raise ConfigurationError(
                    f"the queue {queue} can't be used; the loader's role needs sqs:SendMessage and "
                    f"sqs:GetQueueAttributes on it: {error}"
                ) from error
            raise Retryable(f"{queue}: {error}") from error
        except BotoCoreError as error:
            raise Retryable(f"{queue}: {error}") from error


def _messages(objects: Sequence[ObjectRef]) -> Iterator[str]:
    for start in range(0, len(objects), MESSAGE):
        yield notification(objects[start : start + MESSAGE])


def notification(objects: Iterable[ObjectRef]) -> str:
    """The body of a message, with what of S3's form tells which objects are meant, and when they were announced."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    records = [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventTime": now,
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": each.bucket}, "object": {"key": quote_plus(each.key, safe="/")}},
        }
        for each in objects
    ]
    return orjson.dumps({"Records": records}).decode()


def _batches(messages: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == BATCH or size + len(message) > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message)
    if batch:
        yield batch
