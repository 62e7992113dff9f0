import pytest

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.finality import OPEN, UNKNOWN_SHARD, Finality
from aetherstream.loader.loader import PATIENCE
from aetherstream.loader.report import LoadReport
from aetherstream.testing.builders import SHARD, STREAM
from aetherstream.testing.warehouse import merged
from aetherstream.warehouse.ddl import Change, Differences, Refusal
from tests.loader.world import APPEND, BUCKET, PIPELINE, UPSERT, World, failing_at, row, target

OTHER = "shardId-000000000001"


def staged(world: World, *numbers: int) -> list[str]:
    return [world.stage(world.key(number), row(number)) for number in numbers]


def ids(*numbers: int) -> list[str]:
    return sorted(f"{SHARD}:{number}:0" for number in numbers)


def test_what_is_announced_and_final_is_loaded_and_its_message_is_done() -> None:
    world = World()
    world.announce(*staged(world, 1, 2))
    done = world.handle()
    assert (world.ids_in_table, done.again, world.queue.messages) == (ids(1, 2), [], {})
    assert done.reports == [
        LoadReport("warehouse", announced=2, loaded=2, rows=2, loads=["load1-1"], oldest=5.0, seconds=0.0)
    ]


def test_messages_of_one_invocation_are_loaded_by_one_transaction() -> None:
    world = World()
    for key in staged(world, 1, 2, 3):
        world.announce(key)
    assert len(world.report().loads) == 1


def test_more_objects_than_a_load_takes_are_loaded_by_several() -> None:
    world = World(target(objects=2))
    world.announce(*staged(world, 1, 2, 3, 4, 5))
    assert (len(world.report().loads), world.ids_in_table) == (3, ids(1, 2, 3, 4, 5))


def test_objects_of_two_compressions_are_not_loaded_by_one_copy() -> None:
    world = World()
    old = world.stage(world.key(1), row(1))
    new = world.stage(world.key(2).replace(".gz", ".zst"), row(2))
    world.announce(old, new)
    assert (len(world.report().loads), world.ids_in_table) == (2, ids(1, 2))


def test_an_object_that_is_announced_twice_is_loaded_once() -> None:
    world = World()
    [key] = staged(world, 1)
    world.announce(key, key)
    world.announce(key)
    world.handle()
    world.announce(key)
    report = world.report()
    assert (report.known, report.loaded, world.ids_in_table, world.queue.messages) == (1, 0, ids(1), {})


def test_an_object_that_an_attempt_may_still_write_waits() -> None:
    world = World()
    first, second = staged(world, 1, 2)
    world.note(second)
    world.announce(first)
    waits = world.announce(second)
    done = world.handle()
    assert (world.ids_in_table, done.again) == (ids(1), [waits])
    assert done.reports[0].reasons == {OPEN: 1}


def test_what_waited_is_loaded_when_it_is_final() -> None:
    world = World()
    [key] = staged(world, 1)
    world.note(key)
    world.announce(key)
    world.handle()
    world.note()
    world.now += 60
    world.handle()
    assert (world.ids_in_table, world.queue.messages) == (ids(1), {})


def test_a_message_comes_again_if_one_of_its_objects_waits() -> None:
    world = World()
    first, second = staged(world, 1, 2)
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
    [key] = staged(world, 1)
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
    [key] = staged(world, 1)
    world.announce(key)
    world.handle()
    del world.objects.objects[BUCKET, key]
    world.announce(key)
    assert (world.report().known, world.states) == (1, {key: "loaded"})


def test_an_object_that_is_set_aside_is_not_loaded_again() -> None:
    world = World()
    first, second = staged(world, 1, 2)
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
    [key] = staged(world, 1)
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
    assert world.report().reasons == {UNKNOWN_SHARD: 1}


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


# -- Messages that are not the loader's -------------------------------------------------------------------------------


def test_a_message_that_is_no_notification_goes_to_the_dead_letters() -> None:
    world = World()
    world.queue.put("hello")
    done = world.handle()
    assert (done.refused, world.queue.dead, world.queue.messages) == (1, [("hello", "it is not JSON")], {})


def test_the_test_of_a_new_notification_is_dropped() -> None:
    world = World()
    world.queue.put('{"Event": "s3:TestEvent"}')
    assert (world.handle().refused, world.queue.messages, world.queue.dead) == (0, {}, [])


@pytest.mark.parametrize(
    "key",
    [
        "flights/archive/day=2025-11-21/shardId-000000000000-003100-000000.ndjson.gz",
        "flights/staging/warehouse.manifests/load1-1.manifest",
        "flights/staging/warehouse/readme.ndjson.gz",
        "flights/staging/warehouse/shardId-000000000000-003100-000000.parquet",
    ],
)
def test_an_object_of_no_sink_goes_to_the_dead_letters(key: str) -> None:
    world = World()
    world.announce(key)
    world.handle()
    [(_, reason)] = world.queue.dead
    assert (reason, world.queue.messages) == (
        f"s3://{BUCKET}/{key} is not an object of a Redshift sink of this pipeline",
        {},
    )


