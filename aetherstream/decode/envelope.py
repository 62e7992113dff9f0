"""The Lambda event of a Kinesis event source mapping, read into columns; any other event is refused by name."""

from __future__ import annotations

from itertools import islice, repeat
from operator import eq
from typing import Any

from aetherstream.errors import ConfigurationError
from aetherstream.records import KinesisRecords

_FIELDS = ("sequenceNumber", "approximateArrivalTimestamp", "partitionKey", "data")

_SOURCES = {
    "aws:sqs": "an SQS event",
    "aws:sns": "an SNS event",
    "aws:s3": "an S3 event",
    "aws:dynamodb": "a DynamoDB Streams event",
}


def read_batch(event: dict[str, Any]) -> KinesisRecords:
    """Read the Kinesis records of a Lambda event into columns.

    `eventID` is the only place where an ordinary event names its shard (`<shard>:<sequence number>`). An event without
    records (the last one of a tumbling window can be such) gives an empty batch, with shard and stream as far as it
    names them.

    Raises:
        ConfigurationError: the event is not a Kinesis event, mixes shards or streams, lacks a field, or holds one
            sequence number twice.
    """
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list) or (records and not _is_kinesis(records[0])):
        raise ConfigurationError(
            f"this function was invoked with {_describe(event)}; it reads batches of an event source mapping on a"
            " Kinesis stream: look for a trigger, a destination or a test invocation that should not call it"
        )
    if not records:
        return KinesisRecords(str(event.get("eventSourceARN", "")), str(event.get("shardId", "")), [], [], [], [])
    try:
        entries = [r["kinesis"] for r in records]
        sequences: list[str] = [e["sequenceNumber"] for e in entries]
        arrivals: list[float] = [e["approximateArrivalTimestamp"] for e in entries]
        keys: list[str] = [e["partitionKey"] for e in entries]
        data: list[str] = [e["data"] for e in entries]
        ids: list[str] = [r["eventID"] for r in records]
        streams: set[str] = {r["eventSourceARN"] for r in records}
        shard, _, number = ids[0].rpartition(":")
        mixed = not all(map(str.startswith, ids, repeat(f"{shard}:")))
        if set(map(type, arrivals)) != {float}:
            arrivals = list(map(float, arrivals))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(_missing(records)) from error
    if set(map(type, data)) != {str} or set(map(type, sequences)) != {str}:
        raise ConfigurationError(_missing(records))
    if len(streams) > 1:
        raise ConfigurationError(f"one event mixes records of several streams ({_some(streams)}): Lambda never does")
    if not shard or number != sequences[0]:
        raise ConfigurationError(
            f"the eventID {ids[0]!r} is not `<shard>:<sequence number>`: this is not Lambda's event"
        )
    if mixed:
        shards = {i.rpartition(":")[0] for i in ids}
        raise ConfigurationError(f"one event mixes records of several shards ({_some(shards)}): Lambda never does")
    if any(map(eq, sequences, islice(sequences, 1, None))):  # Lambda sends them in order
        raise ConfigurationError(
            "several records of one event share a sequence number, so their positions are not unique: Lambda opens KPL"
            " aggregates itself for an enhanced fan-out consumer; map the function to the stream's ARN instead"
        )
    return KinesisRecords(streams.pop(), shard, sequences, arrivals, keys, data)


def _is_kinesis(record: object) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:kinesis" and "kinesis" in record


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3])


def _missing(records: list[Any]) -> str:
    """Name the first record and field that are not as Lambda sends them."""
    for index, record in enumerate(records):
        if not _is_kinesis(record) or not isinstance(record["kinesis"], dict):
            return f"record {index} of the event is not a Kinesis record, though the first one is"
        kinesis = record["kinesis"]
        where = [f"kinesis.{f}" for f in _FIELDS if not isinstance(kinesis.get(f), (str, int, float))]
        where += [f for f in ("eventID", "eventSourceARN") if not isinstance(record.get(f), str)]
        where += [f"kinesis.{f}" for f in ("sequenceNumber", "data") if isinstance(kinesis.get(f), (int, float))]
        if where:
            return f"record {index} of the Kinesis event lacks a usable {where[0]}: this is not Lambda's event"
    return "an approximateArrivalTimestamp of the Kinesis event is not a number: this is not Lambda's event"


def _describe(event: object) -> str:
    """Say what kind of event this is, as far as its marks tell."""
    if not isinstance(event, dict):
        return f"a JSON {type(event).__name__}, not an event"
    records = event.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        source = records[0].get("eventSource") or records[0].get("EventSource")
        if source:
            return _SOURCES.get(str(source).lower(), f"an event of {source}")
    if "detail-type" in event:
        return "an EventBridge event"
    if "requestContext" in event:
        if "KinesisBatchInfo" in event:
            return "the record of a failed batch (from an on-failure destination)"
        return "an API Gateway or function URL request"
    if "awslogs" in event:
        return "a CloudWatch Logs subscription event"
    if "deliveryStreamArn" in event:
        return "a Firehose transformation event"
    names = ", ".join(sorted(map(str, event))[:5])
    return f"an event of unknown kind (its keys: {names})" if names else "an empty event"
