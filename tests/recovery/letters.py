"""Dead letters as Lambda writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aetherstream.testing.events import STREAM, Payload, kinesis_event

KEY = "aws/lambda/mapping/shardId-000000000000/2026/11/21/2026-11-21T08.00.00-1"


def letter_of(event: dict[str, Any], *, payload: bool = True, nested: bool = False) -> dict[str, Any]:
    """The invocation record of a batch that outlived its age."""
    records = event["Records"]
    shard = records[0]["eventID"].partition(":")[0]
    made: dict[str, Any] = {
        "requestContext": {
            "requestId": "r",
            "functionArn": "arn:aws:lambda:eu-central-1:000000000000:function:f",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "1", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-11-21T08:00:00.000Z",
        "KinesisBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": records[0]["kinesis"]["sequenceNumber"],
            "endSequenceNumber": records[-1]["kinesis"]["sequenceNumber"],
            "approximateArrivalOfFirstRecord": "2026-11-21T07:00:00.250Z",
            "approximateArrivalOfLastRecord": "2026-11-21T07:00:01.250Z",
            "batchSize": len(records),
            "streamArn": STREAM,
        },
    }
    if payload:
        made["payload"] = event if nested else json.dumps(event)
    return made


def body_of(payloads: Iterable[Payload], **more: bool) -> bytes:
    """A dead letter of these payloads, as it stands in the bucket."""
    return json.dumps(letter_of(kinesis_event(payloads), **more)).encode()
