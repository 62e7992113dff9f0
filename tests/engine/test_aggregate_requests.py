"""How many requests a batch makes to DynamoDB for its aggregates: what docs say of cost rests on these numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.windows import Tumbling
from aetherstream.delivery.aggregates.dynamodb import DynamoStates
from aetherstream.delivery.aggregates.windows_dynamodb import DynamoWindows
from aetherstream.delivery.dynamodb import DynamoProgress
from aetherstream.engine import Engine
from aetherstream.eventtime import EventTime
from aetherstream.testing.builders import kinesis_records
from aetherstream.testing.stores import InlineExecutor, MemoryObjects
from tests.engine.harness import Bench, archive

OUTPUTS = (Output("events", make("count")), Output("sum", make("sum"), "v"))
DECLARED = Declaration(Aggregate("sums", (("p", "p"),), Tumbling(3600), OUTPUTS, lateness=86_400.0))


class Table:
    """DynamoDB as far as these requests go, which it counts: two tables, by key."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, ...], dict[str, Any]] = {}
        self.requests: Counter[str] = Counter()

    def put_item(self, TableName: str, Item: dict[str, Any], **request: Any) -> dict[str, Any]:  # noqa: N803 - the service's
        self.requests[f"{TableName}: put"] += 1
        stored = self.items.get(key := (TableName, Item["pk"]["S"], Item.get("sk", {}).get("S", "")))
        read = request.get("ExpressionAttributeValues", {}).get(":read")
        if stored is not None if read is None else (stored is None or stored["revision"] != read):
            error: Any = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": stored}
            raise ClientError(error, "PutItem")
        self.items[key] = Item
        return {}

    def batch_execute_statement(self, Statements: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - the service's
        self.requests["states: statements"] += 1
        for each in Statements:
            values = each["Parameters"]
            if each["Statement"].startswith("INSERT"):
                names = ("pk", "sk", "k", "acc", "group", "window")
                item = dict(zip(names, values, strict=True))
                assert ("states", item["pk"]["S"], item["sk"]["S"]) not in self.items
                self.items["states", item["pk"]["S"], item["sk"]["S"]] = item
            else:
                k, acc, pk, sk, read = values
                item = self.items["states", pk["S"], sk["S"]]
                assert item["k"] == read
                item |= {"k": k, "acc": acc}
        return {"Responses": [{} for _ in Statements]}

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - the service's
        self.requests["states: reads"] += 1
        keys = [("states", key["pk"]["S"], key["sk"]["S"]) for key in RequestItems["states"]["Keys"]]
        return {"Responses": {"states": [self.items[key] for key in keys if key in self.items]}}


class World:
    """A shard, and processes of the function that take its batches."""

    def __init__(self) -> None:
        self.table = Table()
        self.objects = MemoryObjects()
        client: Any = self.table
        self._bench = Bench(
            sinks=[archive(partition=[])],
            declarations=[DECLARED],
            core={"event_time": EventTime("t", "epoch_s")},
            objects=self.objects,
            progress=DynamoProgress(client, "progress"),
            states=DynamoStates(client, "states", InlineExecutor()),  # type: ignore[arg-type]
            windows=DynamoWindows(client, "states", InlineExecutor()),  # type: ignore[arg-type]
        )
        self._first = 100

    def process(self) -> Engine:
        return self._bench.engine()

    def batch(self, engine: Engine, groups: int, hour: int = 0) -> dict[str, int]:
        """The requests of a batch that touches so many groups of a window."""
        self.table.requests.clear()
        events = [{"p": f"group-{n:05d}", "t": hour * 3600, "v": n} for n in range(groups)]
        report = engine.process(kinesis_records(events, first=self._first), lambda: 900.0)
        self._first += 10 * groups
        assert report.error is None
        return dict(self.table.requests)


@pytest.mark.parametrize(("groups", "statements"), [(1, 1), (25, 1), (26, 2), (600, 24)])
def test_a_warm_batch_claims_writes_its_groups_by_25_and_completes(groups: int, statements: int) -> None:
    world = World()
    engine = world.process()
    world.batch(engine, groups)
    assert world.batch(engine, groups) == {"progress: put": 2, "states: statements": statements}


def test_a_new_window_costs_one_look_and_one_write_more() -> None:
    world = World()
    engine = world.process()
    world.batch(engine, 60)
    assert world.batch(engine, 60, hour=1) == {
        "progress: put": 2,
        "states: reads": 1,
        "states: put": 1,
        "states: statements": 3,
    }


def test_new_groups_of_a_window_that_this_process_began_are_not_read() -> None:
    world = World()
    engine = world.process()
    world.batch(engine, 25)
    assert world.batch(engine, 50) == {"progress: put": 2, "states: statements": 2}


def test_a_cold_process_reads_its_groups_by_100() -> None:
    world = World()
    world.batch(world.process(), 250)
    found = world.batch(world.process(), 250)
    # The note of its start meets the item of the process before it; the look at the window is one of the reads.
    assert found == {"progress: put": 4, "states: put": 1, "states: reads": 1 + 3, "states: statements": 10}


def test_a_small_log_stands_in_the_progress_item_and_a_large_one_in_an_object() -> None:
    world = World()
    engine = world.process()
    world.batch(engine, 10)
    assert [key for _, key in world.objects.objects if key.startswith("logs/")] == []
    world.batch(engine, 2000)
    assert len([key for _, key in world.objects.objects if key.startswith("logs/")]) == 1
