"""Windows and sessions that the watermark has passed go out as final, once, whatever breaks in between."""

from __future__ import annotations

from dataclasses import replace

from aetherstream.aggregates.aggregate import Aggregate, Key
from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.aggregates.partials import Partial
from aetherstream.aggregates.windows import Tumbling
from aetherstream.delivery.aggregates.closing import ENDED, KEEP
from aetherstream.delivery.aggregates.state import Mark
from aetherstream.emission.clock import LONG_FOLDED
from aetherstream.emission.closer import SESSIONS_EVERY
from aetherstream.emission.report import Tally
from aetherstream.errors import Retryable
from aetherstream.testing.results import MemoryOutlet
from tests.delivery.aggregate_support import HOURLY, NOW, OUTPUTS, VISITS, partials
from tests.emission.stream_world import StreamWorld
from tests.emission.test_emitter import BRITTLE
from tests.emission.world import removed, seen

UPDATES = Declaration(HOURLY)
SESSIONS = Declaration(VISITS, emit="close")
BUSIEST = Declaration(HOURLY, emit="close", ranking=Ranking("sum", 2))
DAILY = Declaration(Aggregate("daily", (("carrier", "carrier"),), Tumbling(86_400), OUTPUTS))
AA, UA = 'hourly/1970-01-01T01:00:00Z/["AA"]', 'hourly/1970-01-01T01:00:00Z/["UA"]'
EXPIRES = int(NOW) + KEEP


def visit(second: int) -> str:
    return f'visits/1970-01-01T00:{second // 60:02d}:{second % 60:02d}Z/["AA"]'


def begun(*declarations: Declaration) -> StreamWorld:
    """Two shards are in the second hour."""
    world = StreamWorld(*(declarations or (UPDATES,)))
    world.commit(0, partials([("AA", 3600, 1), ("UA", 3700, 2)]), 3700.0)
    world.commit(1, partials([("AA", 3700, 4)]), 3700.0)
    return world


def passed(world: StreamWorld, time: float = 7200.0) -> None:
    """Both shards go on, and have more to come."""
    for number in (0, 1):
        world.commit(number, time=time)
        world.arrive(number)


def test_a_window_is_open_until_every_live_shard_has_passed_it() -> None:
    world = begun()
    world.commit(0, time=7200.0)
    world.arrive(1)
    done = world.close()
    assert (done.windows, done.overdue, done.watermark, done.held_by) == (0, 0, 3700.0, (world.ids[1],))
    assert world.outlet.rows == {}


def test_a_window_that_every_shard_has_passed_goes_out_as_final_and_expires() -> None:
    world = begun()
    passed(world)
    done = world.close()
    assert (done.windows, done.groups, done.overdue, done.troubles) == (1, 2, 0, [])
    assert seen(world.outlet) == {
        AA: {"events": 2, "sum": 5, "version": 2 * 2 + 1, "final": True},
        UA: {"events": 1, "sum": 2, "version": 2 + 1, "final": True},
    }
    assert {item.expires for item in world.states.items.values()} == {EXPIRES}


def test_lateness_keeps_a_window_open() -> None:
    world = begun(Declaration(replace(HOURLY, lateness=600.0)))
    passed(world, 7799.0)
    assert world.close().windows == 0
    passed(world, 7800.0)
    assert world.close().windows == 1


def test_two_closers_close_a_window_once() -> None:
    world = begun()
    passed(world)
    other = world.closer()
    assert (world.close().groups, other.run(lambda: 300.0).groups) == (2, 0)
    assert len(world.outlet.sent) == 1


def test_what_a_killed_function_has_not_folded_is_folded_before_closing() -> None:
    world = begun()
    world.commit(0, partials([("DL", 3800, 8)]), 7200.0, folds=False)
    passed(world)
    assert world.close().folded == 1
    assert {key: found["sum"] for key, found in seen(world.outlet).items()} == {
        AA: 5,
        UA: 2,
        AA.replace("AA", "DL"): 8,
    }


