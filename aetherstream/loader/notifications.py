"""Which objects a message of the load queue announces. Pure.

Object notifications come at least once and in any order; nothing of them is believed but that an object is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

import orjson


@dataclass(frozen=True, slots=True)
class Message:
    """A message as Lambda hands it over."""

    id: str
    receipt: str
    """Stands for this receiving of it."""
    body: str
    received: int = 1
    """How often it has been received, this time included."""


@dataclass(frozen=True, slots=True)
class Announced:
    """An object that somebody says is there."""

    bucket: str
    key: str
    at: float | None = None
    """When it was put, epoch seconds; None where the message does not say."""

    @property
    def location(self) -> str:
        """`bucket/key`."""
        return f"{self.bucket}/{self.key}"


class Foreign(Exception):
    """A message that the load queue is not for; the text says why."""


def messages_of(event: Mapping[str, Any]) -> list[Message]:
    """Read an event of an SQS event source mapping."""
    return [
        Message(
            record["messageId"],
            record["receiptHandle"],
            record["body"],
            int(record.get("attributes", {}).get("ApproximateReceiveCount", 1)),
        )
        for record in event["Records"]
    ]


def announced(body: str) -> list[Announced]:
    """Read a message's body: a notification of S3's own, or an event of EventBridge. Empty for S3's test of the queue.

    Raises Foreign for what is neither.
    """
    try:
        found = orjson.loads(body)
    except ValueError:
        raise Foreign("it is not JSON") from None
    if not isinstance(found, dict):
        raise Foreign("it is no JSON object")
    if found.get("Event") == "s3:TestEvent":
        return []
    try:
        if "detail-type" in found:
            return [_event(found)]
        return list(_records(found))
    except (KeyError, TypeError, AttributeError, UnicodeError):
        raise Foreign("it is no notification of an object") from None


def _records(found: Mapping[str, Any]) -> Iterator[Announced]:
    for record in found["Records"]:
        _check_name(record["eventName"], record["eventName"].removeprefix("s3:").startswith("ObjectCreated:"))
        place = record["s3"]
        # AWS: the key is URL-encoded there, with a plus sign for a space.
        key = unquote_plus(place["object"]["key"], errors="strict")
        yield _made(place["bucket"]["name"], key, record.get("eventTime"))


def _event(found: Mapping[str, Any]) -> Announced:
    _check_name(found["detail-type"], found["detail-type"] == "Object Created")
    detail = found["detail"]
    return _made(detail["bucket"]["name"], detail["object"]["key"], found.get("time"))


def _check_name(name: object, is_creation: bool) -> None:
    if not is_creation:
        raise Foreign(f"it tells of {name!r:.80}, not of an object that was created")


def _made(bucket: object, key: object, time: object) -> Announced:
    if not isinstance(bucket, str) or not isinstance(key, str) or not bucket or not key:
        raise TypeError
    return Announced(bucket, key, _seconds(time))


def _seconds(time: object) -> float | None:
    try:
        found = datetime.fromisoformat(time) if isinstance(time, str) else None
    except ValueError:
        return None
    return found.timestamp() if found is not None and found.tzinfo is not None else None
