"""Where each shard of a pipeline stands, and setting a shard's mark back for a deliberate second pass.

A reset never deletes the item. A new item would begin at epoch 1 and meet, under the keys it writes, objects of higher
epochs: every attempt would be superseded, for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.delivery.dynamodb import from_item
from aetherstream.delivery.progress import Attempt, Progress
from aetherstream.delivery.put import ObjectStore, put
from aetherstream.errors import ConfigurationError, Retryable, UsageError
from aetherstream.objects import empty_object
from aetherstream.recovery.lease import Leases

VERSION: Final = "reset"
"""Pipeline version in the metadata of the objects that a reset empties."""


@dataclass(frozen=True, slots=True)
class ShardView:
    """How one shard stands."""

    pipeline: str
    stream: str
    """Name of the stream."""
    shard: str
    item: Progress

    @property
    def mark(self) -> str | None:
        """Sequence number up to which everything is settled; None before the first completion and after a reset."""
        return self.item.completed[3:] or None

    @property
    def arrival(self) -> datetime | None:
        """Arrival of the record at the mark."""
        return datetime.fromtimestamp(self.item.completed_arrival / 1000, UTC) if self.item.completed else None

    @property
    def last_attempt(self) -> str:
        """How the last attempt ended, in words."""
        attempt = self.item.attempt
        if not attempt.start:
            return "none"
        if not attempt.ended and attempt.start <= self.item.completed:
            said = "given up, and settled by a redrive since"
        elif not attempt.ended:
            said = "under way, or killed"
        elif attempt.start > self.item.completed:
            said = "ended with an error"
        else:
            said = "done"
        killed = f", {attempt.killed} killed before at this start" if attempt.killed else ""
        return f"{said} ({attempt.size} record{'' if attempt.size == 1 else 's'} from {attempt.start[3:]}{killed})"


class ProgressTable:
    """Reads the progress items of a DynamoDB table; strongly consistent."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, key: str) -> Progress | None:
        """One item, None where there is none. Raises UsageError when the table can't be read."""
        answer = self._ask(self._client.get_item, Key={"pk": {"S": key}})
        return from_item(answer["Item"]) if answer.get("Item") else None

    def shards(self, pipeline: str | None = None) -> list[ShardView]:
        """Every shard of the pipeline (None: of all), by pipeline, stream and shard. Raises UsageError."""
        return sorted(self._scan(pipeline), key=lambda view: (view.pipeline, view.stream, view.shard))

    def _scan(self, pipeline: str | None) -> Iterator[ShardView]:
        request: dict[str, Any] = {}
        if pipeline is not None:
            request = {
                "FilterExpression": "begins_with(pk, :prefix)",
                "ExpressionAttributeValues": {":prefix": {"S": f"{pipeline}#"}},
            }
        while True:
            answer = self._ask(self._client.scan, **request)
            for stored in answer["Items"]:
                name, _, rest = stored["pk"]["S"].partition("#")
                stream, separator, shard = rest.partition("#")
                if name and separator and "revision" in stored:  # without a name: a sink's circuit breaker
                    yield ShardView(name, stream, shard, from_item(stored))
            if not answer.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _ask(self, call: Callable[..., Any], **request: Any) -> Any:
        try:
            return call(TableName=self._table, ConsistentRead=True, **request)
        except (ClientError, BotoCoreError) as error:
            raise UsageError(f"the progress table {self._table} can't be read: {error}") from error


def reset(item: Progress, leases: Leases, *, store: ObjectStore) -> Progress:
    """Set a shard back: no mark, no attempt, a higher epoch; and empty what unfinished attempts and redrives noted.

    Under the shard's lease, whose taking raises the epoch and so stops every attempt under way. Then the noted keys are
    emptied; then, if nobody has claimed meanwhile, the mark is cleared. Interrupted anywhere and done again, it comes
    to the same. The totals stay. Returns the item as it then stands. Raises LeaseHeld where somebody redrives the
    shard, Retryable where a claim came between: the stream function is at work.
    """
    if not item.revision:
        raise UsageError(f"{item.key}: there is no progress item, and nothing to reset")
    lease = leases.take(item)
    epoch = lease.number
    try:
        for location in [*lease.item.open, *lease.item.redrive_keys]:
            bucket, _, key = location.partition("/")
            metadata = {"aether-count": "0", "aether-version": VERSION}
            put(store, bucket, key, empty_object(key, epoch), metadata, epoch)
            lease.renew()
        lease.write(partial(_cleared, epoch))
        lease.finish()
    except Exception:
        with suppress(Retryable, ConfigurationError):
            lease.give_up()
        raise
    return lease.item


def _cleared(epoch: int, item: Progress) -> Progress:
    if item.epoch != epoch:
        raise Retryable(
            f"{item.key}: an attempt has claimed the shard during the reset, and its mark stays: reset it again, best "
            "with the event source mapping disabled"
        )
    return replace(item, completed="", completed_arrival=0, open={}, attempt=Attempt(), suspects=())
