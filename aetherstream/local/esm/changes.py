"""The records of a table's stream, as Lambda hands them over.

A change travels through the mapping as a `StreamRecord` whose data are the record's own JSON, so that the machine
treats both kinds of stream alike.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from aetherstream.local.esm.events import StreamRecord, kinesis_event

_FIELDS = ("eventID", "eventName", "eventVersion", "eventSource", "awsRegion")


def is_table(stream_arn: str) -> bool:
    """Whether a stream is that of a DynamoDB table."""
    return ":dynamodb:" in stream_arn


def as_record(change: Mapping[str, Any]) -> StreamRecord:
    """A record of DynamoDB Streams' `GetRecords`, as boto3 gives it: bytes and times become what JSON has for them.

    AWS: with a parallelisation factor, changes of one item stay in their order, so its keys are the partition key.
    """
    told = change["dynamodb"]
    at: datetime = told["ApproximateCreationDateTime"]
    images: dict[str, Any] = {**told, "ApproximateCreationDateTime": at.timestamp()}
    record: dict[str, Any] = {name: change[name] for name in _FIELDS if name in change} | {"dynamodb": images}
    if who := change.get("userIdentity"):
        record["userIdentity"] = {"type": who["Type"], "principalId": who["PrincipalId"]}
    keys = orjson.dumps(told["Keys"], default=_text).decode()
    return StreamRecord(told["SequenceNumber"], keys, orjson.dumps(record, default=_text), at.timestamp())


def batch_event(shard_id: str, records: Iterable[StreamRecord], *, stream_arn: str, role_arn: str) -> dict[str, Any]:
    """The ordinary event of a batch, of either kind of stream."""
    if not is_table(stream_arn):
        return kinesis_event(shard_id, records, stream_arn=stream_arn, role_arn=role_arn)
    return {"Records": [{**orjson.loads(record.data), "eventSourceARN": stream_arn} for record in records]}


def fixed_change_bytes(stream_arn: str) -> int:
    """What every change costs in an event beside its own JSON, the comma before the next one included."""
    return len(orjson.dumps({"eventSourceARN": stream_arn})) - len("{}") + len(",") + len(",")


def change_bytes(record: StreamRecord, fixed: int) -> int:
    """The bytes that a change adds to its event, exactly; `fixed` comes from `fixed_change_bytes`."""
    return fixed + len(record.data)


def _text(value: object) -> Any:
    """AWS: binary values are base64 in an event."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is no value of an item")
