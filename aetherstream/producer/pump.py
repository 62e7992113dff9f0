"""A file into a stream: what `aetherstream produce` does, without its options and its screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from isal import igzip

from aetherstream.producer.calls import FINAL
from aetherstream.producer.model import Counters, Delivery, DeliveryError, RecordRefused
from aetherstream.producer.producer import Producer
from aetherstream.producer.source import BadLine, KeyMissingError, Line, key_of


@dataclass(slots=True)
class Result:
    """What came of a run. `stopped`: why reading ended before the file did."""

    read: int = 0
    bad: int = 0
    stopped: str | None = None
    seconds: float = 0.0
    counters: Counters = field(default_factory=Counters)

    def as_json(self) -> dict[str, Any]:
        """One flat object."""
        rate = round(self.counters.delivered / self.seconds, 1) if self.seconds else None
        own = {"read": self.read, "bad_lines": self.bad, "stopped": self.stopped}
        return {**own, **asdict(self.counters), "seconds": round(self.seconds, 3), "records_per_second": rate}


class Pace:
    """Holds a loop to so many turns a second, evenly; None is no limit."""

    def __init__(self, rate: float | None, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._interval = 1.0 / rate if rate else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def wait(self) -> None:
        """Return when the next turn is due; time that was lost elsewhere is not made up for by a burst."""
        if not self._interval:
            return
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._interval


def pump(
    producer: Producer,
    lines: Iterable[Line | BadLine],
    *,
    key_field: str | None,
    compress: bool,
    pace: Pace,
    random: Random,
    complain: Callable[[int, str], None],
    tick: Callable[[Result], None],
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Put every line and close the producer. `complain` hears of each bad line and each lost record, by line number.

    Stops reading at the first error that would meet every record (no such stream, no permission).
    """
    result = Result()
    started = clock()
    fatal: list[DeliveryError] = []

    def delivered(delivery: Delivery) -> None:
        error = delivery.error
        if error is None:
            return
        if isinstance(error, DeliveryError) and error.code in FINAL:
            fatal.append(error)
        else:
            complain(delivery.context, f"not delivered: {error}")

    def put(line: Line) -> str | None:
        """Why the line was refused; None if it is on its way."""
        try:
            key = key_of(line.event, key_field) if key_field else f"{random.getrandbits(64):016x}"
            data = igzip.compress(line.data, 1, mtime=0) if compress else line.data
            pace.wait()
            producer.put(data, key, on_delivery=delivered, context=line.number)
        except (KeyMissingError, RecordRefused) as error:
            return str(error)
        return None

    with producer:
        for line in lines:
            if fatal:
                break
            result.read += 1
            refusal = line.reason if isinstance(line, BadLine) else put(line)
            if refusal is not None:
                result.bad += 1
                complain(line.number, refusal)
            tick(result)
    result.stopped = str(fatal[0]) if fatal else None
    result.seconds = clock() - started
    result.counters = producer.counters
    return result
