"""What Lambda says of a tumbling window when it invokes the function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aetherstream.aggregates.windows import Window
from aetherstream.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Invocation:
    """The part of the event beside its records."""

    window: Window
    """Of arrival times, as Lambda cuts it."""
    shard: str
    state: Mapping[str, Any]
    """What the response before this one returned; empty where a window begins."""
    final: bool
    """The window ends with this invocation: its state is dropped when this succeeds."""
    early: bool
    """It ends early because its state has outgrown Lambda's limit."""


def invocation_of(event: Mapping[str, Any]) -> Invocation:
    """Read an event.

    Raises ConfigurationError where it is none of a mapping with tumbling windows.
    """
    try:
        window = Window(_seconds(event["window"]["start"]), _seconds(event["window"]["end"]))
        shard = str(event["shardId"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the event names no tumbling window and its shard ({error!r}): this function needs an event source "
            "mapping on a Kinesis stream with TumblingWindowInSeconds set (the template makes one)"
        ) from error
    return Invocation(
        window,
        shard,
        event.get("state") or {},
        event.get("isFinalInvokeForWindow") is True,
        event.get("isWindowTerminatedEarly") is True,
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
