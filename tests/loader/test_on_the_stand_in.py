# ruff: noqa: S608 - names of the tests' own
"""The whole loader over S3 and the stand-in for Redshift: queue and progress items are in memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from aetherstream.delivery.progress import Noted, Progress, progress_key
from aetherstream.delivery.put import put
from aetherstream.delivery.s3 import S3Store
from aetherstream.loader.finality import Finality
from aetherstream.loader.loader import Loader
from aetherstream.loader.manifests import remover
from aetherstream.loader.report import Handled, LoadReport
from aetherstream.objects import compressor, empty_object
from aetherstream.records import sortable
from aetherstream.testing.builders import SHARD, STREAM
from aetherstream.testing.queues import MemoryQueue
from aetherstream.testing.stores import MemoryProgress
from aetherstream.warehouse.check import Table
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.sql import ObjectRef
from tests.loader.sql_bench import Bench, event
from tests.warehouse.contracts import flights, upserting

pytestmark = pytest.mark.integration

PIPELINE = "flights"


class World:
    """One sink of a pipeline, with its objects in S3 and its table in the stand-in."""

    def __init__(self, bench: Bench, contract: Contract) -> None:
        self.bench = bench
        self.contract = contract
        self.target = bench.target(contract)
        self.progress = MemoryProgress()
        self.now = 1_763_712_000.0
        self.queue = MemoryQueue(clock=lambda: self.now)
        self.store = S3Store(bench.objects.s3)
        self.executor = ThreadPoolExecutor(4)
        self.ids = count(1)
        self.note()

    def close(self) -> None:
        self.executor.shutdown()

    def loader(self) -> Loader:
        return Loader(
            [(self.target, self.bench.warehouse(self.target))],
            finality=Finality(PIPELINE, STREAM, self.progress),
            store=self.store,
            remove=remover(self.bench.objects.s3),
            queue=self.queue,
            executor=self.executor,
            clock=lambda: self.now,
            new_id=lambda: f"{self.bench.schema}-{next(self.ids)}",
        )

    def note(self, *keys: str) -> None:
        key = progress_key(PIPELINE, STREAM, SHARD)
        noted = {f"{self.target.staging.bucket}/{each}": Noted("999", "v1") for each in keys}
        self.progress.items[key] = Progress(key, revision=1, epoch=1, open=noted)

    def key(self, number: int) -> str:
        return self.target.staging.key("day=2025-11-21", SHARD, f"{sortable(str(number))}-000000")

    def stage(self, key: str, events: Sequence[dict[str, Any]], epoch: int = 1) -> str:
        """Put an object as the engine does, and announce it."""
        rows = Table(self.contract).rows(events, [each["_event_id"] for each in events])
        return self.put(key, compressor("gzip", 1)(rows, epoch), len(events), epoch)

    def put(self, key: str, body: bytes, rows: int, epoch: int) -> str:
        put(self.store, self.target.staging.bucket, key, body, {"aether-count": str(rows)}, epoch)
        self.queue.announce([ObjectRef(self.target.staging.bucket, key)])
        return key

    def handle(self, loader: Loader | None = None, most: int = 10_000) -> Handled:
        taken = self.queue.take(most)
        done = (loader or self.loader()).handle(taken, lambda: 600.0)
        self.queue.settle(taken, done.again)
        return done

    def report(self) -> LoadReport:
        [report] = self.handle().reports
        assert report.trouble == "" or report.failed, report
        return report


@pytest.fixture
def world(bench: Bench) -> Any:
    made = World(bench, flights(schema=bench.schema))
    yield made
    made.close()


def test_an_object_that_was_rewritten_after_it_was_announced_is_loaded_as_it_is_now(world: World) -> None:
    key = world.key(1)
    world.note(key)
    world.stage(key, [event(1), event(2)])
    assert world.report().waiting == 1
    world.stage(key, [event(1)], epoch=2)
    world.note()
    world.now += 60
    assert (world.report().loaded, world.bench.ids()) == (1, ["s:1:0"])


def test_an_object_that_a_later_attempt_emptied_is_done_with(world: World) -> None:
    key = world.key(1)
    world.stage(key, [event(1)])
    world.put(key, empty_object(key, 2), 0, 2)
    report = world.report()
    assert (report.emptied, report.loaded, world.queue.messages, world.bench.ids()) == (1, 0, {}, [])


def test_an_object_that_was_rewritten_after_it_was_loaded_is_told(world: World) -> None:
    key = world.stage(world.key(1), [event(1)])
    world.report()
    world.stage(key, [event(1), event(2)], epoch=2)
    report = world.report()
    assert (report.rewritten, world.bench.ids()) == ([f"{world.target.staging.bucket}/{key}"], ["s:1:0"])


def test_one_poisonous_object_among_a_hundred_is_set_aside_with_the_reason(world: World) -> None:
    for number in range(100):
        if number != 42:
            world.stage(world.key(number), [event(number)])
    row = b'{"_event_id": "s:42:0", "flight_id": "a", "updated_at": "yesterday", "origin": "JFK"}\n'
    poison = world.put(world.key(42), compressor("gzip", 1)(row, 1), 1, 1)
    report = world.report()
    assert (report.loaded, report.set_aside, world.queue.messages) == (99, 1, {})
    [(location, why)] = report.faults.items()
    assert location == f"{world.target.staging.bucket}/{poison}"
    assert "updated_at" in why
    assert world.bench.ids() == sorted(f"s:{number}:0" for number in range(100) if number != 42)


def test_manifests_are_gone_when_their_loads_are_over(world: World) -> None:
    world.stage(world.key(1), [event(1)])
    world.put(world.key(2), compressor("gzip", 1)(b"{}\n", 1), 1, 1)
    world.report()
    assert world.bench.keys(f"{world.target.manifests}/") == []


def test_loaders_at_once_load_each_object_once(world: World) -> None:
    keys = [world.stage(world.key(number), [event(number)]) for number in range(12)]
    world.handle(most=1)  # the table is made
    world.queue.announce([ObjectRef(world.target.staging.bucket, key) for key in keys])
    loaders = [world.loader() for _ in range(3)]
    taken = world.queue.take()

    def handle(loader: Loader) -> Handled:
        return loader.handle(taken, lambda: 600.0)

    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(handle, loaders))
    assert [each.again for each in done] == [[], [], []]
    assert sum(report.loaded for each in done for report in each.reports) == 11
    assert world.bench.ids() == sorted(f"s:{number}:0" for number in range(12))


@pytest.mark.parametrize("seed", range(3))
def test_late_and_repeated_upserts_end_in_the_same_table_in_any_order(bench: Bench, seed: int) -> None:
    rng = random.Random(seed)
    world = World(bench, upserting(schema=bench.schema))
    rows = [event(number, key=f"f{number % 5}", version=rng.randint(1, 6)) for number in range(40)]
    parts = [rows[start : start + 4] for start in range(0, 40, 4)]
    order = rng.sample(range(10), 10)
    for at in order:
        world.stage(world.key(at), parts[at])
        world.queue.announce(
            [ObjectRef(world.target.staging.bucket, world.key(rng.choice(order[: order.index(at) + 1])))]
        )
        if rng.random() < 0.6:
            world.handle(most=rng.randint(1, 5))
    world.handle()
    newest = {each["flight_id"]: each for each in sorted(rows, key=_age)}
    found = bench.run(f'SELECT flight_id, _event_id FROM "{bench.schema}"."flights" ORDER BY 1')
    assert found == [[flight, newest[flight]["_event_id"]] for flight in sorted(newest)]
    world.close()


def _age(each: dict[str, Any]) -> tuple[str, int]:
    return each["updated_at"], int(each["_event_id"].split(":")[1])
