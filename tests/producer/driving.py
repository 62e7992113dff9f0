"""A core with a hand on its clock, and its answers."""

from __future__ import annotations

from typing import Any

from aetherstream.producer.core import Core
from aetherstream.producer.entry import Batch
from aetherstream.producer.model import Aggregation, Delivery, Limits, Timing, user_record


class Driver:
    """Puts, takes and answers at `now`. A lane of deliveries collects what callbacks were told."""

    def __init__(
        self,
        *,
        aggregation: Aggregation = "none",
        ordered: bool = False,
        limits: Limits | None = None,
        timing: Timing | None = None,
        max_buffered_bytes: int = 10**9,
        random: float = 1.0,
    ) -> None:
        self.now = 0.0
        self.limits = limits or Limits()
        self.deliveries: list[Delivery] = []
        self.core = Core(
            aggregation=aggregation,
            ordered=ordered,
            limits=self.limits,
            timing=timing or Timing(linger=0.0, delivery_timeout=100.0, backoff=1.0, backoff_cap=8.0),
            max_buffered_bytes=max_buffered_bytes,
            random=lambda: random,
        )

    def put(self, data: str, key: str = "k", hash_key: str | None = None) -> None:
        record = user_record(data.encode(), key, self.limits, hash_key, self.deliveries.append)
        self.core.put(record, self.now)

    def take(self) -> Batch | None:
        """The next request now."""
        batch = self.core.next_batch(self.now)
        self._tell()
        return batch

    def sent(self) -> list[str]:
        """Data of the next request's entries, sub-records joined; and answers it with success."""
        batch = self.take()
        if batch is None:
            return []
        self.succeed(batch)
        return texts(batch)

    def succeed(self, batch: Batch, shard: str = "s") -> None:
        self.answer(batch, *[ok(number, shard) for number in range(len(batch.entries))])

    def answer(self, batch: Batch, *results: dict[str, Any]) -> None:
        self.core.answered(batch, results, self.now)
        self._tell()

    def outcomes(self) -> list[tuple[str, str]]:
        """What callbacks were told: data, and position or error."""
        return [(one.data.decode(), str(one.error or one.position)) for one in self.deliveries]

    def _tell(self) -> None:
        settled = self.core.settled()
        for entry in settled:
            for callback, delivery in entry.callbacks:
                callback(delivery)
        self.core.told(settled)


def texts(batch: Batch | None) -> list[str]:
    """Data of a request's entries, sub-records joined by a plus."""
    assert batch is not None
    return ["+".join(record.data.decode() for record in entry.records) for entry in batch.entries]


def ok(number: int = 0, shard: str = "s") -> dict[str, Any]:
    """A success item of PutRecords."""
    return {"SequenceNumber": str(number), "ShardId": shard}


def failed(code: str = "InternalFailure") -> dict[str, Any]:
    """A failure item of PutRecords."""
    return {"ErrorCode": code, "ErrorMessage": "scripted"}
