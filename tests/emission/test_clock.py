"""What holds the watermark back, and what does not."""

from __future__ import annotations

import pytest

from aetherstream.delivery.progress import Lease
from aetherstream.emission.clock import STILL
from aetherstream.errors import ConfigurationError
from aetherstream.testing.kinesis import THROTTLED, client_error
from tests.emission.stream_world import StreamWorld


def look(world: StreamWorld) -> tuple[float | None, list[int]]:
    """The watermark, and the numbers of the shards that hold it."""
    clock = world.clocks().look()
    return clock.watermark, [world.ids.index(shard) for shard in clock.held_by]


def test_the_earliest_of_the_shards_with_something_to_come_holds_it() -> None:
    world = StreamWorld()
    for number, time in ((0, 200.0), (1, 100.0)):
        world.commit(number, time=time)
        world.arrive(number)
    assert look(world) == (100.0, [1])


def test_a_backlog_of_hours_holds_it_where_its_shard_is() -> None:
    world = StreamWorld()
    world.commit(0, time=7200.0)
    world.commit(1, time=100.0)
    world.arrive(1, 500)
    assert look(world) == (100.0, [1])


def test_a_shard_that_has_nothing_to_come_does_not_hold_it() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.arrive(0)
    world.commit(1, time=100.0)
    assert look(world) == (200.0, [0])


def test_a_shard_that_never_had_anything_does_not_hold_it() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.arrive(0)
    assert look(world) == (200.0, [0])


def test_a_shard_of_which_nothing_is_committed_yet_holds_everything() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.arrive(1)
    assert look(world) == (None, [1])


def test_a_blocked_shard_holds_it() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.commit(1, time=100.0)
    world.arrive(1)
    world.claim(1)
    assert look(world) == (100.0, [1])


def test_a_claim_that_a_killed_attempt_left_does_not_hold_it_once_its_records_are_redriven() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.commit(1, time=100.0)
    world.claim(1)
    assert look(world) == (200.0, [])


def test_a_shard_that_somebody_redrives_holds_it_as_long_as_the_lease_is_held() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.commit(1, time=100.0)
    world.keep(1, lease=Lease("me", 1, int(world.now * 1000) + 1))
    assert look(world) == (100.0, [1])
    world.keep(1, lease=Lease("me", 1, int(world.now * 1000)))
    assert look(world) == (200.0, [])


def test_the_watermark_of_an_idle_stream_is_the_latest_time_until_it_counts_as_stopped() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.commit(1, time=100.0)
    world.now += 59
    assert look(world) == (200.0, [])
    world.now += 3600
    assert look(world) == (200.0 + 3659, [])


def test_of_a_stream_that_never_had_anything_nothing_may_be_closed() -> None:
    assert look(StreamWorld()) == (None, [])


def test_the_parent_of_a_split_shard_does_not_hold_it_once_it_is_read() -> None:
    world = StreamWorld(shards=1)
    world.commit(0, time=100.0)
    world.kinesis.split(world.ids[0])
    world.commit(1, time=300.0)
    world.arrive(1)
    assert look(world) == (300.0, [1])


def test_the_parent_holds_it_until_it_is_read_whatever_its_children_have() -> None:
    world = StreamWorld(shards=1)
    world.commit(0, time=100.0)
    world.arrive(0)
    world.kinesis.split(world.ids[0])
    world.arrive(1)
    assert look(world) == (None, [1])
    world.commit(1, time=300.0)
    assert look(world) == (100.0, [0])


def test_a_shard_that_the_stream_keeps_no_longer_does_not_hold_it() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.commit(1, time=100.0)
    world.claim(1)
    del world.kinesis.shards[world.ids[1]]
    assert look(world) == (200.0, [])


def test_only_shards_that_could_hold_it_are_asked() -> None:
    world = StreamWorld(shards=40)
    for number in range(40):
        world.commit(number, time=100.0 + number)
    world.arrive(2)
    assert look(world) == (102.0, [2])
    assert world.kinesis.asked == world.ids[:16]


def test_nobody_is_asked_where_a_redrive_holds_it_anyway() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.commit(1, time=100.0)
    world.keep(1, lease=Lease("me", 1, int(world.now * 1000) + 1))
    look(world)
    assert world.kinesis.asked == []


def test_a_shard_that_does_not_answer_counts_as_live() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.commit(1, time=100.0)
    world.kinesis.failing = client_error(THROTTLED)
    assert look(world) == (100.0, [1])


def test_a_stream_that_may_not_be_read_is_said() -> None:
    world = StreamWorld()
    world.commit(0, time=200.0)
    world.kinesis.failing = client_error("AccessDeniedException")
    with pytest.raises(ConfigurationError, match="GetRecords"):
        look(world)


def test_a_shard_whose_records_bring_no_later_time_does_not_hold_it_for_ever() -> None:
    world = StreamWorld()
    clocks = world.clocks()
    world.commit(0, time=100.0)
    world.commit(1, time=100.0)
    clocks.look()
    for _ in range(int(STILL / 30)):
        world.now += 30
        world.commit(0, time=100.0 + world.now)
        world.arrive(0)
        world.commit(1)  # all of them are filtered out
        world.claim(1)
        found = clocks.look()
    assert (found.watermark, found.held_by) == (100.0 + world.now, (world.ids[0],))


def test_a_shard_that_stands_still_far_behind_holds_it() -> None:
    world = StreamWorld()
    clocks = world.clocks()
    world.commit(0, time=300.0)
    world.commit(1, time=100.0)
    world.arrive(1)
    clocks.look()
    world.now += 2 * STILL
    assert clocks.look().watermark == 100.0
