from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherstream.delivery.dynamodb import DynamoProgress, from_item, to_item
from aetherstream.delivery.pending import Pending
from aetherstream.delivery.progress import Attempt, Death, Lease, Noted, Progress, Suspect
from aetherstream.errors import ConfigurationError, Retryable

ITEM = Progress(
    "flights#events#shardId-000000000000",
    revision=12,
    epoch=5,
    completed="05649590338271490256608559692538361571095921575989136588898",
    completed_arrival=1763712000000,
    open={"data/archive/day=1/k.ndjson.gz": Noted("003100", "v1")},
    attempt=Attempt("003100", 8, "p1", ended=False, deaths=(Death("p8", 9), Death("p9", 8))),
    counters={"records": 2**60, "archive.events": 0},
    others={"later": {"N": "3"}},
    lease=Lease("alice", 5, 1763712120000, Suspect("003100", "003190", "v1", killed=3)),
    redrive_keys=("data/archive/day=1/s-redrive-000000005.ndjson.gz",),
    suspects=(Suspect("003070-000002", "003070-000002", "v1", killed=5, alone=2),),
    redriven={"passed": 7, "archive.delivered": 9},
)


class Client:
    """`put_item` alone; answers with an error, or notes the request."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.requests: list[dict[str, Any]] = []

    def put_item(self, **request: Any) -> None:
        self.requests.append(request)
        if self.error:
            raise self.error


def refusal(code: str, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": 400}, **more}
    return ClientError(response, "PutItem")


def store(client: Client) -> DynamoProgress:
    return DynamoProgress(client, "progress")  # type: ignore[arg-type]


names = st.text(max_size=20)
counts = st.integers(min_value=0, max_value=10**30)
deaths = st.lists(st.builds(Death, names, counts), max_size=3).map(tuple)


@given(
    st.builds(
        Progress,
        names,
        counts,
        counts,
        names,
        counts,
        st.dictionaries(names, st.builds(Noted, names, names), max_size=3),
        st.builds(Attempt, names, counts, names, st.booleans(), deaths),
        st.dictionaries(names, counts, max_size=3),
        st.dictionaries(st.sampled_from(["later", "other"]), st.just({"N": "1"}), max_size=2),
        st.none() | st.builds(Lease, names, counts, counts),
        st.lists(names, max_size=2).map(tuple),
        commit=counts,
        pending=st.none()
        | st.builds(Pending, counts, st.binary())
        | st.builds(Pending, counts, bucket=names, key=names),
        event_time=st.none() | st.floats(-(10**11), 10**11),
    )
)
@settings(max_examples=100, deadline=None)
def test_an_item_survives_its_attribute_values(item: Progress) -> None:
    assert from_item(to_item(item)) == item


def test_an_item_of_a_version_that_only_counted_the_killed_is_read() -> None:
    item = to_item(ITEM)
    item["attempt"]["M"] |= {"killed": {"N": "5"}, "alone": {"N": "1"}}
    del item["attempt"]["M"]["deaths"]
    attempt = from_item(item).attempt
    assert (attempt.killed, attempt.alone) == (5, 1)


def test_an_item_says_what_a_version_reads_that_only_counted_the_killed() -> None:
    four = tuple(Death(f"p{size}", size) for size in (4, 4, 2, 1))
    written = to_item(replace(ITEM, attempt=replace(ITEM.attempt, deaths=four)))["attempt"]["M"]
    assert (written["killed"], written["alone"]) == ({"N": "4"}, {"N": "1"})


def test_a_first_write_asks_that_nothing_stands_there() -> None:
    client = Client()
    assert store(client).write(Progress("k", revision=1)) is None
    (request,) = client.requests
    assert {name: request[name] for name in request if name != "Item"} == {
        "TableName": "progress",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        "ConditionExpression": "attribute_not_exists(pk)",
    }


def test_a_later_write_asks_for_the_revision_that_was_read() -> None:
    client = Client()
    store(client).write(ITEM)
    (request,) = client.requests
    assert (request["ConditionExpression"], request["ExpressionAttributeValues"], request["Item"]) == (
        "revision = :read",
        {":read": {"N": "11"}},
        to_item(ITEM),
    )


def test_a_failed_condition_gives_the_stored_item() -> None:
    client = Client(refusal("ConditionalCheckFailedException", Item=to_item(ITEM)))
    assert store(client).write(Progress(ITEM.key, revision=1)) == ITEM


def test_a_failed_condition_without_an_item_says_that_nothing_stands_there() -> None:
    assert store(Client(refusal("ConditionalCheckFailedException"))).write(ITEM) == Progress(ITEM.key)


@pytest.mark.parametrize(
    "error",
    [
        refusal("ProvisionedThroughputExceededException"),
        refusal("InternalServerError"),
        refusal("ThrottlingException"),
        ReadTimeoutError(endpoint_url="https://dynamodb"),
    ],
)
def test_what_may_pass_is_retryable_and_names_the_table(error: Exception) -> None:
    with pytest.raises(Retryable, match="progress table 'progress'"):
        store(Client(error)).write(ITEM)


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"])
def test_what_somebody_has_to_mend_is_a_configuration_error(code: str) -> None:
    with pytest.raises(ConfigurationError, match="progress table 'progress': "):
        store(Client(refusal(code))).write(ITEM)
