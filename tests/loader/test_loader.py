from dataclasses import replace

from aetherstream.delivery.put import Head
from aetherstream.loader.finality import OPEN, UNKNOWN_SHARD, Finality
from aetherstream.loader.report import LoadReport
from aetherstream.testing.builders import SHARD, STREAM
from aetherstream.testing.stores import MemoryObjects
from tests.loader.world import BUCKET, PIPELINE, World, ids, row, target

OTHER = "shardId-000000000001"


def test_what_is_announced_and_final_is_loaded_and_its_message_is_done() -> None:
    world = World()
    world.announce(*world.staged(1, 2))
    done = world.handle()
    assert (world.ids_in_table, done.again, world.queue.messages) == (ids(1, 2), [], {})
    assert done.reports == [
        LoadReport("warehouse", announced=2, loaded=2, rows=2, loads=["load1-1"], oldest=5.0, seconds=0.0)
    ]


def test_messages_of_one_invocation_are_loaded_by_one_transaction() -> None:
    world = World()
    for key in world.staged(1, 2, 3):
        world.announce(key)
    assert len(world.report().loads) == 1


def test_more_objects_than_a_load_takes_are_loaded_by_several() -> None:
    world = World(target(objects=2))
    world.announce(*world.staged(1, 2, 3, 4, 5))
    assert (len(world.report().loads), world.ids_in_table) == (3, ids(1, 2, 3, 4, 5))


def test_objects_of_two_compressions_are_not_loaded_by_one_copy() -> None:
    world = World()
    old = world.stage(world.key(1), row(1))
    new = world.stage(world.key(2).replace(".gz", ".zst"), row(2))
    world.announce(old, new)
    assert (len(world.report().loads), world.ids_in_table) == (2, ids(1, 2))


def test_an_object_that_is_announced_twice_is_loaded_once() -> None:
    world = World()
    [key] = world.staged(1)
    world.announce(key, key)
    world.announce(key)
    world.handle()
    world.announce(key)
    report = world.report()
    assert (report.known, report.loaded, world.ids_in_table, world.queue.messages) == (1, 0, ids(1), {})


def test_an_object_that_an_attempt_may_still_write_waits() -> None:
    world = World()
    first, second = world.staged(1, 2)
    world.note(second)
    world.announce(first)
    waits = world.announce(second)
    done = world.handle()
    assert (world.ids_in_table, done.again) == (ids(1), [waits])
    assert done.reports[0].reasons == {OPEN: 1}


def test_an_object_whose_size_nobody_tells_waits_and_is_not_taken_for_an_empty_one() -> None:
    class Silent(MemoryObjects):
        def head(self, bucket: str, key: str, /) -> Head | None:
            found = super().head(bucket, key)
            return None if found is None else replace(found, size=None)

    world = World()
    waits = world.announce(*world.staged(1))
    done = world.handle(world.loader(store=Silent(world.objects.objects)))
    assert (done.again, world.ids_in_table) == ([waits], [])
    assert "did not tell its size" in str(done.reports[0].reasons)


def test_what_waited_is_loaded_when_it_is_final() -> None:
    world = World()
    [key] = world.staged(1)
    world.note(key)
    world.announce(key)
    world.handle()
    world.note()
    world.now += 60
    world.handle()
    assert (world.ids_in_table, world.queue.messages) == (ids(1), {})


def test_a_message_comes_again_if_one_of_its_objects_waits() -> None:
    world = World()
    first, second = world.staged(1, 2)
    world.note(second)
    waits = world.announce(first, second)
    assert (world.handle().again, world.ids_in_table) == ([waits], ids(1))


def test_an_object_that_was_rewritten_before_it_was_final_is_loaded_as_it_is_now() -> None:
    world = World()
    key = world.key(1)
    world.stage(key, row(1), row(2))
    world.announce(key)
    world.stage(key, row(1), epoch=2)
    world.announce(key)
    world.handle()
    assert world.ids_in_table == ids(1)


def test_an_object_that_was_emptied_is_done_with() -> None:
    world = World()
    [key] = world.staged(1)
    world.announce(key)
    world.empty(key)
    report = world.report()
    assert (report.emptied, world.states, world.queue.messages) == (1, {}, {})


