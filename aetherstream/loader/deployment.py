"""What the loader answers to CloudFormation, which asks it to make the tables of a stack."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from typing import Any

import orjson

Respond = Callable[[str, Mapping[str, Any]], None]
"""Sends a result to the URL of a request."""

_LONGEST = 3000
"""Bytes of a reason. AWS: a response has at most 4,096 bytes."""
_TRIES = 4
_SECONDS = 10.0


def result_of(event: Mapping[str, Any], told: Mapping[str, Any], pipeline: str) -> dict[str, str]:
    """Say what came of a request, given the answer to `apply`; whatever keeps a table from loading fails it."""
    wrong = "; ".join(_wrong(told))
    return {
        "Status": "FAILED" if wrong else "SUCCESS",
        "Reason": _cut(wrong or "; ".join(_done(told)) or "nothing was to be done"),
        # Where it stays the same, nothing is deleted when the stack is updated.
        "PhysicalResourceId": event.get("PhysicalResourceId") or f"{pipeline}-tables",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }


def respond(url: str, result: Mapping[str, Any], *, pause: Callable[[float], object] = time.sleep) -> None:
    """Send a result; tried some times. Raises OSError where it does not get through."""
    body = orjson.dumps(result)
    # AWS: the URL is signed for an empty Content-Type.
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 - CloudFormation's
    for left in reversed(range(_TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
                return
        except (OSError, HTTPException):
            if not left:
                raise
            pause(1.0)


def _wrong(told: Mapping[str, Any]) -> Iterator[str]:
    if told["state"] != "done":
        yield str(told["message"])
    for sink in told.get("sinks", ()):
        for refusal in sink.get("refusals", ()):
            yield f"{sink['table']}.{refusal['column']} {refusal['reason']}: {refusal['way_out']}"
        if "trouble" in sink:
            yield f"{sink['sink']}: {sink['trouble']}"


def _done(told: Mapping[str, Any]) -> Iterator[str]:
    for sink in told.get("sinks", ()):
        for text in sink.get("done", ()):
            yield f"{sink['table']}: {text}"


def _cut(text: str) -> str:
    shown = text.encode()[:_LONGEST].decode(errors="ignore")
    return shown if shown == text else f"{shown} ..."
