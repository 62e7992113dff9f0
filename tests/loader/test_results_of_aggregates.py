# ruff: noqa: S608 - names of the tests' own
"""Results from emitter and closer in tables of the stand-in for Redshift, whose loader comes late and in any order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from boto3 import Session

from aetherstream.compose_loads import load_targets_of
from aetherstream.delivery.s3 import S3Reader, S3Store
from aetherstream.loader.manifests import remover
from aetherstream.loader_app import LoaderApp, loader_of, warehouse_of
from aetherstream.local.environment import Clients
from aetherstream.pipeline import load
from aetherstream.records import Event
from aetherstream.testing.queues import MemoryQueue
from aetherstream.testing.stores import MemoryProgress
from aetherstream.warehouse.sql import ObjectRef
from tests.integration.aggregates_here import Context, Here
from tests.integration.aggregating import (
    DAY,
    PIPELINE,
    Aggregating,
    Result,
    Values,
    aggregating_of,
    event,
    hourly,
    text,
)
from tests.loader.sql_bench import Bench
from tests.redshift_fixture import ROLE

pytestmark = pytest.mark.integration

NAMES = ("dropping", "correcting")


class Tables:
    """Loads what is staged, and reads the tables of two aggregates."""

    def __init__(self, bench: Bench, world: Aggregating) -> None:
        login = bench.login
        self.variables = {
            "AETHERSTREAM_REDSHIFT_ENDPOINT": f"{login['host']}:{login['port']}/{login['database']}",
            "AETHERSTREAM_REDSHIFT_AUTH": "password",
            "AETHERSTREAM_REDSHIFT_USER": login["user"],
            "AETHERSTREAM_REDSHIFT_PASSWORD": login["password"],
            "AETHERSTREAM_REDSHIFT_COPY_ROLE": ROLE,
            "AETHERSTREAM_REDSHIFT_TLS": "off",
            "DRILL_SCHEMA": bench.schema,
        }
        self._bench, self._ground = bench, world.ground
        self._queue = MemoryQueue(clock=lambda: 0.0)
        self._executor = ThreadPoolExecutor(2)
        pipeline = load(PIPELINE, {**self.variables, **world.variables})
        self._sinks = [(target, warehouse_of(target, Session())) for target in load_targets_of(pipeline)]
        s3: Any = world.ground.clients.s3
        self._app: LoaderApp = loader_of(
            pipeline,
            self._sinks,
            stream=world.stream_arn,
            store=S3Store(s3),
            reader=S3Reader(s3),
            remove=remover(s3),
            progress=MemoryProgress(),
            queue=self._queue,
            executor=self._executor,
        )
        assert self._app.handle({"do": "apply", "by": "a test"}, Context(900))["state"] == "done"

    def close(self) -> None:
        self._executor.shutdown()
        for _, warehouse in self._sinks:
            warehouse.close()

    def staged(self) -> list[str]:
        return self._ground.keys("drill/staging/warehouse.results/")

    def load(self, keys: Sequence[str]) -> None:
        self._queue.announce([ObjectRef(self._ground.bucket, key) for key in keys])
        while taken := self._queue.take(3):
            records = [{"messageId": each.id, "receiptHandle": each.receipt, "body": each.body} for each in taken]
            assert self._app.handle({"Records": records}, Context(900)) == {"batchItemFailures": []}
            self._queue.settle(taken, [])

    def results(self, name: str, *, final: bool) -> dict[Result, Values]:
        table = f'"{self._bench.schema}".drill_{name}'
        rows = self._bench.run(f"SELECT window_start, part, n, total, final, removed FROM {table}")
        assert {(row[4], row[5]) for row in rows} == {(final, False)}
        return {(text(row[0].timestamp()), row[1]): (row[2], int(row[3])) for row in rows}


@pytest.fixture
def world(bench: Bench) -> Iterator[Aggregating]:
    made = aggregating_of(Clients(bench.objects.endpoint))
    yield made
    made.close()


@pytest.fixture
def tables(bench: Bench, world: Aggregating) -> Iterator[Tables]:
    made = Tables(bench, world)
    yield made
    made.close()


def some(hours: range, each: int, first: int = 0) -> list[Event]:
    return [
        event(part, 60 * hour + 5 * index + at, first + 100 * hour + 10 * index + at)
        for hour in hours
        for index in range(each)
        for at, part in enumerate("abcd")
    ]


def test_tables_have_the_newest_row_of_each_result_in_whatever_order_it_is_loaded(
    world: Aggregating, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, results = Here(world, monkeypatch), Here(world, monkeypatch, tables.variables)
    sent = some(range(2), 2)
    world.put(sent, "one shard")
    stream.deliver()
    results.emit()
    first = tables.staged()
    tables.load(first)
    for name in NAMES:
        assert tables.results(name, final=False) == hourly(sent)

    # Nobody loads for a while.
    for number in (1, 2):
        more = some(range(2), 1, 1000 * number)
        world.put([*more], "one shard")
        sent += more
        stream.deliver()
        results.emit()
    assert results.close(text(DAY + 86400))["state"] == "done"
    results.emit()
    keys = tables.staged() * 2
    random.Random(7).shuffle(keys)
    tables.load(keys)
    assert len(keys) > 2 * len(first)
    assert tables.results("correcting", final=True) == world.final("correcting") == hourly(sent)
    assert tables.results("dropping", final=True) == world.final("dropping") == world.stored("dropping")
