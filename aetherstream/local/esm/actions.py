"""What the mapping asks of its driver (`Invoke`, `Discard`), and what the driver answers (`Result`)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from aetherstream.local.esm.changes import is_table
from aetherstream.local.esm.events import StreamRecord, compact_json, iso_millis

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]


@dataclass(frozen=True, slots=True)
class Invoke:
    """Invoke the function synchronously with `payload()`, then hand the outcome to `Mapping.finished`.

    Any number of `Invoke`s of different shards and lanes may run at once.
    """

    invocation_id: str
    shard_id: str
    function_arn: str
    event: dict[str, Any]

    def payload(self) -> bytes:
        """The event as compact JSON; at most 6 MiB."""
        return compact_json(self.event)


@dataclass(frozen=True, slots=True)
class Discard:
    """Send the invocation record to the on-failure destination; the mapping has moved past the records.

    `destination` is the ARN of a queue, a topic or a bucket, `None` where the mapping has none (the records are lost).
    SQS and SNS get `message`, S3 gets `s3_body` under `s3_key`. A delivery that fails drops the records (AWS:
    `DestinationDeliveryFailures`, `DroppedEventCount`): the mapping wants no answer.
    """

    shard_id: str
    condition: Condition
    records: tuple[StreamRecord, ...]
    destination: str | None
    message: dict[str, Any]
    event: dict[str, Any]
    s3_key: str

    def s3_body(self) -> bytes:
        """The record with `payload`, the event as an escaped JSON string (AWS: S3 on-failure destination)."""
        return compact_json({**self.message, "payload": compact_json(self.event).decode()})


Action = Invoke | Discard


@dataclass(frozen=True, slots=True)
class Returned:
    """The function returned; `payload` is its result, decoded from JSON (`None` for `null`).

    `request_id` is the service's, where the driver knows it; the invocation id stands in otherwise.
    """

    payload: object
    executed_version: str = "$LATEST"
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionError:
    """The function ran and failed: exception, time-out, crash, out of memory, result that is not JSON."""

    kind: str = "Unhandled"
    executed_version: str = "$LATEST"
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """The function did not run: throttle, no permission, service error. Not counted by `MaximumRetryAttempts`."""


Result = Returned | FunctionError | Throttled


def invocation_record(
    *,
    condition: Condition,
    request_id: str,
    function_arn: str,
    invoke_count: int,
    response: dict[str, Any] | None,
    shard_id: str,
    stream_arn: str,
    records: tuple[StreamRecord, ...],
    now: float,
) -> dict[str, Any]:
    """The message to an on-failure destination. Without `response` it has no `responseContext`."""
    return {
        "requestContext": {
            "requestId": request_id,
            "functionArn": function_arn,
            "condition": condition,
            "approximateInvokeCount": invoke_count,
        },
        **({} if response is None else {"responseContext": response}),
        "version": "1.0",
        "timestamp": iso_millis(now),
        ("DDBStreamBatchInfo" if is_table(stream_arn) else "KinesisBatchInfo"): {
            "shardId": shard_id,
            "startSequenceNumber": records[0].sequence_number,
            "endSequenceNumber": records[-1].sequence_number,
            "approximateArrivalOfFirstRecord": iso_millis(records[0].arrival),
            "approximateArrivalOfLastRecord": iso_millis(records[-1].arrival),
            "batchSize": len(records),
            "streamArn": stream_arn,
        },
    }


def s3_key(mapping_uuid: str, shard_id: str, now: float, unique: str) -> str:
    """`aws/lambda/<ESM-UUID>/<shardId>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<UUID>` at the record's `timestamp`."""
    at = datetime.fromtimestamp(round(now * 1000) / 1000, UTC)
    return f"aws/lambda/{mapping_uuid}/{shard_id}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{unique}"
