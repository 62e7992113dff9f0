"""A stream, a function and a destination around one mapping, in virtual time."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aetherstream.local.esm import (
    Backoff,
    Discard,
    FunctionError,
    Invoke,
    Mapping,
    MappingSettings,
    Result,
    Returned,
    StreamRecord,
)

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/flights"
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:flights:live"
BUCKET = "arn:aws:s3:::dead-letters"
SHARD = "shardId-000000000000"
START = 1_763_712_000.0  # 2025-11-21T08:00:00Z, a multiple of 60 s

Function = Callable[[list[str], dict[str, Any]], Result]


def settings(**changes: Any) -> MappingSettings:
    return MappingSettings(**{"stream_arn": STREAM, "function_arn": FUNCTION, "on_failure": BUCKET, **changes})


def record(number: int, *, key: str = "k", data: bytes = b"hello", arrival: float = START) -> StreamRecord:
    return StreamRecord(str(number), key, data, arrival)


def records(numbers: Iterable[int], **values: Any) -> list[StreamRecord]:
    return [record(number, **values) for number in numbers]


def numbers(event: dict[str, Any]) -> list[str]:
    """The sequence numbers of an event's records."""
    return [r["kinesis"]["sequenceNumber"] for r in event["Records"]]


def failing_at(*poison: str) -> Function:
    """A function that reports the poisonous records by partial response."""

    def run(batch: list[str], _event: dict[str, Any]) -> Result:
        return Returned({"batchItemFailures": [{"itemIdentifier": n} for n in batch if n in poison]})

    return run


def raising_at(*poison: str) -> Function:
    """A function that raises when a poisonous record is among its batch."""

    def run(batch: list[str], _event: dict[str, Any]) -> Result:
        return FunctionError() if set(batch) & set(poison) else Returned(None)

    return run


def answering(*results: Result) -> Function:
    """A function that gives these results, one an invocation."""
    left = iter(results)
    return lambda _batch, _event: next(left)


def ok(_batch: list[str], _event: dict[str, Any]) -> Result:
    return Returned(None)


@dataclass
class Harness:
    """Runs every invocation at once, without duration, and jumps to the next wake."""

    mapping: Mapping
    function: Function = ok
    now: float = START
    invoked: list[tuple[float, list[str]]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    discarded: list[Discard] = field(default_factory=list)

    def run(self, until: float = START + 10_000_000, invocations: int = 10_000) -> "Harness":
        while (wake := self.mapping.next_wake(self.now)) is not None and wake <= until:
            self.now = wake
            for action in self.mapping.poll(self.now):
                if isinstance(action, Discard):
                    self.discarded.append(action)
                else:
                    self._invoke(action)
            if len(self.invoked) >= invocations:
                break
        return self

    def _invoke(self, action: Invoke) -> None:
        batch = numbers(action.event)
        self.invoked.append((self.now, batch))
        self.events.append(action.event)
        self.mapping.finished(action.invocation_id, self.function(batch, action.event), self.now)

    @property
    def batches(self) -> list[list[str]]:
        return [batch for _, batch in self.invoked]

    @property
    def gone(self) -> list[tuple[str, list[str]]]:
        """Condition and sequence numbers of every discard."""
        return [(d.condition, [r.sequence_number for r in d.records]) for d in self.discarded]


def harness(
    function: Function = ok,
    *,
    feed: Iterable[StreamRecord] = (),
    seed: int = 7,
    backoff: Backoff | None = None,
    **changes: Any,
) -> Harness:
    mapping = Mapping(settings(**changes), random.Random(seed), backoff)
    mapping.add_shard(SHARD)
    mapping.feed(SHARD, list(feed), START)
    return Harness(mapping, function)


def invokes(mapping: Mapping, now: float) -> list[Invoke]:
    return [action for action in mapping.poll(now) if isinstance(action, Invoke)]
