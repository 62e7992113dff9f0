"""Where each shard of a pipeline stands, and setting a shard's mark back for a deliberate second pass.

A reset never deletes the item. A new item would begin at epoch 1 and meet, under the keys it writes, objects of higher
epochs: every attempt would be superseded, for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.delivery.dynamodb import from_item
from aetherstream.delivery.progress import Attempt, Progress, ProgressStore
from aetherstream.delivery.put import ObjectStore, put
from aetherstream.errors import Retryable, UsageError
from aetherstream.objects import empty_object

_TRIES: Final = 10
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
        if not attempt.ended:
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
                if separator and "revision" in stored:
                    yield ShardView(name, stream, shard, from_item(stored))
            if not answer.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _ask(self, call: Callable[..., Any], **request: Any) -> Any:
        try:
            return call(TableName=self._table, ConsistentRead=True, **request)
        except (ClientError, BotoCoreError) as error:
            raise UsageError(f"the progress table {self._table} can't be read: {error}") from error


def reset(item: Progress, *, store: ObjectStore, progress: ProgressStore) -> Progress:
    """Set a shard back: no mark, no attempt, a higher epoch; and empty what unfinished attempts noted.

    First the epoch is raised, which stops every attempt under way; then the noted keys are emptied under that epoch;
    then, if nobody has claimed meanwhile, the mark is cleared. Interrupted anywhere and done again, it comes to the
    same. The totals stay. Returns the item as it then stands. Raises Retryable where a claim came between: the stream
    function is at work.
    """
    raised = _write(item, progress, lambda now: replace(now, epoch=now.epoch + 1))
    for location in raised.open:
        bucket, _, key = location.partition("/")
        metadata = {"aether-count": "0", "aether-version": VERSION}
        put(store, bucket, key, empty_object(key, raised.epoch), metadata, raised.epoch)

    def cleared(now: Progress) -> Progress:
        if now.epoch != raised.epoch:
            raise Retryable(
                f"{item.key}: an attempt has claimed the shard during the reset, and its mark stays: reset it again, "
                "best with the event source mapping disabled"
            )
        return replace(now, completed="", completed_arrival=0, open={}, attempt=Attempt())

    return _write(raised, progress, cleared)


def _write(item: Progress, progress: ProgressStore, change: Callable[[Progress], Progress]) -> Progress:
    for _ in range(_TRIES):
        changed = replace(change(item), revision=item.revision + 1)
        stored = progress.write(changed)
        if stored is None or stored == changed:  # equal: our own write, of which the answer was lost
            return changed
        if stored.revision == 0:
            raise UsageError(f"{item.key}: there is no progress item any more, and nothing to reset")
        item = stored
    raise Retryable(f"progress of {item.key}: {_TRIES} writes in a row met another writer")
