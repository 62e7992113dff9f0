"""States in a DynamoDB table: batched reads, one conditional write an item, in parallel.

The table has the string keys `pk` and `sk`, and removes items at `expires`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.aggregates.aggregate import Key
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.places import Address, GroupPlace, Scope, WindowPlace
from aetherstream.delivery.aggregates.state import Item, State, Write, Written
from aetherstream.errors import ConfigurationError, Retryable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WORKERS = 16
"""Requests at a time: as many threads, and connections of the client."""
CLIENT = Config(
    connect_timeout=1,
    read_timeout=2,
    max_pool_connections=WORKERS,
    retries={"mode": "standard", "total_max_attempts": 3},
)
"""How the client is to be made. Repeating a write whose answer was lost is safe: its own condition tells."""
MOST_READ = 100
"""AWS: most items of a BatchGetItem."""

_RIGHTS = "dynamodb:BatchGetItem, dynamodb:Query, dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem"
_MISCONFIGURED = {
    "ResourceNotFoundException": "the table does not exist",
    "ValidationException": "the table refuses the item (its keys must be the strings `pk` and `sk`)",
    "AccessDeniedException": f"the function's role may not use it ({_RIGHTS})",
}


class DynamoStates:
    """`StateStore` on a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str, executor: Executor) -> None:
        """`executor` runs the writes; it is the caller's to end."""
        self._client, self._table, self._executor = client, table, executor

    def read(self, addresses: Collection[Address], /) -> dict[Address, State]:
        """See `StateStore.read`."""
        found = batch_get(self._client, self._table, addresses)
        return {address: _state(item) for address, item in found.items()}

    def write(self, writes: Sequence[Write], /) -> Written:
        """See `StateStore.write`."""
        jobs = [(write, self._executor.submit(self._write, write)) for write in writes]
        written = Written()
        bugs = []
        for write, job in jobs:  # each is waited for, also behind one that failed
            match job.exception():
                case None:
                    refused, stored = job.result()
                    if refused:
                        written.refused[write.address] = stored
                case Retryable() | ConfigurationError() as error:
                    written.failed[write.address] = error
                case error:
                    bugs.append(error)
        if bugs:
            raise bugs[0]
        return written

    def _write(self, write: Write) -> tuple[bool, State | None]:
        request = update(self._table, write)
        try:
            self._client.update_item(**request)
        except (ClientError, BotoCoreError) as error:
            stored = refused(error)
            if stored is None:
                raise translated(error, self._table) from error
            return True, _state(stored) if stored else None
        return False, None

    def group(self, place: GroupPlace, /) -> list[Item]:
        """See `StateStore.group`."""
        pk, prefix = place.prefix
        return [
            _item(place.scope, found)
            for found in query(
                self._client, self._table, "pk = :pk AND begins_with(sk, :sk)", {":pk": {"S": pk}, ":sk": {"S": prefix}}
            )
        ]

    def window(self, place: WindowPlace, /) -> Iterator[list[Item]]:
        """See `StateStore.window`."""
        for partition in place.partitions:
            found = query(self._client, self._table, "pk = :pk", {":pk": {"S": partition}})
            items = (_item(place.scope, item) for item in found)
            for _, group in groupby(items, key=lambda item: item.place.key.group):
                yield list(group)

    def expire(self, items: Sequence[Item], at: int, /) -> list[Item]:
        """See `StateStore.expire`."""
        jobs = [(item, self._executor.submit(self._expire, item, at)) for item in items]
        errors = [error for _, job in jobs if (error := job.exception()) is not None]
        if errors:
            raise errors[0]
        return [item for item, job in jobs if not job.result()]

    def _expire(self, item: Item, at: int) -> bool:
        try:
            self._client.update_item(
                TableName=self._table,
                Key=key_of(item.address),
                UpdateExpression="SET expires = :at",
                ConditionExpression="k = :read",
                ExpressionAttributeValues={":at": {"N": str(at)}, ":read": {"N": str(item.state.k)}},
            )
        except (ClientError, BotoCoreError) as error:
            if refused(error) is None:
                raise translated(error, self._table) from error
            return False
        return True


