"""States in a DynamoDB table: batched reads; conditional writes in batches and in parallel, each by itself.

The table has the string keys `pk` and `sk`, and removes items at `expires`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aetherstream.aggregates.aggregate import Key
from aetherstream.delivery.aggregates.places import Address, GroupPlace, Scope, WindowPlace
from aetherstream.delivery.aggregates.state import Item, State, Write, Written
from aetherstream.delivery.aggregates.statements import batches, is_statement, key_of, statement, update, window_of
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

MANY = 4
"""Groups of one partition from which on it is read as such."""
PER_GROUP = 16
"""Items that are read for each of them at most."""
_MOST_SPARSE = 10_000

_RIGHTS = (
    "dynamodb:BatchGetItem, dynamodb:Query, dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem, "
    "dynamodb:PartiQLInsert, dynamodb:PartiQLUpdate"
)
_MISCONFIGURED = {
    "ResourceNotFoundException": "the table does not exist",
    "ValidationException": "the table refuses the item (its keys must be the strings `pk` and `sk`)",
    "AccessDeniedException": f"the function's role may not use it ({_RIGHTS})",
}


class DynamoStates:
    """`StateStore` on a DynamoDB table."""

    def __init__(self, client: DynamoDBClient, table: str, executor: Executor, *, batched: bool = True) -> None:
        """`executor` runs the writes; it is the caller's to end.

        `batched` False: no statements. MiniStack's streams don't tell of what they write, but of transactions they do;
        there one of 25 costs a fifth of 25 writes. (AWS: twice the price, and each write waits for all of them.)
        """
        self._client, self._table, self._executor, self._batched = client, table, executor, batched
        self._sparse: set[str] = set()
        """Partitions that hold much more than was wanted of them."""

    def read(self, addresses: Collection[Address], /) -> dict[Address, State]:
        """See `StateStore.read`."""
        found = batch_get(self._client, self._table, addresses)
        return {address: _state(item) for address, item in found.items()}

    def write(self, writes: Sequence[Write], /) -> Written:
        """See `StateStore.write`."""
        together = [write for write in writes if self._batched and is_statement(write)]
        alone = [write for write in writes if not (self._batched and is_statement(write))]
        jobs = [self._executor.submit(self._batch, batch) for batch in batches(together)]
        if self._batched:
            jobs += [self._executor.submit(self._one, write) for write in alone]
        else:
            jobs += [self._executor.submit(self._all, batch) for batch in batches(alone)]
        errors = [error for job in jobs if (error := job.exception()) is not None]  # waits for every one
        if errors:
            raise errors[0]
        written = Written()
        for job in jobs:
            written.add(job.result())
        return written

    def _batch(self, batch: Sequence[Write]) -> Written:
        try:
            answers = self._client.batch_execute_statement(
                Statements=[cast("Any", statement(self._table, write)) for write in batch]
            )["Responses"]
        except (ClientError, BotoCoreError) as error:
            return Written(failed={write.address: translated(error, self._table) for write in batch})
        written = Written()
        for write, answer in zip(batch, answers, strict=True):
            failure = cast("dict[str, Any]", answer.get("Error") or {})
            if failure.get("Code") == "ConditionalCheckFailed":
                written.refused[write.address] = _state(failure["Item"]) if failure.get("Item") else None
            elif failure and written.failed:
                # One of them was refused again, after the client's waits: enough of them.
                message = f"{failure.get('Code')}: {failure.get('Message', '')}"
                written.failed[write.address] = Retryable(f"state table {self._table!r}: {message}")
            elif failure:
                # By itself a throttled write is tried again, after a while, by the client; one that meets an item
                # brings it along; and whatever else it is, is said.
                written.add(self._one(write))
        return written

    def _all(self, batch: Sequence[Write]) -> Written:
        """Write all in one transaction; where anything hinders it, each by itself."""
        if len(batch) > 1:
            with suppress(ClientError, BotoCoreError):
                self._client.transact_write_items(
                    TransactItems=[cast("Any", {"Update": update(self._table, write)}) for write in batch]
                )
                return Written()
        written = Written()
        for at, write in enumerate(batch):
            written.add(self._one(write))
            if (error := written.failed.get(write.address)) is not None:
                # It was tried again, after the client's waits: enough of them.
                written.failed |= {other.address: error for other in batch[at + 1 :]}
                break
        return written

    def _one(self, write: Write) -> Written:
        try:
            self._client.update_item(**update(self._table, write))
        except (ClientError, BotoCoreError) as error:
            stored = refused(error)
            if stored is None:
                return Written(failed={write.address: translated(error, self._table)})
            return Written(refused={write.address: _state(stored) if stored else None})
        return Written()

    def group(self, place: GroupPlace, /) -> list[Item]:
        """See `StateStore.group`."""
        pk, prefix = place.prefix
        return [
            _item(place.scope, found)
            for found in query(
                self._client, self._table, "pk = :pk AND begins_with(sk, :sk)", {":pk": {"S": pk}, ":sk": {"S": prefix}}
            )
        ]

    def some(self, places: Sequence[GroupPlace], /) -> dict[GroupPlace, list[Item]]:
        """See `StateStore.some`.

        Where many groups of a partition are wanted it is read from its beginning, as far as that is worth it: a query
        takes the client as much time as thirty items of an answer.
        """
        found: dict[GroupPlace, list[Item]] = {place: [] for place in places}
        left: Collection[GroupPlace] = found
        if len(places) >= MANY and places[0].prefix.pk not in self._sparse:
            left = self._page(places[0].prefix.pk, {place.prefix.sk: place for place in places}, found)
        for place in left:
            found[place] = self.group(place)
        return found

    def _page(
        self, pk: str, wanted: Mapping[str, GroupPlace], found: Mapping[GroupPlace, list[Item]]
    ) -> list[GroupPlace]:
        """Read the beginning of a partition; gives the groups that may go on, or stand, behind it."""
        answer = _ask(
            self._table,
            lambda: self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": pk}},
                ConsistentRead=True,
                Limit=PER_GROUP * len(wanted),
            ),
        )
        for item in answer["Items"]:
            if (place := wanted.get(_prefix(item["sk"]["S"]))) is not None:
                found[place].append(_item(place.scope, item))
        end = answer.get("LastEvaluatedKey")
        if not end:
            return []
        if len(self._sparse) >= _MOST_SPARSE:
            self._sparse.clear()
        self._sparse.add(pk)
        return [place for prefix, place in wanted.items() if prefix >= _prefix(end["sk"]["S"])]

    def window(self, place: WindowPlace, /) -> Iterator[list[Item]]:
        """See `StateStore.window`."""
        # Most windows are small, so what takes time is asking: the first pages of all partitions are asked for at once.
        asked = [
            _pages(self._client, self._table, "pk = :pk", {":pk": {"S": partition}}) for partition in place.partitions
        ]
        none: list[dict[str, Any]] = []
        first = [self._executor.submit(next, pages, none) for pages in asked]
        for begun, pages in zip(first, asked, strict=True):
            items = (_item(place.scope, item) for item in chain(begun.result(), chain.from_iterable(pages)))
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


def item_of(scope: Scope, item: Mapping[str, Any]) -> Item:
    """Read an item from its attribute values, also those that the table's stream gives (an image).

    Only items of groups have a `k`; whoever reads the stream leaves the others alone.
    """
    return _item(scope, item)


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
    return chain.from_iterable(_pages(client, table, condition, values))


def _pages(
    client: DynamoDBClient, table: str, condition: str, values: Mapping[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    request: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ConsistentRead": True,
    }
    while True:
        answer = _ask(table, lambda: client.query(**request))
        yield answer["Items"]
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


def _prefix(sk: str) -> str:
    """How the sort keys of a group's items begin."""
    return sk.partition("#")[0] + "#"


def _state(item: Mapping[str, Any]) -> State:
    return State(int(item["k"]["N"]), bytes(item["acc"]["B"]))


def _address(item: Mapping[str, Any]) -> Address:
    return Address(item["pk"]["S"], item["sk"]["S"])


def _item(scope: Scope, item: Mapping[str, Any]) -> Item:
    key = Key(scope.aggregate, window_of(item["window"]["S"]), item["group"]["S"])
    expires = int(item["expires"]["N"]) if "expires" in item else None
    return Item(GroupPlace(scope, key), _address(item), _state(item), expires)