def test_on_a_stream_that_stopped_what_nobody_has_folded_is_folded_and_closed() -> None:
    world = StreamWorld(UPDATES)
    world.commit(0, partials([("AA", 3600, 1)]), 3600.0, folds=False)
    assert (world.close().windows, world.states.items) == (0, {})
    world.now += 3600
    assert world.close().windows == 1
    assert [key for key, found in seen(world.outlet).items() if found["final"]] == [AA]


def test_what_comes_after_a_stop_is_folded_and_goes_out_as_final_again() -> None:
    world = StreamWorld(UPDATES)
    world.commit(0, partials([("AA", 3600, 1)]), 3600.0)
    world.now += 7200
    world.close()
    world.states.news()
    world.commit(0, partials([("AA", 3700, 5)]), 3700.0)
    world.emit()
    assert seen(world.outlet) == {AA: {"events": 2, "sum": 6, "version": 5, "final": True}}


def test_an_outlet_that_is_down_leaves_the_window_due_for_the_next_run() -> None:
    world = begun()
    passed(world)
    world.outlet.down = Retryable("the sink is down")
    done = world.close()
    assert (done.windows, done.overdue, done.troubles) == (0, 1, [world.outlet.down])
    assert done.published.outlets == {world.outlet.name: Tally(failed=2)}
    assert {item.expires for item in world.states.items.values()} == {None}
    world.outlet.down = None
    assert world.close().windows == 1
    assert list(seen(world.outlet)) == [AA, UA]


def test_an_aggregate_whose_outlet_is_down_does_not_hold_up_another() -> None:
    down, up = MemoryOutlet("down"), MemoryOutlet("up")
    down.down = Retryable("the sink is down")
    other = Declaration(replace(HOURLY, name="other"))
    world = StreamWorld(UPDATES, other, outlets={"hourly": [down], "other": [up]})
    for one in (HOURLY, other.aggregate):
        world.commit(0, partials([("AA", 3600, 1), ("AA", 7200, 1)], one), 7200.0)
    world.now += 7200
    done = world.close()
    assert (done.windows, done.overdue, len(down.sent), len(up.rows)) == (2, 2, 1, 2)


def test_a_mistake_in_a_users_class_does_not_hold_up_another_aggregate() -> None:
    world = StreamWorld(Declaration(BRITTLE), Declaration(replace(HOURLY, name="other")))
    world.commit(0, partials([("AA", 3600, 12)], BRITTLE), 7200.0)
    world.commit(0, partials([("AA", 3600, 12)], replace(HOURLY, name="other")), 7200.0)
    world.now += 7200
    done = world.close()
    assert [str(error) for error in done.troubles] == ["aggregate hourly: its results can't be made: KeyError('12')"]
    assert (done.windows, done.overdue) == (1, 1)


def test_windows_are_closed_the_oldest_first_and_those_of_an_aggregate_go_out_together() -> None:
    world = StreamWorld(DAILY, UPDATES)
    world.commit(0, partials([("AA", 90_000, 1), ("AA", 3600, 1)]), 90_000.0)
    world.commit(0, partials([("AA", 3600, 1)], DAILY.aggregate), 90_000.0)
    world.now += 90_000
    world.close()
    ends = [[row.window.end for row in rows] for rows in world.outlet.sent]
    assert ends == [[7200.0, 93_600.0], [86_400.0]]


def test_a_run_stops_before_its_time_is_over_and_the_next_one_goes_on() -> None:
    world = begun()
    passed(world)
    world.left = 15.0
    done = world.close()
    assert (done.windows, done.overdue, done.troubles) == (0, 1, [])
    world.left = 300.0
    assert world.close().windows == 1


def test_by_hand_windows_are_closed_wherever_the_watermark_is() -> None:
    world = begun(Declaration(replace(HOURLY, lateness=600.0)))
    world.arrive(0)
    assert world.close().windows == 0
    assert world.close(upto=7199.0).windows == 0
    assert world.close(upto=7200.0).windows == 1