def test_an_object_that_is_gone_is_set_aside() -> None:
    world = World()
    world.announce(world.key(1))
    report = world.report()
    assert (report.set_aside, world.states, world.queue.messages) == (1, {world.key(1): "failed"}, {})
    assert report.faults == {f"{BUCKET}/{world.key(1)}": "the object is gone: it was removed before it was loaded"}


def test_an_object_that_is_gone_after_it_was_loaded_is_none_of_our_business() -> None:
    world = World()
    [key] = world.staged(1)
    world.announce(key)
    world.handle()
    del world.objects.objects[BUCKET, key]
    world.announce(key)
    report = world.report()
    assert (report.known, report.set_aside, world.states) == (1, 0, {key: "loaded"})


def test_an_object_that_is_set_aside_is_not_loaded_again() -> None:
    world = World()
    first, second = world.staged(1, 2)
    world.warehouse.refuses = lambda location: "bad" if location.endswith(first) else None
    world.announce(first, second)
    world.handle()
    world.warehouse.refuses = lambda location: None
    world.announce(first)
    report = world.report()
    assert (report.known, world.ids_in_table, world.queue.messages) == (1, ids(2), {})


def test_an_object_that_was_loaded_and_has_other_bytes_now_is_not_loaded_again_and_is_told() -> None:
    world = World()
    key = world.key(1)
    world.announce(world.stage(key, row(1)))
    world.handle()
    world.stage(key, row(1), row(2), epoch=2)
    world.announce(key)
    assert (world.report().rewritten, world.ids_in_table) == ([f"{BUCKET}/{key}"], ids(1))


def test_an_object_that_is_set_aside_may_have_other_bytes_now() -> None:
    world = World()
    first, second = world.staged(1, 2)
    world.warehouse.refuses = lambda location: "bad" if location.endswith(first) else None
    world.announce(first, second)
    world.handle()
    world.stage(first, row(1), row(3), epoch=2)
    world.announce(first)
    report = world.report()
    assert (report.known, report.rewritten) == (1, [])


def test_the_ledger_knows_an_object_by_its_etag_without_the_quotes_of_s3() -> None:
    world = World()
    [key] = world.staged(1)
    world.announce(key)
    world.handle()
    head = world.objects.head(BUCKET, key)
    assert head is not None
    assert f'"{world.warehouse.database.ledger[f"{BUCKET}/{key}"].etag}"' == head.etag


def test_without_progress_items_other_bytes_under_one_name_are_the_same_rows() -> None:
    world = World(fenced=False)
    key = world.key(1)
    world.announce(world.stage(key, row(1)))
    world.handle()
    world.stage(key, row(1), epoch=2)
    world.announce(key)
    report = world.report()
    assert (report.rewritten, report.known) == ([], 1)


def test_without_progress_items_an_object_is_final_at_once() -> None:
    world = World(fenced=False)
    key = world.key(1).replace(".ndjson", "-0123456789abcdef.ndjson")
    world.announce(world.stage(key, row(1)))
    world.note(key)
    world.handle()
    assert world.ids_in_table == ids(1)


def test_what_stands_there_is_looked_at_after_the_progress_item() -> None:
    world = World()
    [key] = world.staged(1)
    asked: list[str] = []

    class Items:
        def write(self, item: object, /) -> object:
            asked.append("item")
            return world.progress.write(item)  # type: ignore[arg-type]

    class Store:
        def head(self, bucket: str, key: str, /) -> object:
            asked.append("head")
            return world.objects.head(bucket, key)

        def overwrite(self, *args: object) -> None:
            world.objects.overwrite(*args)  # type: ignore[arg-type]

    world.announce(key)
    world.handle(world.loader(finality=Finality(PIPELINE, STREAM, Items()), store=Store()))  # type: ignore[arg-type]
    assert asked == ["item", "head"]


def test_an_object_of_a_shard_that_nobody_knows_waits() -> None:
    world = World()
    world.announce(world.stage(world.key(1, shard=OTHER), row(1)))
    report = world.report()
    assert (report.reasons, report.misconfigured) == ({UNKNOWN_SHARD: 1}, True)


def test_an_object_of_a_redrive_is_loaded_when_the_redrive_has_committed() -> None:
    world = World()
    key = world.target.staging.key("day=2025-11-21", SHARD, "redrive-000000007")
    world.stage(key, row(1))
    world.note(redrive=[key])
    world.announce(key)
    assert world.report().waiting == 1
    world.note()
    world.now += 60
    world.handle()
    assert world.ids_in_table == ids(1)