def test_what_stands_beside_a_foreign_object_in_a_message_is_loaded() -> None:
    world = World()
    world.announce(*staged(world, 1), "somewhere/else.ndjson.gz")
    world.handle()
    assert (world.ids_in_table, len(world.queue.dead), world.queue.messages) == (ids(1), 1, {})


def test_a_message_goes_to_the_dead_letters_once_however_long_its_other_objects_wait() -> None:
    world = World()
    [key] = staged(world, 1)
    world.note(key)
    world.announce(key, "somewhere/else.ndjson.gz")
    world.handle()
    world.now += 60
    world.handle()
    assert world.queue.dead == []
    world.note()
    world.now += 900
    world.handle()
    assert (len(world.queue.dead), world.ids_in_table) == (1, ids(1))


def test_a_message_that_the_dead_letters_do_not_take_comes_again() -> None:
    world = World()
    name = world.queue.put("hello")
    world.queue.trouble = Retryable("throttled")
    done = world.handle()
    assert (done.again, done.trouble, world.queue.dead) == ([name], "throttled", [])


# -- What waits --------------------------------------------------------------------------------------------------------


def test_what_waits_comes_again_after_a_minute_then_two_and_at_most_fifteen() -> None:
    world = World()
    [key] = staged(world, 1)
    world.note(key)
    name = world.announce(key)
    delays = []
    for _ in range(7):
        world.handle()
        delays.append(world.queue.messages[name].visible - world.now)
        world.now = world.queue.messages[name].visible
    assert delays == [60, 120, 240, 480, 900, 900, 900]


def test_a_week_of_waiting_stays_below_the_deliveries_that_a_queue_allows() -> None:
    first, most = PATIENCE
    doublings = sum(first * 2**each for each in range(4))
    assert 4 + (7 * 86_400 - doublings) / most < 1000


def test_messages_that_can_t_be_delayed_come_again_all_the_same() -> None:
    world = World()
    [key] = staged(world, 1)
    world.note(key)
    name = world.announce(key)
    world.queue.trouble = Retryable("throttled")
    done = world.handle()
    assert (done.again, done.trouble) == ([name], "throttled")


def test_a_progress_table_that_does_not_answer_lets_everything_wait() -> None:
    world = World()

    class Down:
        def write(self, item: object, /) -> None:
            raise Retryable("the table is throttled")

    name = world.announce(*staged(world, 1))
    done = world.handle(world.loader(finality=Finality(PIPELINE, STREAM, Down())))
    assert (done.again, done.reports[0].trouble, done.reports[0].failed) == ([name], "the table is throttled", 1)


def test_a_head_that_is_not_answered_lets_its_object_wait_and_no_other() -> None:
    world = World()
    first, second = staged(world, 1, 2)

    class Store:
        def head(self, bucket: str, key: str, /) -> object:
            if key == first:
                raise Retryable("slow down")
            return world.objects.head(bucket, key)

        def overwrite(self, *args: object) -> None:
            world.objects.overwrite(*args)  # type: ignore[arg-type]

    world.announce(first, second)
    report = world.report(world.loader(store=Store()))
    assert (report.reasons, world.ids_in_table) == ({"slow down": 1}, ids(2))


def test_a_warehouse_that_is_down_lets_everything_wait() -> None:
    world = World()
    name = world.announce(*staged(world, 1))
    world.warehouse.at = failing_at("begin", Retryable("no connection"))
    done = world.handle()
    assert (done.again, done.reports[0].trouble, done.reports[0].failed) == ([name], "no connection", 1)
    world.now += 60
    world.handle()
    assert world.ids_in_table == ids(1)


def test_a_lost_answer_is_settled_by_the_ledger() -> None:
    world = World()
    world.announce(*staged(world, 1))
    world.warehouse.at = failing_at("answer", Retryable("connection lost"))
    world.handle()
    world.now += 60
    report = world.report()
    assert (report.known, world.ids_in_table, world.queue.messages) == (1, ids(1), {})


def test_loads_that_are_done_stay_done_where_a_later_one_fails() -> None:
    world = World(target(objects=1))
    first, second = staged(world, 1, 2)
    world.announce(first)
    name = world.announce(second)
    commits = [0]

    def second_fails(step: str) -> None:
        commits[0] += step == "commit"
        if commits[0] == 2:
            raise Retryable("conflict")

    world.warehouse.at = second_fails
    done = world.handle()
    assert (done.again, world.ids_in_table, done.reports[0].loaded) == ([name], ids(1), 1)


def test_no_time_lets_everything_wait() -> None:
    world = World(left=5.0)
    name = world.announce(*staged(world, 1))
    assert (world.handle().again, world.ids_in_table) == ([name], [])


def test_what_was_loaded_longest_after_it_was_put_is_told() -> None:
    world = World()
    first, second = staged(world, 1, 2)
    world.announce(first)
    world.now += 100
    world.announce(second)
    assert world.report().oldest == 105.0