def test_a_table_that_is_down_is_a_trouble_and_nothing_is_lost() -> None:
    world = begun()
    passed(world)
    world.windows.down = True
    assert isinstance(world.close().troubles[0], Retryable)
    world.windows.down = False
    assert world.close().windows == 1


def test_a_replay_after_closing_goes_out_again() -> None:
    world = begun()
    passed(world)
    world.close()
    world.states.news()
    world.commit(1, partials([("UA", 3600, 10)]), 3600.0)
    assert world.item(1).event_time == 7200.0
    world.emit()
    assert seen(world.outlet)[UA] == {"events": 2, "sum": 12, "version": 2 * (1 + 2) + 1, "final": True}


def test_a_group_that_changes_shard_with_its_key_is_one_result() -> None:
    world = StreamWorld(UPDATES, shards=1)
    world.commit(0, partials([("AA", 3600, 1)]), 3600.0)
    world.kinesis.split(world.ids[0])
    world.commit(2, partials([("AA", 3700, 2)]), 3700.0)
    world.now += 7200
    assert world.close().windows == 1
    assert seen(world.outlet) == {AA: {"events": 2, "sum": 3, "version": 5, "final": True}}


def test_a_window_of_a_shard_that_the_stream_keeps_no_longer_is_closed_with_what_it_has() -> None:
    world = begun()
    world.commit(1, partials([("AA", 3800, 7)]), 3800.0, folds=False)
    world.commit(0, time=7200.0)
    del world.kinesis.shards[world.ids[1]]
    assert world.close().windows == 1
    assert seen(world.outlet)[AA]["sum"] == 1 + 4 + 7


# -- Rankings ----------------------------------------------------------------------------------------------------------


def ranks(world: StreamWorld) -> list[tuple[str, int]]:
    return [(row.group["carrier"], row.version) for _, row in sorted(world.outlet.rows.items())]


def test_at_close_the_first_groups_of_a_window_go_out() -> None:
    world = begun(BUSIEST)
    world.commit(1, partials([("DL", 3600, 3)]), 3700.0)
    passed(world)
    done = world.close()
    assert (done.windows, done.given_up) == (1, 0)
    assert ranks(world) == [("AA", 11), ("DL", 11)]
    assert {item.expires for item in world.states.items.values()} == {EXPIRES}


def test_a_ranking_that_was_not_sent_is_made_again() -> None:
    world = begun(BUSIEST)
    passed(world)
    world.outlet.down = Retryable("the sink is down")
    assert world.close().overdue == 1
    world.outlet.down = None
    assert (world.close().windows, ranks(world)) == (1, [("AA", 7), ("UA", 7)])


def test_a_ranking_that_could_not_be_sent_until_its_states_expire_is_given_up() -> None:
    world = begun(BUSIEST)
    passed(world)
    world.outlet.down = Retryable("the sink is down")
    world.close()
    world.outlet.down = None
    world.now += KEEP
    done = world.close()
    assert (done.given_up, done.overdue, world.outlet.rows) == (1, 0, {})


# -- Sessions ----------------------------------------------------------------------------------------------------------


def visiting() -> StreamWorld:
    """A session that has ended, and one that has not."""
    world = StreamWorld(SESSIONS)
    world.commit(0, partials([("AA", 0, 1), ("AA", 50, 2)], VISITS), 50.0)
    world.commit(1, partials([("AA", 200, 4)], VISITS), 200.0)
    world.commit(0, time=200.0)
    world.arrive(0)
    return world


def test_sessions_that_have_ended_go_out_as_final() -> None:
    world = visiting()
    assert world.close().sessions == 1
    assert seen(world.outlet) == {visit(0): {"events": 2, "sum": 3, "version": 3, "final": True}}


def test_each_session_goes_out_once_whatever_process_closes() -> None:
    world = visiting()
    world.close()
    world.commit(0, time=260.0)
    world.arrive(0)
    assert world.closer().run(lambda: 300.0).sessions == 1
    assert [[row.id for row in rows] for rows in world.outlet.sent] == [[visit(0)], [visit(200)]]


