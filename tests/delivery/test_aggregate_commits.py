"""One process's commits: logs where they belong, folded once, read only by those who did not write them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.apply import Applied, Stores
from aetherstream.delivery.aggregates.commits import OTHERS, Commits, Logs, next_commit
from aetherstream.delivery.aggregates.log import MOST_INLINE
from aetherstream.delivery.aggregates.state import Mark
from aetherstream.delivery.pending import Pending
from aetherstream.errors import Retryable, Superseded
from aetherstream.testing.stores import MemoryObjects
from tests.delivery.aggregate_support import (
    HOURLY,
    NOW,
    SHARD,
    VISITS,
    WINDOW,
    Table,
    partials,
    place,
    summed,
    window_place,
)

SMALL = partials([("AA", 3600, 1)])
LARGE = partials((f"g{number * 7919}", 3600, number) for number in range(600))


@dataclass
class World:
    table: Table = field(default_factory=Table)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    now: float = NOW

    def commits(self, *aggregates: Aggregate) -> Commits:
        return Commits(
            "flights#events",
            aggregates or [HOURLY, VISITS],
            Stores(self.table.states, self.table.windows),
            Logs(self.objects, self.objects, "data", "p/log"),
            now=lambda: self.now,
        )


def test_a_small_log_stands_in_the_progress_item() -> None:
    world = World()
    pending = world.commits().log(SHARD, 7, 1, SMALL)
    assert pending.inline is not None
    assert (pending.commit, len(pending.inline) <= MOST_INLINE, world.objects.objects) == (1, True, {})


def test_a_large_log_is_an_object_named_by_shard_and_epoch() -> None:
    world = World()
    assert world.commits().log(SHARD, 7, 1, LARGE) == Pending(1, bucket="data", key=f"p/log/{SHARD}/000000000007.log")
    assert len(world.objects.objects) == 1


def test_a_log_does_not_replace_one_of_a_later_epoch() -> None:
    world = World()
    world.commits().log(SHARD, 7, 1, LARGE)
    [(at, stored)] = world.objects.objects.items()
    world.objects.overwrite(*at, stored.body, {**stored.metadata, "aether-epoch": "8"})
    with pytest.raises(Superseded):
        world.commits().log(SHARD, 7, 1, SMALL | LARGE)


@pytest.mark.parametrize("parts", [SMALL, LARGE], ids=["inline", "object"])
def test_another_process_folds_what_is_pending(parts: object) -> None:
    world = World()
    made = SMALL if parts is SMALL else LARGE
    pending = world.commits().log(SHARD, 7, 1, made)
    assert world.commits().fold(SHARD, pending) == Applied(folded=len(made), writes=len(made))
    assert len(world.table.items()) == len(made)


def test_a_process_folds_what_it_has_logged_without_reading_the_log() -> None:
    world = World()
    commits = world.commits()
    pending = commits.log(SHARD, 7, 1, LARGE)
    world.objects.objects.clear()
    assert commits.fold(SHARD, pending).folded == len(LARGE)


def test_a_process_knows_what_it_has_folded() -> None:
    world = World()
    commits = world.commits()
    pending = commits.log(SHARD, 7, 1, SMALL)
    assert not commits.is_folded(SHARD, pending)
    commits.fold(SHARD, pending)
    world.table.states.down = world.table.windows.down = True
    assert commits.fold(SHARD, pending) == Applied()
    assert (commits.is_folded(SHARD, pending), commits.is_folded("shardId-1", pending)) == (True, False)


def test_what_failed_is_not_taken_for_folded() -> None:
    world = World()
    commits = world.commits()
    pending = commits.log(SHARD, 7, 1, SMALL)
    world.table.states.down = True
    with pytest.raises(Retryable):
        commits.fold(SHARD, pending)
    world.table.states.down = False
    assert commits.fold(SHARD, pending).folded == 1


def test_nothing_pending_is_folded() -> None:
    world = World()
    assert (world.commits().is_folded(SHARD, None), world.commits().fold(SHARD, None)) == (True, Applied())


def test_a_log_that_is_renumbered_is_folded_under_its_new_number() -> None:
    world = World()
    commits = world.commits()
    first = commits.log(SHARD, 7, 1, SMALL)
    other = world.commits().log(SHARD, 8, 1, SMALL)
    commits.fold(SHARD, other)
    second = commits.renumbered(SHARD, first, 2)
    commits.fold(SHARD, second)
    assert world.table.found() == {("1970-01-01T01:00:00Z", '["AA"]', SHARD, 0): (2, summed([1, 1]))}


def test_partials_of_states_that_are_gone_are_told_before_they_are_logged() -> None:
    world = World()
    world.table.windows.closed[window_place()] = Mark(expires=int(NOW))
    world.table.windows.closed[window_place(None, VISITS)] = Mark(floor=100.0)
    parts = SMALL | partials([("AA", 7200, 1)]) | partials([("AA", 99, 1), ("UA", 100, 1)], VISITS)
    assert world.commits().gone(parts) == {place("AA").key, place("AA", VISITS).key}


def test_the_groups_of_a_window_are_known_to_the_process_that_has_folded_them() -> None:
    world = World()
    commits = world.commits()
    other = Window(7200, 10800)
    asked: dict[str, list[Window | None]] = {"hourly": [WINDOW, other], "visits": [None]}
    commits.fold(SHARD, commits.log(SHARD, 7, 1, SMALL))
    assert commits.known(SHARD, asked) == {"hourly": {WINDOW: {'["AA"]'}, other: set()}, "visits": {None: set()}}
    assert world.commits().known(SHARD, asked)["hourly"][WINDOW] == set()


def test_a_process_of_another_version_leaves_a_log_to_those_who_can_fold_it() -> None:
    world = World()
    pending = world.commits().log(SHARD, 7, 1, SMALL | partials([("AA", 0, 1)], VISITS))
    other = world.commits(VISITS)
    with pytest.raises(Retryable, match=r"1 groups of commit 1 belong to hourly, .* for another 900 s"):
        other.fold(SHARD, pending)
    assert world.commits().fold(SHARD, pending).folded == 2
    assert other.fold(SHARD, pending) == Applied(had=1, reads=1)


def test_a_log_that_nobody_can_fold_any_more_is_given_up_and_counted() -> None:
    world = World()
    pending = world.commits().log(SHARD, 7, 1, SMALL | partials([("AA", 0, 1)], VISITS))
    world.now += OTHERS
    assert world.commits(VISITS).fold(SHARD, pending) == Applied(folded=1, undeclared=1, reads=1, writes=1)


def test_commits_are_numbered_one_after_the_other() -> None:
    assert next_commit(17, NOW) == 18


def test_a_progress_item_that_begins_anew_numbers_above_whatever_was_before() -> None:
    first = next_commit(0, NOW)
    an_hour_of_commits = first + 3600 * 999
    assert next_commit(0, NOW + 3600) > an_hour_of_commits


def test_versions_of_a_thousand_shards_are_exact_as_doubles() -> None:
    end_of_the_century = 4_102_444_800
    assert 1000 * next_commit(0, end_of_the_century) < 2**53