# -- Tables ------------------------------------------------------------------------------------------------------------


def two_sinks(world: World) -> list[str]:
    """Give the world a second sink; returns the keys of an object each."""
    other = target(APPEND, "other")
    world.tables.append((other, world.table(other)))
    return [world.key(1), other.staging.key("", SHARD, "003200-000000")]


def test_objects_go_to_the_table_of_their_sink() -> None:
    world = World()
    mine, others = two_sinks(world)
    world.announce(world.stage(mine, row(1)), world.stage(others, row(2)))
    done = world.handle()
    assert [[each["_event_id"] for each in table.database.rows] for _, table in world.tables] == [ids(1), ids(2)]
    assert [report.sink for report in done.reports] == ["warehouse", "other"]


def test_a_sink_whose_folder_lies_inside_that_of_another_gets_its_own() -> None:
    world = World()
    inner = target(APPEND, "warehouse/inner")
    world.tables.append((inner, world.table(inner)))
    world.announce(world.stage(inner.staging.key("", SHARD, "003200-000000"), row(2)))
    world.handle()
    assert [len(table.database.rows) for _, table in world.tables] == [0, 1]


def test_a_table_that_is_down_does_not_keep_another_from_its_rows() -> None:
    world = World()
    mine, others = two_sinks(world)
    world.stage(mine, row(1))
    world.stage(others, row(2))
    waits, _ = world.announce(mine), world.announce(others)
    world.warehouse.at = failing_at("begin", Retryable("down"))
    done = world.handle()
    assert (done.again, [len(table.database.rows) for _, table in world.tables]) == ([waits], [0, 1])


def test_a_table_that_is_not_there_is_made_before_the_first_load() -> None:
    world = World()
    world.warehouse.database.exists = False
    world.announce(*staged(world, 1))
    assert (world.report().changes, world.ids_in_table) == (["create table public.flights"], ids(1))


def test_a_table_is_compared_once_a_process() -> None:
    world = World()
    loader = world.loader()
    steps: list[str] = []
    world.warehouse.at = steps.append
    for number in (1, 2):
        world.announce(*staged(world, number))
        world.handle(loader)
    assert steps.count("read") == 1


def test_a_table_is_compared_again_after_a_failure() -> None:
    world = World()
    loader = world.loader()
    world.announce(*staged(world, 1))
    world.handle(loader)
    world.warehouse.database.exists = False
    world.announce(*staged(world, 2))
    assert world.report(loader).misconfigured
    world.now += 60
    world.handle(loader)
    assert world.ids_in_table == ids(1, 2)


def test_a_table_that_can_t_be_made_right_lets_everything_wait_and_says_why() -> None:
    world = World()
    refusal = Refusal("origin", "is integer in the table, not char(3)", "rename the column")
    world.warehouse.differences = Differences(refusals=[refusal])
    name = world.announce(*staged(world, 1))
    done = world.handle()
    [report] = done.reports
    assert (done.again, report.misconfigured, report.failed, world.ids_in_table) == ([name], True, 1, [])
    assert report.trouble == (
        "the table public.flights of the sink warehouse differs from its contract: "
        "origin: is integer in the table, not char(3); rename the column"
    )


def test_where_changes_are_only_checked_a_table_that_lacks_something_lets_everything_wait() -> None:
    world = World(target(changes="check"))
    world.warehouse.differences = Differences([Change("add column dest char(3)", "ALTER TABLE")])
    name = world.announce(*staged(world, 1))
    done = world.handle()
    assert (done.again, done.reports[0].misconfigured) == ([name], True)
    assert done.reports[0].trouble == (
        "the table public.flights of the sink warehouse lacks something (add column dest char(3)), and the pipeline "
        "says `changes: check`: `aetherstream redshift apply` makes it"
    )


def test_a_table_is_not_asked_while_nothing_is_final() -> None:
    world = World()
    [key] = staged(world, 1)
    world.note(key)
    world.announce(key)
    steps: list[str] = []
    world.warehouse.at = steps.append
    world.handle()
    assert steps == []


def test_of_an_upsert_the_newest_version_stays() -> None:
    world = World(target(UPSERT))
    new = world.stage(world.key(1), row(1, tail="N1", version=7))
    old = world.stage(world.key(2), row(2, tail="N1", version=5))
    world.announce(new)
    world.handle()
    world.announce(old)
    world.handle()
    assert world.warehouse.database.rows == [row(1, tail="N1", version=7)]


def test_among_equal_versions_the_later_position_stays() -> None:
    rows = [row(9, tail="N1", version=7), row(10, tail="N1", version=7)]
    assert merged(UPSERT, rows[1:], rows[:1]) == merged(UPSERT, rows[:1], rows[1:]) == rows[1:]


def test_an_error_of_configuration_is_told_as_one() -> None:
    world = World()
    world.announce(*staged(world, 1))
    world.warehouse.at = failing_at("copy", ConfigurationError("the role may not read the bucket"))
    report = world.report()
    assert (report.misconfigured, report.trouble) == (True, "the role may not read the bucket")
