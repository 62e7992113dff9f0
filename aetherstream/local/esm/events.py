"""The events that Lambda makes of Kinesis records, and their exact size as compact JSON.

Ordinary and tumbling-window events have AWS's keys and value types. Sizes are those of compact JSON, which is what
`Invoke.payload` sends.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
import pybase64

ROLE_ARN = "arn:aws:iam::000000000000:role/aetherstream-local"
"""`invokeIdentityArn` where no role is known."""

EMPTY_EVENT_BYTES = len(b'{"Records":[]}')


class StreamRecord(NamedTuple):
    """A record as `GetRecords` returns it.

    `sequence_number` is decimal digits (compared as an integer), `arrival` is `ApproximateArrivalTimestamp` in epoch
    seconds with fraction.
    """

    sequence_number: str
    partition_key: str
    data: bytes
    arrival: float


def region_of(arn: str) -> str:
    """The region of an ARN, `""` where it has none."""
    parts = arn.split(":")
    return parts[3] if len(parts) > 3 else ""


def event_record(shard_id: str, record: StreamRecord, *, stream_arn: str, role_arn: str, region: str) -> dict[str, Any]:
    """One entry of `Records`."""
    sequence_number, partition_key, data, arrival = record
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": partition_key,
            "sequenceNumber": sequence_number,
            "data": pybase64.b64encode_as_string(data),
            "approximateArrivalTimestamp": arrival,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": role_arn,
        "awsRegion": region,
        "eventSourceARN": stream_arn,
    }


def kinesis_event(
    shard_id: str, records: Iterable[StreamRecord], *, stream_arn: str, role_arn: str = ROLE_ARN
) -> dict[str, Any]:
    """The ordinary event of a batch: `{"Records": [...]}` and no other key."""
    region = region_of(stream_arn)
    return {
        "Records": [event_record(shard_id, r, stream_arn=stream_arn, role_arn=role_arn, region=region) for r in records]
    }


def window_event(
    shard_id: str,
    records: Iterable[StreamRecord],
    *,
    stream_arn: str,
    start: float,
    end: float,
    state: Mapping[str, Any],
    final: bool = False,
    early: bool = False,
    role_arn: str = ROLE_ARN,
) -> dict[str, Any]:
    """The event of a batch under `TumblingWindowInSeconds`; `start` and `end` are epoch seconds.

    The event has its own copy of `state`: what a handler does to it in this process stays its own.
    """
    return {
        **kinesis_event(shard_id, records, stream_arn=stream_arn, role_arn=role_arn),
        "window": {"start": iso_seconds(start), "end": iso_seconds(end)},
        "state": copy.deepcopy(state),
        "shardId": shard_id,
        "eventSourceARN": stream_arn,
        "isFinalInvokeForWindow": final,
        "isWindowTerminatedEarly": early,
    }


def fixed_bytes(shard_id: str, *, stream_arn: str, role_arn: str = ROLE_ARN) -> int:
    """What every record of a shard costs in an event beside its own values, the comma before the next one included."""
    empty = event_record(
        shard_id, StreamRecord("", "", b"", 0.0), stream_arn=stream_arn, role_arn=role_arn, region=region_of(stream_arn)
    )
    return len(orjson.dumps(empty)) - len("0.0") - len('""') + 1


def record_bytes(record: StreamRecord, fixed: int) -> int:
    """The bytes that a record adds to its event, exactly; `fixed` comes from `fixed_bytes`."""
    sequence_number, partition_key, data, arrival = record
    return (
        fixed
        + 2 * len(sequence_number)
        + len(orjson.dumps(partition_key))
        + (len(data) + 2) // 3 * 4
        + len(orjson.dumps(arrival))
    )


def compact_json(value: object) -> bytes:
    """JSON without spaces; also for integers above 64 bits, which a state may hold and orjson refuses."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def iso_seconds(at: float) -> str:
    """Epoch seconds as `2026-11-21T07:04:00Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_millis(at: float) -> str:
    """Epoch seconds as `2026-11-21T07:04:00.021Z`."""
    return (
        datetime.fromtimestamp(round(at * 1000) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