def update(table: str, write: Write) -> dict[str, Any]:
    """The request of a write. An update, not a put: `expires` is closing's to write."""
    key, state = write.place.key, write.state
    values: dict[str, Any] = {":k": {"N": str(state.k)}, ":acc": {"B": state.acc}}
    request: dict[str, Any] = {
        "TableName": table,
        "Key": key_of(write.address),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        "ExpressionAttributeValues": values,
    }
    if write.read is None:
        names = {"#window": "window", "#group": "group"}
        values[":group"] = {"S": key.group}
        values[":window"] = {"S": _window_text(key.window)}
        request["UpdateExpression"] = "SET k = :k, acc = :acc, #group = :group, #window = :window"
        request["ConditionExpression"] = "attribute_not_exists(pk)"
        request["ExpressionAttributeNames"] = names
        return request
    values[":read"] = {"N": str(write.read)}
    # Sessions of a group share an item, so one that goes on is no longer to be removed.
    request["UpdateExpression"] = "SET k = :k, acc = :acc" + (" REMOVE expires" if key.window is None else "")
    request["ConditionExpression"] = "k = :read"
    return request


def item_of(scope: Scope, item: Mapping[str, Any]) -> Item:
    """Read an item from its attribute values, also those that the table's stream gives (an image).

    Only items of groups have a `k`; whoever reads the stream leaves the others alone.
    """
    return _item(scope, item)


def key_of(address: Address) -> dict[str, Any]:
    """The key of an item as attribute values."""
    return {"pk": {"S": address.pk}, "sk": {"S": address.sk}}


def batch_get(client: DynamoDBClient, table: str, addresses: Collection[Address]) -> dict[Address, dict[str, Any]]:
    """Read items by key, consistently. Raises Retryable, ConfigurationError."""
    left = list(dict.fromkeys(addresses))
    found: dict[Address, dict[str, Any]] = {}
    while left:
        asked, left = left[:MOST_READ], left[MOST_READ:]
        request: Any = {table: {"Keys": [key_of(address) for address in asked], "ConsistentRead": True}}
        answer = _ask(table, lambda: client.batch_get_item(RequestItems=request))  # noqa: B023 - called at once
        for item in answer["Responses"].get(table, []):
            found[_address(item)] = item
        unread = [_address(key) for key in answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])]
        # Answers are cut at 16 MB; one that gives nothing at all says that the table is throttled.
        if len(unread) == len(asked):
            raise Retryable(f"state table {table!r}: it is throttled, {len(unread)} items were not read")
        left = [*unread, *left]
    return found


def query(client: DynamoDBClient, table: str, condition: str, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The items of one partition, consistently, by sort key. Raises Retryable, ConfigurationError."""
    request: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ConsistentRead": True,
    }
    while True:
        answer = _ask(table, lambda: client.query(**request))
        yield from answer["Items"]
        if not answer.get("LastEvaluatedKey"):
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def refused(error: ClientError | BotoCoreError) -> dict[str, Any] | None:
    """The stored item where a condition did not hold (empty: there is none); None where it is another error."""
    if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ConditionalCheckFailedException":
        return cast("dict[str, Any]", error.response).get("Item") or {}
    return None


def translated(error: ClientError | BotoCoreError, table: str) -> Retryable | ConfigurationError:
    """The error of DynamoDB as what is to be done about it."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    if code in _MISCONFIGURED:
        return ConfigurationError(f"state table {table!r}: {_MISCONFIGURED[code]} ({error})")
    return Retryable(f"state table {table!r}: {error}")


def _ask(table: str, request: Callable[[], Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = request()
    except (ClientError, BotoCoreError) as error:
        raise translated(error, table) from error
    return answer


def _state(item: Mapping[str, Any]) -> State:
    return State(int(item["k"]["N"]), bytes(item["acc"]["B"]))


def _address(item: Mapping[str, Any]) -> Address:
    return Address(item["pk"]["S"], item["sk"]["S"])


def _item(scope: Scope, item: Mapping[str, Any]) -> Item:
    key = Key(scope.aggregate, _window_of(item["window"]["S"]), item["group"]["S"])
    expires = int(item["expires"]["N"]) if "expires" in item else None
    return Item(GroupPlace(scope, key), _address(item), _state(item), expires)


def _window_text(window: Window | None) -> str:
    return "" if window is None else f"{int(window.start)}/{int(window.end)}"


def _window_of(text: str) -> Window | None:
    start, _, end = text.partition("/")
    return Window(int(start), int(end)) if end else None
