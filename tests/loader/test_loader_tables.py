from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.parts import Load, Loaded
from aetherstream.testing.builders import SHARD
from aetherstream.testing.warehouse import MemoryWarehouse, merged
from aetherstream.warehouse.ddl import Change, Differences, Refusal
from tests.loader.world import APPEND, UPSERT, World, failing_at, ids, row, target


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
    world.announce(*world.staged(1))
    assert (world.report().changes, world.ids_in_table) == (["create table public.flights"], ids(1))


def test_a_table_is_compared_once_a_process() -> None:
    world = World()
    loader = world.loader()
    steps: list[str] = []
    world.warehouse.at = steps.append
    for number in (1, 2):
        world.announce(*world.staged(number))
        world.handle(loader)
    assert steps.count("read") == 1


def test_a_table_is_compared_again_after_a_failure() -> None:
    world = World()
    loader = world.loader()
    world.announce(*world.staged(1))
    world.handle(loader)
    world.warehouse.database.exists = False
    world.announce(*world.staged(2))
    assert world.report(loader).misconfigured
    world.now += 60
    world.handle(loader)
    assert world.ids_in_table == ids(1, 2)


def test_no_object_is_blamed_for_a_table_that_was_altered_meanwhile() -> None:
    world = World()
    loader = world.loader()
    world.announce(*world.staged(1))
    world.handle(loader)
    world.warehouse.refuses = lambda _: "line 1, column origin (int4): Invalid digit"
    world.warehouse.differences = Differences(refusals=[Refusal("origin", "is integer", "make it char(3)")])
    world.announce(*world.staged(2, 3))
    report = world.report(loader)
    assert (report.misconfigured, report.set_aside, report.waiting) == (True, 0, 2)
    world.warehouse.refuses, world.warehouse.differences = lambda _: None, Differences()
    world.now += 60
    assert world.report(loader).loaded == 2


def test_what_a_table_lost_meanwhile_is_made_and_the_load_tried_again() -> None:
    world = World()
    loader = world.loader()
    world.announce(*world.staged(1))
    world.handle(loader)
    world.warehouse.differences = Differences([Change("add column origin char(3)", "ALTER TABLE")])
    world.warehouse.refuses = lambda _: "no such column" if world.warehouse.differences.changes else None
    world.announce(*world.staged(2, 3))
    report = world.report(loader)
    assert (report.changes, report.set_aside, report.loaded) == (["add column origin char(3)"], 0, 2)


def test_a_table_that_can_t_be_made_right_lets_everything_wait_and_says_why() -> None:
    world = World()
    refusal = Refusal("origin", "is integer in the table, not char(3)", "rename the column")
    world.warehouse.differences = Differences(refusals=[refusal])
    name = world.announce(*world.staged(1))
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
    name = world.announce(*world.staged(1))
    done = world.handle()
    assert (done.again, done.reports[0].misconfigured) == ([name], True)
    assert done.reports[0].trouble == (
        "the table public.flights of the sink warehouse lacks something (add column dest char(3)), and the pipeline "
        "says `changes: check`: `aetherstream redshift apply` makes it"
    )


def test_a_table_is_not_asked_while_nothing_is_final() -> None:
    world = World()
    [key] = world.staged(1)
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
    world.announce(*world.staged(1))
    world.warehouse.at = failing_at("copy", ConfigurationError("the role may not read the bucket"))
    report = world.report()
    assert (report.misconfigured, report.trouble) == (True, "the role may not read the bucket")


def test_each_table_has_its_share_of_the_time() -> None:
    world = World()
    mine, others = two_sinks(world)
    world.announce(world.stage(mine, row(1)), world.stage(others, row(2)))
    given: list[float] = []

    class Patient(MemoryWarehouse):
        def load(self, load: Load, seconds: float, /) -> Loaded:
            given.append(seconds)
            return super().load(load, seconds)

    sinks = [(each, Patient(each.contract, world.objects)) for each, _ in world.tables]
    world.handle(world.loader(sinks=sinks))
    assert given == [440.0, 890.0]
