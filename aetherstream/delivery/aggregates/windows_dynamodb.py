"""What is known about windows as such, in the table of the states: who has begun which, and which are closed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.dynamodb import batch_get, query, refused, translated
from aetherstream.delivery.aggregates.places import (
    Scope,
    WindowPlace,
    begun_address,
    begun_partition,
    mark_address,
    sortable_end,
)
from aetherstream.delivery.aggregates.state import Mark
from aetherstream.delivery.aggregates.statements import key_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoWindows:
    """`WindowStore` on a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str, executor: Executor) -> None:
        """`executor` runs the writes of several windows; it is the caller's to end."""
        self._client, self._table, self._executor = client, table, executor

    def begin(self, places: Sequence[WindowPlace], shard: str, /) -> set[WindowPlace]:
        """See `WindowStore.begin`."""
        jobs = [(place, self._executor.submit(self._begin, place, shard)) for place in places]
        errors = [error for _, job in jobs if (error := job.exception()) is not None]
        if errors:
            raise errors[0]
        return {place for place, job in jobs if job.result()}

    def _begin(self, place: WindowPlace, shard: str) -> bool:
        address, window = begun_address(place, shard), place.window or Window(0, 0)
        item: dict[str, Any] = {
            **key_of(address),
            "start": {"N": str(int(window.start))},
            "end": {"N": str(int(window.end))},
            "shard": {"S": shard},
        }
        try:
            self._client.put_item(TableName=self._table, Item=item, ConditionExpression="attribute_not_exists(pk)")
        except (ClientError, BotoCoreError) as error:
            if refused(error) is None:
                raise translated(error, self._table) from error
            return False
        return True

    def marks(self, places: Collection[WindowPlace], /) -> dict[WindowPlace, Mark]:
        """See `WindowStore.marks`."""
        by_address = {mark_address(place): place for place in places}
        found = batch_get(self._client, self._table, by_address)
        return {by_address[address]: _mark(item) for address, item in found.items()}

    def due(self, scope: Scope, upto: float, /) -> dict[Window, list[str]]:
        """See `WindowStore.due`."""
        # A sort key is the end and more behind it: below the next whole second stand all that end at `upto` or before.
        values = {":pk": {"S": begun_partition(scope)}, ":upto": {"S": sortable_end(upto + 1)}}
        found: dict[Window, list[str]] = {}
        for item in query(self._client, self._table, "pk = :pk AND sk < :upto", values):
            window = Window(int(item["start"]["N"]), int(item["end"]["N"]))
            found.setdefault(window, []).append(item["shard"]["S"])
        return found

    def close(self, place: WindowPlace, expires: int, /, *, kept: int) -> Mark:
        """See `WindowStore.close`."""
        item: dict[str, Any] = {
            **key_of(mark_address(place)),
            "states_expire": {"N": str(expires)},
            "expires": {"N": str(kept)},
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except (ClientError, BotoCoreError) as error:
            stored = refused(error)
            if not stored:
                raise translated(error, self._table) from error
            return _mark(stored)
        return _mark(item)

    def close_sessions(self, place: WindowPlace, upto: float, /) -> Mark:
        """See `WindowStore.close_sessions`."""
        return _mark(self._raise(place, "upto", upto))

    def sessions_emitted(self, place: WindowPlace, upto: float, /) -> None:
        """See `WindowStore.sessions_emitted`."""
        self._raise(place, "emitted", upto)

    def forget(self, place: WindowPlace, floor: float, /) -> None:
        """See `WindowStore.forget`."""
        self._raise(place, "floor", floor)

    def _raise(self, place: WindowPlace, name: str, time: float) -> dict[str, Any]:
        """Set a time of the sessions' mark, unless a later one stands there; returns the item that stands."""
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=key_of(mark_address(place)),
                UpdateExpression="SET #time = :time",
                ConditionExpression="attribute_not_exists(#time) OR #time < :time",
                ExpressionAttributeNames={"#time": name},
                ExpressionAttributeValues={":time": {"N": str(time)}},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except (ClientError, BotoCoreError) as error:
            stored = refused(error)
            if stored is None:
                raise translated(error, self._table) from error
            return stored
        return answer.get("Attributes", {})

    def settle(self, place: WindowPlace, shards: Sequence[str], /) -> None:
        """See `WindowStore.settle`."""
        try:
            for shard in shards:
                self._client.delete_item(TableName=self._table, Key=key_of(begun_address(place, shard)))
        except (ClientError, BotoCoreError) as error:
            raise translated(error, self._table) from error


def _mark(item: dict[str, Any]) -> Mark:
    expires = int(item["states_expire"]["N"]) if "states_expire" in item else None
    return Mark(expires, _time(item, "floor"), _time(item, "upto"), _time(item, "emitted"))


def _time(item: dict[str, Any], name: str) -> float | None:
    return float(item[name]["N"]) if name in item else None