def test_a_process_looks_for_sessions_now_and_then() -> None:
    world = visiting()
    world.close()
    world.commit(0, time=260.0)
    world.arrive(0)
    world.now += SESSIONS_EVERY - 1
    assert world.close().sessions == 0
    world.now += 1
    assert world.close().sessions == 1


def test_by_hand_it_looks_at_once_and_closes_no_session_that_is_yet_to_come() -> None:
    world = visiting()
    world.close()
    assert world.close(upto=1e9).sessions == 1
    # From the mark on, what ends there is closed; a session that begins tomorrow is not.
    assert world.windows.closed[world.place(VISITS)].upto == 260.0


def test_sessions_whose_results_did_not_go_out_are_looked_at_again() -> None:
    world = visiting()
    world.outlet.down = Retryable("the sink is down")
    done = world.close()
    assert (done.sessions, done.troubles) == (0, [world.outlet.down])
    assert world.windows.closed == {world.place(VISITS): Mark(upto=200.0)}
    world.outlet.down = None
    assert world.close().sessions == 1


def test_sessions_are_forgotten_long_after_and_only_once_they_are_out() -> None:
    world = visiting()
    world.close()
    assert world.windows.closed[world.place(VISITS)] == Mark(floor=200.0 - KEEP, upto=200.0, emitted=200.0)


def test_the_states_of_a_group_whose_sessions_are_all_forgotten_expire() -> None:
    world = visiting()
    world.close()
    later = KEEP + 300.0
    world.commit(0, time=later)
    world.arrive(0)
    for _ in range(2):  # what the first look has let out is forgotten, and the second one lets it expire
        world.now += SESSIONS_EVERY
        world.commit(0, time=later + world.now - NOW)
        world.arrive(0)
        world.close()
    assert {item.expires for item in world.states.items.values()} == {int(world.now) + ENDED}


def test_the_clock_of_a_stream_that_stopped_forgets_no_session_that_may_go_on() -> None:
    world = visiting()
    world.commit(0, time=200.0)
    world.now += 40 * 86_400
    world.close()
    assert world.windows.closed[world.place(VISITS)] == Mark(floor=200.0 - KEEP, upto=260.0, emitted=260.0)


def test_a_late_event_that_unites_sessions_after_closing_takes_one_back() -> None:
    world = StreamWorld(SESSIONS)
    world.commit(0, partials([("AA", 0, 1), ("AA", 100, 2)], VISITS), 300.0)
    world.arrive(0)
    assert world.close().sessions == 2
    world.states.news()
    world.commit(1, partials([("AA", 50, 4)], VISITS), 50.0)
    world.emit()
    assert {key: found["sum"] for key, found in seen(world.outlet).items()} == {visit(0): 7}
    assert list(removed(world.outlet)) == [visit(50), visit(100)]


def large(count: int = 600) -> dict[Key, Partial]:
    """So many groups that their log is an object."""
    return partials((f"g{number * 7919}", 3600, number) for number in range(count))


def test_a_log_that_is_folded_is_let_go_of_before_it_expires() -> None:
    world = StreamWorld(UPDATES)
    world.commit(0, large(), 3600.0, folds=False)
    world.commit(1, partials([("AA", 3600, 1)]), 3600.0)
    world.now += LONG_FOLDED
    world.close()
    assert (world.item(0).pending, world.item(1).pending is None, len(world.states.items)) == (None, False, 601)
    world.objects.objects.clear()
    assert world.closer().run(lambda: 300.0).troubles == []


def test_a_log_is_pointed_at_as_long_as_its_shard_goes_on() -> None:
    world = StreamWorld(UPDATES)
    world.commit(0, large(), 3600.0)
    world.now += LONG_FOLDED - 1
    world.close()
    assert world.item(0).pending is not None


def test_a_shard_that_has_moved_on_keeps_its_log() -> None:
    world = StreamWorld(UPDATES)
    world.commit(0, large(), 3600.0)
    before = world.item(0)
    world.now += LONG_FOLDED
    world.commit(0, large(601), 3700.0)
    world.clocks().settle(before)
    assert world.item(0).pending is not None
