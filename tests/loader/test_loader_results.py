"""Objects of results: named by their bytes, of no shard, and final as soon as they stand."""

from __future__ import annotations

import orjson

from aetherstream.delivery.progress import Progress
from aetherstream.errors import Retryable
from aetherstream.loader.finality import Finality
from aetherstream.loader.loader import Loader
from aetherstream.objects import compressor, key_by_bytes
from aetherstream.testing.builders import STREAM
from aetherstream.testing.warehouse import MemoryWarehouse, Row
from aetherstream.warehouse.options import LoadTarget
from tests.loader.world import BUCKET, PIPELINE, World, row, target
from tests.warehouse.contracts import results

NAME = "aggregates.carrier_hours.to.warehouse"
TARGET = target(results(), NAME, final_at_once=True)


def result(name: str, version: int, *, removed: bool = False) -> Row:
    return {"id": name, "flights": version, "version": version, "removed": removed}


class Results(World):
    """One sink, and the results of an aggregate beside it."""

    def __init__(self, of: LoadTarget = TARGET) -> None:
        super().__init__()
        self.of = of
        self.results = self.table(of)
        self.tables.append((of, self.results))

    def put(self, *rows: Row) -> str:
        """Put an object as the outlet does; returns its key."""
        body = compressor("gzip", 1)(b"".join(orjson.dumps(each) + b"\n" for each in rows), 0)
        key = key_by_bytes(self.of.staging, body)
        self.objects.overwrite(BUCKET, key, body, {"aether-count": str(len(rows))})
        return key


class NobodyMayAsk:
    """Progress items of a table that is down."""

    def write(self, item: Progress, /) -> Progress | None:
        raise Retryable("throttled")


def unfenced(world: Results) -> Loader:
    return world.loader(finality=Finality(PIPELINE, STREAM, NobodyMayAsk()))


def test_results_are_loaded_without_a_look_at_progress_items() -> None:
    world = Results()
    world.announce(world.put(result("a", 1)))
    report = world.report(unfenced(world))
    assert (report.sink, report.loaded, report.rows, report.reasons) == (NAME, 1, 1, {})
    assert world.results.database.rows == [result("a", 1)]


def test_events_that_wait_keep_no_results_waiting() -> None:
    world = Results()
    key = world.key(1)
    world.note(key)
    world.announce(world.stage(key, row(1)), world.put(result("a", 1)))
    results, events = world.handle().reports
    assert (events.waiting, results.loaded, results.waiting) == (1, 1, 0)


def test_the_newest_row_stays_whatever_is_loaded_last() -> None:
    world = Results()
    for rows in ([result("a", 4), result("b", 1)], [result("a", 7, removed=True)], [result("a", 6), result("b", 2)]):
        world.announce(world.put(*rows))
        world.handle()
    assert sorted(world.results.database.rows, key=lambda each: str(each["id"])) == [
        result("a", 7, removed=True),
        result("b", 2),
    ]


def test_results_that_are_put_again_are_known_and_nobody_is_alarmed() -> None:
    world = Results()
    key = world.put(result("a", 1))
    world.announce(key)
    world.handle()
    world.put(result("a", 1))
    # A bucket with a key of its own gives equal bytes another ETag.
    again = world.objects.objects[BUCKET, key]
    world.objects.overwrite(BUCKET, key, again.body + b"\0", again.metadata)
    world.announce(key)
    report = world.report()
    assert (report.known, report.loaded, report.rewritten, report.needs_somebody) == (1, 0, [], False)


def test_an_object_of_a_shard_among_results_is_refused_and_results_among_events_too() -> None:
    world = Results()
    of_a_shard = world.key(1).replace("staging/warehouse", f"staging/{NAME}")
    by_bytes = key_by_bytes(world.target.staging, b"rows")
    for key in (of_a_shard, by_bytes):
        world.stage(key, row(1))
        world.announce(key)
    handled = world.handle()
    assert (handled.refused, handled.reports) == (2, [])


def test_a_table_of_results_that_is_away_keeps_no_events_waiting() -> None:
    def away(step: str) -> None:
        raise Retryable("no connection")

    world = Results()
    world.tables[1] = (TARGET, MemoryWarehouse(TARGET.contract, world.objects, at=away))
    world.announce(*world.staged(1), world.put(result("a", 1)))
    results, events = world.handle().reports
    assert (events.loaded, results.loaded, results.trouble) == (1, 0, "no connection")
