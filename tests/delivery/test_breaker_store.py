"""Breaker items in DynamoDB: read consistently, written on the condition of their revision."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherstream.delivery.breaker_item import BreakerItem, Cursor, DrainLease
from aetherstream.delivery.breaker_store import DynamoBreakers, from_item, to_item
from aetherstream.errors import ConfigurationError, Retryable
from tests.delivery.test_dynamodb import refusal

ITEM = BreakerItem(
    "#breaker#flights#search",
    revision=12,
    state="half_open",
    since=1_763_712_000_000,
    why="a probe of 100 documents was taken",
    by="drain",
    wait=60_000,
    probe_at=1_763_712_060_000,
    held=False,
    answered=True,
    opened=3,
    probes=2,
    lease=DrainLease("the drain function", 7, 1_763_712_120_000),
    number=7,
    unclean=1_763_711_000_000,
    cursor=Cursor("p/spill/search/day=1/k.ndjson.gz", '"etag"', 4000),
    others={"newer": {"S": "x"}},
)


class Client:
    """`get_item` and `put_item`; answers with an error, or notes the request."""

    def __init__(self, error: Exception | None = None, item: dict[str, Any] | None = None) -> None:
        self.error = error
        self.item = item
        self.requests: list[dict[str, Any]] = []

    def get_item(self, **request: Any) -> dict[str, Any]:
        self.put_item(**request)
        return {"Item": self.item} if self.item else {}

    def put_item(self, **request: Any) -> None:
        self.requests.append(request)
        if self.error:
            raise self.error


def store(client: Client) -> DynamoBreakers:
    return DynamoBreakers(client, "progress")  # type: ignore[arg-type]


texts, counts = st.text(max_size=20), st.integers(min_value=0, max_value=10**15)


@given(
    st.builds(
        BreakerItem,
        texts,
        revision=counts,
        state=st.sampled_from(["closed", "open", "half_open"]),
        since=counts,
        why=texts,
        by=texts,
        wait=counts,
        probe_at=counts,
        held=st.booleans(),
        answered=st.booleans(),
        opened=counts,
        probes=counts,
        lease=st.none() | st.builds(DrainLease, texts, counts, counts),
        number=counts,
        unclean=counts,
        cursor=st.none() | st.builds(Cursor, texts, texts, counts),
        others=st.dictionaries(st.sampled_from(["newer", "newest"]), st.just({"N": "1"}), max_size=2),
    )
)
@settings(max_examples=100, deadline=None)
def test_an_item_survives_its_attribute_values(item: BreakerItem) -> None:
    assert from_item(to_item(item)) == item


def test_an_item_of_an_older_version_lacks_what_it_did_not_know() -> None:
    assert from_item({"pk": {"S": "k"}, "revision": {"N": "3"}}) == BreakerItem("k", revision=3)


def test_a_reading_is_consistent() -> None:
    client = Client(item=to_item(ITEM))
    assert store(client).read(ITEM.key) == ITEM
    assert client.requests == [{"TableName": "progress", "Key": {"pk": {"S": ITEM.key}}, "ConsistentRead": True}]


def test_nothing_stored_is_closed() -> None:
    assert store(Client()).read("k") == BreakerItem("k", state="closed")


def test_a_first_write_asks_that_nothing_stands_there() -> None:
    client = Client()
    assert store(client).write(BreakerItem("k", revision=1)) is None
    [request] = client.requests
    assert request["ConditionExpression"] == "attribute_not_exists(pk)"


def test_a_later_write_asks_for_the_revision_that_was_read() -> None:
    client = Client()
    assert store(client).write(ITEM) is None
    assert client.requests == [
        {
            "TableName": "progress",
            "Item": to_item(ITEM),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            "ConditionExpression": "revision = :read",
            "ExpressionAttributeValues": {":read": {"N": "11"}},
        }
    ]


def test_a_failed_condition_gives_the_stored_item() -> None:
    client = Client(refusal("ConditionalCheckFailedException", Item=to_item(ITEM)))
    assert store(client).write(BreakerItem(ITEM.key, revision=1)) == ITEM


def test_a_failed_condition_without_an_item_says_that_nothing_stands_there() -> None:
    assert store(Client(refusal("ConditionalCheckFailedException"))).write(ITEM) == BreakerItem(ITEM.key)


@pytest.mark.parametrize(
    "error",
    [refusal("ThrottlingException"), ReadTimeoutError(endpoint_url="https://dynamodb")],
    ids=["throttle", "time"],
)
def test_what_may_pass_is_retryable_and_names_the_table(error: Exception) -> None:
    with pytest.raises(Retryable, match="progress table 'progress'"):
        store(Client(error)).write(ITEM)
    with pytest.raises(Retryable, match="progress table 'progress'"):
        store(Client(error)).read("k")


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"])
def test_what_somebody_has_to_mend_is_a_configuration_error(code: str) -> None:
    with pytest.raises(ConfigurationError, match="progress table 'progress': "):
        store(Client(refusal(code))).write(ITEM)
    with pytest.raises(ConfigurationError, match="progress table 'progress': "):
        store(Client(refusal(code))).read("k")
