from collections import Counter

import pytest

from tests.simulation.broken import BROKEN
from tests.simulation.campaign import Tally, parts
from tests.simulation.check import check
from tests.simulation.faults import Fault
from tests.simulation.run import WHOLE, Cut, Setting, Simulation
from tests.simulation.schedule import cut_of, judge, schedule, words
from tests.simulation.settings import SETTINGS
from tests.simulation.shrink import Shrinker, shrunk
from tests.simulation.stream import Shard

SCHEDULES = 20_000
_ENOUGH = 1_000
"""Schedules within which a broken engine has to be caught; most take a few tens."""


def test_every_event_is_delivered_once_whatever_happens() -> None:
    whole = Tally()
    for part in parts(0, SCHEDULES):
        whole.add(part)
        if whole.failing:
            pytest.fail(shrunk(min(whole.failing)), pytrace=False)
    assert (whole.schedules, whole.failing) == (SCHEDULES, {})


@pytest.mark.parametrize("name", BROKEN)
def test_an_engine_with_a_part_left_out_is_caught(name: str) -> None:
    broken = BROKEN[name]
    assert any(judge(seed, *broken) for seed in range(_ENOUGH))


@pytest.mark.parametrize("name", SETTINGS)
def test_what_shows_a_broken_engine_does_not_trouble_the_whole_one(name: str) -> None:
    assert {seed: wrong for seed in range(100) if (wrong := judge(seed, setting=SETTINGS[name]))} == {}


class Orphans(Simulation):
    """The mapping takes children for shards without parents."""

    def parents(self, shard: Shard) -> tuple[str, ...]:
        return ()


def test_children_that_are_read_before_their_parents_are_caught() -> None:
    found = [wrong for seed in range(200) for wrong in check(Orphans(seed).run())]
    assert {wrong.partition(":")[0] for wrong in found} == {"order"}


def test_every_fault_happens() -> None:
    happened: Counter[Fault] = Counter()
    for seed in range(400):
        happened.update(fault for _, _, _, fault in Simulation(seed).run().world.log if fault)
    assert set(happened) == set(Fault)


def test_a_seed_replays_to_the_same_schedule() -> None:
    assert [schedule(seed) for seed in range(20)] == [schedule(seed) for seed in range(20)]


def test_a_failing_schedule_shrinks_to_a_smaller_one_that_fails_alike() -> None:
    broken = BROKEN["completion before the puts"]
    seed = next(seed for seed in range(_ENOUGH) if judge(seed, *broken))
    cut = Shrinker(seed, *broken).smallest()
    assert cut is not None
    whole = Simulation(seed, broken.variant, broken.setting, WHOLE, *broken[2:]).run()
    small = Simulation(seed, broken.variant, broken.setting, cut, *broken[2:]).run()
    kinds = [{wrong.partition(":")[0] for wrong in check(simulation)} for simulation in (whole, small)]
    assert kinds[0] & kinds[1]
    assert len(small.world.log) < len(whole.world.log) / 2


def test_a_cut_reads_back_from_the_words_that_replay_it() -> None:
    cut = Cut(frozenset({Fault.LATE, Fault.COLD}), frozenset({"shardId-000000000000:83"}), frozenset({3, 14}), 5, 2)
    assert cut_of(words(cut)) == cut


def test_without_faults_each_record_is_attempted_once() -> None:
    simulation = Simulation(5, setting=Setting({})).run()
    assert check(simulation) == []
    attempted = [name for attempt in simulation.attempts for name in attempt.sequences]
    assert sorted(attempted) == sorted(sent.name for sent in simulation.stream.sent())
