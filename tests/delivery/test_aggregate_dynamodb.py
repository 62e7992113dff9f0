"""States in DynamoDB: the requests that are made, and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.dynamodb import MANY, PER_GROUP, DynamoStates, item_of
from aetherstream.delivery.aggregates.places import Address, GroupPlace, begun_address, mark_address
from aetherstream.delivery.aggregates.state import Item, Mark, State, Write, Written
from aetherstream.delivery.aggregates.statements import batches, key_of, window_text
from aetherstream.delivery.aggregates.windows_dynamodb import DynamoWindows
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.testing.stores import InlineExecutor
from tests.delivery.aggregate_support import SHARD, VISITS, WINDOW, place, window_place
from tests.delivery.test_dynamodb import refusal

ADDRESS = place("AA").address(SHARD)
KEY = {"pk": {"S": ADDRESS.pk}, "sk": {"S": ADDRESS.sk}}
STORED = {
    **KEY,
    "k": {"N": "4"},
    "acc": {"B": b"\x01\x00"},
    "group": {"S": '["AA"]'},
    "window": {"S": "3600/7200"},
}
FIRST = Write(place("AA"), ADDRESS, None, State(1, b"one"))
LATER = Write(place("AA"), ADDRESS, 4, State(5, b"five"))
SESSIONS = place("AA", VISITS)
SESSION = Write(SESSIONS, SESSIONS.address(SHARD), 4, State(5, b"five"))


class Client:
    """Answers each request by what a test says; notes them."""

    def __init__(self, answer: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda name, request: {}) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._answer = answer

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def call(**request: Any) -> dict[str, Any]:
            self.requests.append((name, request))
            return self._answer(name, request)

        return call


def failing(error: Exception) -> Client:
    def answer(name: str, request: dict[str, Any]) -> dict[str, Any]:
        raise error

    return Client(answer)


def states(client: Client, *, batched: bool = True) -> DynamoStates:
    return DynamoStates(client, "states", InlineExecutor(), batched=batched)  # type: ignore[arg-type]


def windows(client: Client) -> DynamoWindows:
    return DynamoWindows(client, "states", InlineExecutor())  # type: ignore[arg-type]


def answered(*errors: dict[str, Any] | None) -> Client:
    """Answers a batch of statements, and refuses whatever comes by itself."""

    def answer(name: str, request: dict[str, Any]) -> dict[str, Any]:
        if name != "batch_execute_statement":
            raise refusal("ConditionalCheckFailedException", Item=STORED)
        return {"Responses": [{} if error is None else {"Error": error} for error in errors]}

    return Client(answer)


def test_a_first_write_asks_that_nothing_stands_there() -> None:
    client = answered(None)
    assert states(client).write([FIRST]) == Written()
    insert = {
        "Statement": "INSERT INTO \"states\" VALUE {'pk': ?, 'sk': ?, 'k': ?, 'acc': ?, 'group': ?, 'window': ?}",
        "Parameters": [KEY["pk"], KEY["sk"], {"N": "1"}, {"B": b"one"}, {"S": '["AA"]'}, {"S": "3600/7200"}],
    }
    assert client.requests == [("batch_execute_statement", {"Statements": [insert]})]


def test_a_later_write_asks_for_the_commit_that_was_read_and_leaves_the_rest() -> None:
    client = answered(None)
    assert states(client).write([LATER]) == Written()
    change = {
        "Statement": 'UPDATE "states" SET k = ? SET acc = ? WHERE pk = ? AND sk = ? AND k = ?',
        "Parameters": [{"N": "5"}, {"B": b"five"}, KEY["pk"], KEY["sk"], {"N": "4"}],
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    assert client.requests == [("batch_execute_statement", {"Statements": [change]})]


def test_each_statement_has_an_end_of_its_own() -> None:
    addresses = [place(group).address(SHARD) for group in ("AA", "UA", "B6")]
    writes = [Write(place("AA"), at, 3, State(4, b"")) for at in addresses]
    client = answered(None, {"Code": "ConditionalCheckFailed", "Item": STORED}, {"Code": "ConditionalCheckFailed"})
    assert states(client).write(writes) == Written(refused={addresses[1]: State(4, b"\x01\x00"), addresses[2]: None})


@pytest.mark.parametrize("code", ["DuplicateItem", "ThrottlingError", "InternalServerError"])
def test_a_statement_that_fails_otherwise_is_tried_by_itself(code: str) -> None:
    client = answered({"Code": code})
    assert states(client).write([FIRST]) == Written(refused={ADDRESS: State(4, b"\x01\x00")})
    assert client.requests[1] == (
        "update_item",
        {
            "TableName": "states",
            "Key": KEY,
            "UpdateExpression": "SET k = :k, acc = :acc, #group = :group, #window = :window",
            "ConditionExpression": "attribute_not_exists(pk)",
            "ExpressionAttributeNames": {"#window": "window", "#group": "group"},
            "ExpressionAttributeValues": {
                ":k": {"N": "1"},
                ":acc": {"B": b"one"},
                ":group": {"S": '["AA"]'},
                ":window": {"S": "3600/7200"},
            },
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
    )


def test_writes_are_a_transaction_where_statements_are_not_wanted() -> None:
    client = Client()
    assert states(client, batched=False).write([FIRST, LATER]) == Written()
    [(name, request)] = client.requests
    assert (name, [item["Update"]["ConditionExpression"] for item in request["TransactItems"]]) == (
        "transact_write_items",
        ["attribute_not_exists(pk)", "k = :read"],
    )


def test_writes_of_a_transaction_that_is_cancelled_go_out_by_themselves() -> None:
    def answer(name: str, request: dict[str, Any]) -> dict[str, Any]:
        if name == "transact_write_items":
            raise refusal("TransactionCanceledException")
        if request["ConditionExpression"] == "k = :read":
            raise refusal("ConditionalCheckFailedException")
        return {}

    client = Client(answer)
    assert states(client, batched=False).write([FIRST, LATER]) == Written(refused={ADDRESS: None})
    assert [name for name, _ in client.requests] == ["transact_write_items", "update_item", "update_item"]


def test_writes_of_a_throttled_table_are_not_all_tried_by_themselves() -> None:
    client = failing(refusal("ThrottlingException"))
    assert list(states(client, batched=False).write([FIRST, SESSION]).failed) == [FIRST.address, SESSION.address]
    assert [name for name, _ in client.requests] == ["transact_write_items", "update_item"]


def test_a_write_alone_is_no_transaction() -> None:
    client = Client()
    assert states(client, batched=False).write([LATER]) == Written()
    assert [name for name, _ in client.requests] == ["update_item"]


def test_statements_of_a_throttled_table_are_not_all_tried_again() -> None:
    def answer(name: str, request: dict[str, Any]) -> dict[str, Any]:
        if name != "batch_execute_statement":
            raise refusal("ThrottlingException")
        return {"Responses": [{"Error": {"Code": "ThrottlingError"}} for _ in request["Statements"]]}

    client = Client(answer)
    writes = [Write(place("AA"), place(f"g{n}").address(SHARD), 3, State(4, b"")) for n in range(25)]
    assert set(states(client).write(writes).failed) == {write.address for write in writes}
    assert [name for name, _ in client.requests] == ["batch_execute_statement", "update_item"]


def test_statements_go_out_by_25_and_large_ones_by_fewer() -> None:
    small = [Write(place("AA"), ADDRESS, 1, State(2, b"x"))] * 60
    large = [Write(place("AA"), ADDRESS, 1, State(2, bytes(300_000)))] * 6
    assert [len(batch) for batch in batches(small)] == [25, 25, 10]
    assert [len(batch) for batch in batches(large)] == [4, 2]


def test_sessions_go_out_by_themselves_and_no_longer_expire() -> None:
    client = Client()
    assert states(client).write([SESSION]) == Written()
    at = SESSIONS.address(SHARD)
    assert client.requests == [
        (
            "update_item",
            {
                "TableName": "states",
                "Key": {"pk": {"S": at.pk}, "sk": {"S": at.sk}},
                "UpdateExpression": "SET k = :k, acc = :acc REMOVE expires",
                "ConditionExpression": "k = :read",
                "ExpressionAttributeValues": {":k": {"N": "5"}, ":acc": {"B": b"five"}, ":read": {"N": "4"}},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            },
        )
    ]


def test_a_failed_condition_gives_what_is_stored() -> None:
    written = states(failing(refusal("ConditionalCheckFailedException", Item=STORED))).write([SESSION])
    assert written == Written(refused={SESSION.address: State(4, b"\x01\x00")})


def test_a_failed_condition_without_an_item_says_that_nothing_stands_there() -> None:
    written = states(failing(refusal("ConditionalCheckFailedException"))).write([SESSION])
    assert written == Written(refused={SESSION.address: None})


@pytest.mark.parametrize(
    "error",
    [refusal("ThrottlingException"), ReadTimeoutError(endpoint_url="https://dynamodb")],
    ids=["throttle", "time"],
)
def test_what_may_pass_is_retryable_and_names_the_table(error: Exception) -> None:
    failed = states(failing(error)).write([LATER, SESSION]).failed
    assert {address: type(error) for address, error in failed.items()} == {
        ADDRESS: Retryable,
        SESSION.address: Retryable,
    }
    for ask in (
        lambda: states(failing(error)).read([ADDRESS]),
        lambda: states(failing(error)).group(place("AA")),
        lambda: states(failing(error)).some([place("AA")] * MANY),
        lambda: states(failing(error)).expire([item_of(place("AA").scope, STORED)], 5),
        lambda: windows(failing(error)).begin([window_place()], SHARD),
        lambda: windows(failing(error)).marks([window_place()]),
        lambda: windows(failing(error)).due(window_place().scope, 0.0),
        lambda: windows(failing(error)).close(window_place(), 5, kept=6),
        lambda: windows(failing(error)).forget(window_place(None, VISITS), 5.0),
        lambda: windows(failing(error)).settle(window_place(), [SHARD]),
    ):
        with pytest.raises(Retryable, match="state table 'states': "):
            ask()


class Partition:
    """Groups that stand in one partition, with an item each; answers queries."""

    def __init__(self, count: int) -> None:
        found = [place(f"g{number}") for number in range(40 * count)]
        self.pk = found[0].prefix.pk
        self.groups = sorted((each for each in found if each.prefix.pk == self.pk), key=lambda each: each.prefix)[
            :count
        ]
        self.client = Client(self.answer)

    def item(self, group: GroupPlace) -> dict[str, Any]:
        key = {**key_of(group.address(SHARD)), "group": {"S": group.key.group}, "window": {"S": window_text(WINDOW)}}
        return {**key, "k": {"N": "3"}, "acc": {"B": b"x"}}

    def answer(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        assert name == "query"
        begins = request["ExpressionAttributeValues"].get(":sk", {"S": ""})["S"]
        items = [item for item in map(self.item, self.groups) if item["sk"]["S"].startswith(begins)]
        limit = request.get("Limit", len(items))
        if limit >= len(items):
            return {"Items": items}
        return {
            "Items": items[:limit],
            "LastEvaluatedKey": {name: items[limit - 1][name] for name in ("pk", "sk")},
        }

    def wanted(self, groups: Sequence[GroupPlace]) -> dict[GroupPlace, list[Item]]:
        return {each: [Item(each, each.address(SHARD), State(3, b"x"))] for each in groups}


def test_many_groups_of_a_partition_are_read_by_one_query() -> None:
    partition = Partition(30)
    some = partition.groups[::3]
    assert states(partition.client).some(some) == partition.wanted(some)
    assert len(partition.client.requests) == 1


def test_few_groups_are_read_one_by_one() -> None:
    partition = Partition(30)
    some = partition.groups[: MANY - 1]
    assert states(partition.client).some(some) == partition.wanted(some)
    assert [":sk" in request["ExpressionAttributeValues"] for _, request in partition.client.requests] == [True] * 3


def test_of_a_partition_that_holds_much_more_the_beginning_is_read_and_only_once() -> None:
    partition = Partition(200)
    some = partition.groups[::40]
    store = states(partition.client)
    assert store.some(some) == partition.wanted(some)
    # Of five groups two stand in the first 80 items.
    assert [request.get("Limit") for _, request in partition.client.requests] == [PER_GROUP * 5, None, None, None]
    partition.client.requests.clear()
    assert store.some(some) == partition.wanted(some)
    assert [request.get("Limit") for _, request in partition.client.requests] == [None] * 5


def test_a_group_at_the_end_of_what_was_read_is_read_as_a_whole() -> None:
    partition = Partition(200)
    some = [*partition.groups[:4], partition.groups[PER_GROUP * 5 - 1]]
    assert states(partition.client).some(some) == partition.wanted(some)
    assert len(partition.client.requests) == 2


def test_a_group_without_items_has_none() -> None:
    partition = Partition(8)
    some, partition.groups = partition.groups, partition.groups[:7]
    assert states(partition.client).some(some) == {**partition.wanted(some[:7]), some[7]: []}


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"])
def test_what_somebody_has_to_mend_is_a_configuration_error(code: str) -> None:
    with pytest.raises(ConfigurationError, match="state table 'states': "):
        states(failing(refusal(code))).read([ADDRESS])
    failed = states(failing(refusal(code))).write([LATER, SESSION]).failed
    assert [type(error) for error in failed.values()] == [ConfigurationError] * 2


def test_a_bug_is_not_taken_for_a_throttle() -> None:
    with pytest.raises(ZeroDivisionError):
        states(failing(ZeroDivisionError())).write([LATER])


def test_many_items_are_read_by_the_hundred_and_consistently() -> None:
    client = Client(lambda name, request: {"Responses": {"states": []}})
    addresses = [place(f"g{number}").address(SHARD) for number in range(250)]
    assert states(client).read([*addresses, addresses[0]]) == {}
    asked = [request["RequestItems"]["states"] for _, request in client.requests]
    assert [len(each["Keys"]) for each in asked] == [100, 100, 50]
    assert all(each["ConsistentRead"] for each in asked)


def test_keys_that_were_left_over_are_asked_for_again() -> None:
    def answer(name: str, request: dict[str, Any]) -> dict[str, Any]:
        keys = request["RequestItems"]["states"]["Keys"]
        items = [{**STORED, **keys[0]}]
        return {"Responses": {"states": items}, "UnprocessedKeys": {"states": {"Keys": keys[1:]}} if keys[1:] else {}}

    addresses = [place(f"g{number}").address(SHARD) for number in range(3)]
    assert states(Client(answer)).read(addresses) == dict.fromkeys(addresses, State(4, b"\x01\x00"))


def test_an_answer_that_gives_nothing_is_a_throttle() -> None:
    def answer(name: str, request: dict[str, Any]) -> dict[str, Any]:
        return {"Responses": {}, "UnprocessedKeys": {"states": request["RequestItems"]["states"]}}

    with pytest.raises(Retryable, match="it is throttled, 1 items were not read"):
        states(Client(answer)).read([ADDRESS])


def test_a_group_is_read_by_one_consistent_query_and_its_pages() -> None:
    pages: Iterator[dict[str, Any]] = iter([{"Items": [STORED], "LastEvaluatedKey": KEY}, {"Items": []}])
    client = Client(lambda name, request: next(pages))
    assert states(client).group(place("AA")) == [Item(place("AA"), ADDRESS, State(4, b"\x01\x00"))]
    pk, prefix = place("AA").prefix
    asked = {
        "TableName": "states",
        "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
        "ExpressionAttributeValues": {":pk": {"S": pk}, ":sk": {"S": prefix}},
        "ConsistentRead": True,
    }
    assert client.requests == [("query", asked), ("query", {**asked, "ExclusiveStartKey": KEY})]


def test_an_image_of_the_tables_stream_is_an_item() -> None:
    assert item_of(place("AA").scope, {**STORED, "expires": {"N": "17"}}) == Item(
        place("AA"), ADDRESS, State(4, b"\x01\x00"), 17
    )


def test_begun_windows_are_written_only_where_nobody_has() -> None:
    def answer(name: str, request: dict[str, Any]) -> dict[str, Any]:
        if request["Item"]["start"]["N"] == "3600":
            raise refusal("ConditionalCheckFailedException")
        return {}

    client = Client(answer)
    other = window_place(Window(7200, 10800))
    assert windows(client).begin([window_place(), other], SHARD) == {other}
    at = begun_address(other, SHARD)
    assert client.requests[1] == (
        "put_item",
        {
            "TableName": "states",
            "Item": {
                "pk": {"S": at.pk},
                "sk": {"S": at.sk},
                "start": {"N": "7200"},
                "end": {"N": "10800"},
                "shard": {"S": SHARD},
            },
            "ConditionExpression": "attribute_not_exists(pk)",
        },
    )


def test_closing_again_gives_the_first_mark() -> None:
    def answer(name: str, request: dict[str, Any]) -> dict[str, Any]:
        raise refusal("ConditionalCheckFailedException", Item={**request["Item"], "states_expire": {"N": "3"}})

    assert windows(Client(answer)).close(window_place(), 5, kept=9) == Mark(expires=3)


def test_a_floor_that_is_lower_than_the_one_that_stands_changes_nothing() -> None:
    windows(failing(refusal("ConditionalCheckFailedException"))).forget(window_place(None, VISITS), 5.0)


def test_marks_are_read_by_window() -> None:
    at = mark_address(window_place())
    item = {"pk": {"S": at.pk}, "sk": {"S": at.sk}, "states_expire": {"N": "5"}, "floor": {"N": "-1.5"}}
    client = Client(lambda name, request: {"Responses": {"states": [item]}})
    assert windows(client).marks([window_place(), window_place(Window(0, 3600))]) == {window_place(): Mark(5, -1.5)}


def test_windows_that_are_due_come_with_the_shards_that_have_begun_them() -> None:
    items = [{"start": {"N": "3600"}, "end": {"N": "7200"}, "shard": {"S": shard}} for shard in ("s1", "s2")]
    client = Client(lambda name, request: {"Items": items})
    assert windows(client).due(window_place().scope, 7200.5) == {WINDOW: ["s1", "s2"]}
    assert client.requests[0][1]["ExpressionAttributeValues"][":upto"] == {"S": "1000000007201"}


def test_sessions_are_not_begun_one_by_one() -> None:
    with pytest.raises(ValueError, match="visits: sessions are not begun"):
        windows(Client()).begin([window_place(None, VISITS)], SHARD)


def test_an_address_is_the_key_of_an_item() -> None:
    assert Address(STORED["pk"]["S"], STORED["sk"]["S"]) == ADDRESS  # type: ignore[index]
