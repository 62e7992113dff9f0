"""Dead letters: the records of batches that Lambda gave up, read from its invocation records. Pure.

Two shapes: S3 destinations get the whole Lambda event as `payload`; SQS and SNS destinations get the metadata alone,
and the records have to be read from the stream again. Whatever is half-written, foreign or was changed is refused by
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

import orjson

from aetherstream.decode import read_batch
from aetherstream.errors import ConfigurationError, Rejected
from aetherstream.records import KinesisRecords, sortable

PREFIX = "aws/lambda/"
"""AWS: an S3 destination gets `aws/lambda/<mapping>/<shard>/YYYY/MM/DD/<time>-<uuid>`."""


class UnusableLetter(Rejected):
    """An object or message that is no dead letter, or not a whole one; it stays where it is."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A batch that Lambda gave up."""

    place: str
    """Where it was found: `s3://bucket/key`, or the queue and message."""
    at: str
    """When Lambda gave it up, ISO 8601."""
    condition: str
    """`RetryAttemptsExhausted` or `RecordAgeExceeded`."""
    function_error: str | None
    """`Unhandled` where the function raised, timed out or was killed; None where it reported the batch."""
    attempts: int
    function: str
    """ARN of the function."""
    stream: str
    """ARN of the stream."""
    shard: str
    first: str
    """Sequence number of the first record."""
    last: str
    first_arrival: str
    last_arrival: str
    """ISO 8601."""
    size: int
    """Kinesis records of the batch."""
    batch: KinesisRecords | None
    """The records; None where only the metadata was kept."""

    def records(self) -> KinesisRecords:
        """The records that came along. Raises UnusableLetter where only the metadata did."""
        if self.batch is None:
            raise UnusableLetter("metadata only", f"{self.place} has no payload: its records are in the stream alone")
        return self.batch

    def holds(self, sequence: str) -> bool:
        """Tell whether a sequence number lies in the letter's range."""
        return sortable(self.first) <= sortable(sequence) <= sortable(self.last)

    def with_records(self, batch: KinesisRecords, place: str = "") -> DeadLetter:
        """The letter with the records that were read from the stream again."""
        names = [name for name in self.__dataclass_fields__ if name not in {"batch", "place"}]
        kept = {name: getattr(self, name) for name in names}
        return DeadLetter(place=place or self.place, batch=batch, **kept)

    def summary(self) -> dict[str, Any]:
        """Everything but the records, for people and programs."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "batch"}
        return {**found, "payload": self.batch is not None}


def parse(place: str, body: bytes, *, stream: str | None = None, function: str | None = None) -> DeadLetter:
    """Read a dead letter.

    `stream`: ARN of the stream that it has to come from; `function`: name of the function that has to have given it
    up, since another pipeline's letter says nothing of this one's records. Raises UnusableLetter that says what is
    wrong.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnusableLetter("not JSON", f"{place}: not JSON, perhaps half-written: {error}") from None
    if isinstance(found, dict) and isinstance(found.get("Message"), str) and "TopicArn" in found:
        found = _nested(place, found["Message"], "an SNS notification whose Message is not JSON")
    if not isinstance(found, dict) or not isinstance(found.get("KinesisBatchInfo"), dict):
        raise UnusableLetter("no dead letter", f"{place}: not an invocation record of a Kinesis batch")
    letter = _metadata(place, found)
    if stream is not None and letter.stream != stream:
        raise UnusableLetter(
            "another stream", f"{place}: from the stream {letter.stream}, this pipeline reads {stream}"
        )
    if function is not None and function_of(letter.function) != function:
        raise UnusableLetter(
            "another function",
            f"{place}: given up by the function {function_of(letter.function)}, this pipeline's is {function}; if that "
            f"was this pipeline's before, name it: --function {function_of(letter.function)}",
        )
    if "payload" not in found:
        return letter
    payload = found["payload"]
    # AWS documents the event as an escaped string; emulators nest it.
    event = _nested(place, payload, "its payload is not JSON") if isinstance(payload, str) else payload
    return letter.with_records(_checked(letter, event))


def function_of(arn: str) -> str:
    """Name of a function, of its ARN with or without a version or an alias.

    AWS: `arn:<partition>:lambda:<region>:<account>:function:<name>[:<qualifier>]`.
    """
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 else arn


def _metadata(place: str, found: Mapping[str, Any]) -> DeadLetter:
    info: Mapping[str, Any] = found["KinesisBatchInfo"]
    context = found.get("requestContext") or {}
    response = found.get("responseContext") or {}
    try:
        letter = DeadLetter(
            place=place,
            at=str(found["timestamp"]),
            condition=str(context["condition"]),
            function_error=response.get("functionError"),
            attempts=int(context["approximateInvokeCount"]),
            function=str(context["functionArn"]),
            stream=_text(info, "streamArn"),
            shard=_text(info, "shardId"),
            first=_text(info, "startSequenceNumber"),
            last=_text(info, "endSequenceNumber"),
            first_arrival=_text(info, "approximateArrivalOfFirstRecord"),
            last_arrival=_text(info, "approximateArrivalOfLastRecord"),
            size=int(info["batchSize"]),
            batch=None,
        )
        datetime.fromisoformat(letter.at), datetime.fromisoformat(letter.first_arrival)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnusableLetter("no dead letter", f"{place}: an invocation record without a usable {error}") from None
    if not (letter.first.isdecimal() and letter.last.isdecimal()) or sortable(letter.first) > sortable(letter.last):
        raise UnusableLetter("changed", f"{place}: its range {letter.first} to {letter.last} is none")
    return letter


def _text(info: Mapping[str, Any], name: str) -> str:
    value = info[name]
    if not isinstance(value, str) or not value:
        raise KeyError(name)
    return value


def _nested(place: str, text: str, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UnusableLetter("not JSON", f"{place}: {what}, perhaps half-written: {error}") from None


def _checked(letter: DeadLetter, event: Any) -> KinesisRecords:
    """The payload's records, held against what Lambda says of the batch."""
    try:
        batch = read_batch(event)
    except ConfigurationError as error:
        raise UnusableLetter("payload unusable", f"{letter.place}: its payload is no Kinesis event: {error}") from None
    numbers = [sortable(sequence) for sequence in batch.sequences]
    said = {
        "the stream": (batch.stream, letter.stream),
        "the shard": (batch.shard, letter.shard),
        "the number of records": (len(batch), letter.size),
        "the first sequence number": (batch.sequences[0] if numbers else None, letter.first),
        "the last sequence number": (batch.sequences[-1] if numbers else None, letter.last),
    }
    for what, (payload, metadata) in said.items():
        if payload != metadata:
            raise UnusableLetter(
                "changed", f"{letter.place}: {what} is {metadata} in its metadata but {payload} in its payload"
            )
    if any(not sequence.isdecimal() for sequence in batch.sequences) or numbers != sorted(set(numbers)):
        raise UnusableLetter("changed", f"{letter.place}: the sequence numbers of its payload do not rise")
    return batch


def locations(message: str) -> list[tuple[str, str]]:
    """Bucket and key of each object that an S3 notification names; nothing for any other message."""
    try:
        found = orjson.loads(message)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(found, dict) or not isinstance(found.get("Records"), list):
        return []
    places = []
    for record in found["Records"]:
        s3 = record.get("s3") if isinstance(record, dict) else None
        if isinstance(s3, dict):
            # AWS: keys of notifications are URL-encoded, a space as a plus sign.
            places.append((str(s3["bucket"]["name"]), unquote_plus(str(s3["object"]["key"]))))
    return places
