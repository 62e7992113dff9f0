"""Polling a table's stream: with a stream in memory, and with that of the emulator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from aetherstream.local.environment import Clients
from aetherstream.local.esm import Invoke, MappingSettings, Result, Returned
from aetherstream.local.ministack import MiniStack
from aetherstream.local.poller import Poller
from aetherstream.local.shards import TableStream, source_of
from tests.local.esm.test_changes import SHARD, TABLE, change
from tests.local.fakes import FUNCTION, client_error


class FakeStreams:
    """Answers as DynamoDB Streams do, a shard a page."""

    def __init__(self, *shards: str) -> None:
        self.records: dict[str, list[dict[str, Any]]] = {shard: [] for shard in shards}
        self.failures: list[Exception] = []

    def describe_stream(self, *, StreamArn: str, ExclusiveStartShardId: str = "") -> dict[str, Any]:  # noqa: N803
        assert StreamArn == TABLE
        names = [name for name in self.records if name > ExclusiveStartShardId]
        told: dict[str, Any] = {"Shards": [{"ShardId": names[0], "SequenceNumberRange": {}}]}
        return {"StreamDescription": told | ({"LastEvaluatedShardId": names[0]} if len(names) > 1 else {})}

    def get_shard_iterator(self, *, StreamArn: str, ShardId: str, **position: str) -> dict[str, str]:  # noqa: N803
        assert StreamArn == TABLE
        known = [record["dynamodb"]["SequenceNumber"] for record in self.records[ShardId]]
        match position:
            case {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number}:
                start = known.index(number) + 1
            case {"ShardIteratorType": "LATEST"}:
                start = len(known)
            case _:
                assert position == {"ShardIteratorType": "TRIM_HORIZON"}
                start = 0
        return {"ShardIterator": f"{ShardId}/{start}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        assert Limit <= 1000
        if self.failures:
            raise self.failures.pop()
        shard, _, start = ShardIterator.partition("/")
        records = self.records[shard][int(start) : int(start) + Limit]
        return {"Records": records, "NextShardIterator": f"{shard}/{int(start) + len(records)}"}


class Function:
    """Notes the sequence numbers of each call, and answers as the test says."""

    def __init__(self, answer: Callable[[list[str]], Any] = lambda _: None) -> None:
        self.calls: list[list[str]] = []
        self._answer = answer
        self._lock = threading.Lock()

    def __call__(self, invoke: Invoke, /) -> tuple[Result, str]:
        numbers = [record["dynamodb"]["SequenceNumber"] for record in invoke.event["Records"]]
        with self._lock:
            self.calls.append(numbers)
        return Returned(self._answer(numbers)), ""


def settings(**given: Any) -> MappingSettings:
    return MappingSettings(**{"stream_arn": TABLE, "function_arn": FUNCTION, "batch_size": 1000, **given})


def poller(streams: FakeStreams, function: Function, resume: dict[str, str | None] | None = None) -> Poller:
    return Poller(
        settings(),
        source=TableStream(streams, TABLE),
        invoker=function,
        send=lambda _: True,
        resume=resume,
        poll_interval=0.001,
    )


def test_every_change_of_every_shard_is_handed_over_in_its_order() -> None:
    streams, function = FakeStreams(SHARD, f"{SHARD}1"), Function()
    streams.records[SHARD] = [change(1), change(2)]
    streams.records[f"{SHARD}1"] = [change(3)]
    with poller(streams, function) as running:
        streams.records[SHARD].append(change(4))
        running.drain(10)
    found = [int(number) for call in function.calls for number in call]
    assert ([each for each in found if each != 3], sorted(found)) == ([1, 2, 4], [1, 2, 3, 4])


def test_a_resumed_shard_continues_behind_its_checkpoint() -> None:
    streams, function = FakeStreams(SHARD), Function()
    streams.records[SHARD] = [change(1), change(2)]
    with poller(streams, function, {SHARD: f"{1:030}"}) as running:
        running.drain(10)
        assert running.checkpoints() == {SHARD: f"{2:030}"}
    assert function.calls == [[f"{2:030}"]]


def test_an_expired_iterator_is_renewed_where_it_stood() -> None:
    streams, function = FakeStreams(SHARD), Function()
    streams.records[SHARD] = [change(1)]
    with poller(streams, function) as running:
        running.drain(10)
        streams.failures.append(client_error("ExpiredIteratorException"))
        streams.records[SHARD].append(change(2))
        running.drain(10)
    assert [number for call in function.calls for number in call] == [f"{1:030}", f"{2:030}"]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with MiniStack(tmp_path_factory.mktemp("ministack")) as ministack:
        yield Clients(ministack.endpoint)


@pytest.mark.integration
def test_changes_in_the_emulators_table_are_handed_over_and_those_reported_come_again(clients: Clients) -> None:
    table = f"states-{uuid4()}"
    dynamodb = clients.get("dynamodb")
    made = dynamodb.create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    arn = made["TableDescription"]["LatestStreamArn"]
    for group in ("AA", "UA", "B6"):
        dynamodb.put_item(TableName=table, Item={"pk": {"S": group}, "acc": {"B": b"\x00\xff"}})
    seen: list[list[Any]] = []

    def answer(invoke: Invoke) -> tuple[Result, str]:
        seen.append([record["dynamodb"]["NewImage"] for record in invoke.event["Records"]])
        second = invoke.event["Records"][1:2] if len(seen) == 1 else []
        failures = [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]} for record in second]
        return Returned({"batchItemFailures": failures}), ""

    given = settings(stream_arn=arn, report_batch_item_failures=True)
    with Poller(given, source=source_of(clients, arn), invoker=answer, send=lambda _: True) as running:
        running.drain(30)
    images = [{"pk": {"S": group}, "acc": {"B": "AP8="}} for group in ("AA", "UA", "B6")]
    assert seen == [images, images[1:]]
