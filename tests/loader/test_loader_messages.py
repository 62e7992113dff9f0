import pytest

from aetherstream.errors import Retryable
from aetherstream.loader.finality import Finality
from aetherstream.loader.loader import PATIENCE
from aetherstream.loader.narrowing import NO_TIME
from aetherstream.testing.builders import STREAM
from tests.loader.world import BUCKET, PIPELINE, World, failing_at, ids, target


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
    world.announce(*world.staged(1), "somewhere/else.ndjson.gz")
    world.handle()
    assert (world.ids_in_table, len(world.queue.dead), world.queue.messages) == (ids(1), 1, {})


def test_a_message_goes_to_the_dead_letters_once_however_long_its_other_objects_wait() -> None:
    world = World()
    [key] = world.staged(1)
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


def test_what_waits_comes_again_after_a_minute_then_two_and_at_most_fifteen() -> None:
    world = World()
    [key] = world.staged(1)
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
    [key] = world.staged(1)
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

    name = world.announce(*world.staged(1))
    done = world.handle(world.loader(finality=Finality(PIPELINE, STREAM, Down())))
    assert (done.again, done.reports[0].trouble, done.reports[0].failed) == ([name], "the table is throttled", 1)


def test_a_head_that_is_not_answered_lets_its_object_wait_and_no_other() -> None:
    world = World()
    first, second = world.staged(1, 2)

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
    name = world.announce(*world.staged(1))
    world.warehouse.at = failing_at("begin", Retryable("no connection"))
    done = world.handle()
    assert (done.again, done.reports[0].trouble, done.reports[0].failed) == ([name], "no connection", 1)
    world.now += 60
    world.handle()
    assert world.ids_in_table == ids(1)


def test_a_lost_answer_is_settled_by_the_ledger() -> None:
    world = World()
    world.announce(*world.staged(1))
    world.warehouse.at = failing_at("answer", Retryable("connection lost"))
    world.handle()
    world.now += 60
    report = world.report()
    assert (report.known, world.ids_in_table, world.queue.messages) == (1, ids(1), {})


def test_loads_that_are_done_stay_done_where_a_later_one_fails() -> None:
    world = World(target(objects=1))
    first, second = world.staged(1, 2)
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


def test_no_time_lets_everything_wait_and_nothing_is_looked_at() -> None:
    world = World(left=5.0)
    name = world.announce(*world.staged(1))

    class Store:
        def head(self, bucket: str, key: str, /) -> object:
            raise AssertionError("there is no time for it")

    done = world.handle(world.loader(store=Store()))
    assert (done.again, world.ids_in_table, done.reports[0].reasons) == ([name], [], {NO_TIME: 1})


def test_what_was_loaded_longest_after_it_was_put_is_told() -> None:
    world = World()
    first, second = world.staged(1, 2)
    world.announce(first)
    world.now += 100
    world.announce(second)
    assert world.report().oldest == 105.0
