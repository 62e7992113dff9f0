from collections import Counter

import pytest

from tests.simulation.__main__ import judge, schedule
from tests.simulation.broken import BROKEN
from tests.simulation.check import check
from tests.simulation.faults import Fault
from tests.simulation.run import Simulation

SCHEDULES = 2_000
_PART = 200

LATECOMERS = frozenset({Fault.ABANDONED, Fault.LATE, Fault.KILLED_IN_FLIGHT, Fault.COLD})
NEEDS = {
    "unconditional puts": LATECOMERS,
    "no epochs": LATECOMERS,
    "completion under a newer epoch": LATECOMERS,
    "no version rule": frozenset({Fault.DEPLOYED, Fault.REFUSED, Fault.COLD}),
}
"""Faults that bring a broken engine to light; by default all."""


@pytest.mark.parametrize("first", range(0, SCHEDULES, _PART))
def test_every_event_is_delivered_once_whatever_happens(first: int) -> None:
    for seed in range(first, first + _PART):
        if wrong := judge(seed):
            pytest.fail(f"{wrong[0]}\n{schedule(seed)}\nReplay: python -m tests.simulation {seed}", pytrace=False)


@pytest.mark.parametrize("name", BROKEN)
def test_an_engine_with_a_part_left_out_is_caught(name: str) -> None:
    assert any(judge(seed, BROKEN[name], NEEDS.get(name)) for seed in range(600))


def test_every_fault_happens() -> None:
    happened: Counter[Fault] = Counter()
    for seed in range(80):
        happened.update(fault for _, _, _, fault in Simulation(seed).run().world.log if fault)
    assert set(happened) == set(Fault)


def test_a_seed_replays_to_the_same_schedule() -> None:
    assert [schedule(seed) for seed in range(20)] == [schedule(seed) for seed in range(20)]


def test_without_faults_each_record_is_attempted_once() -> None:
    simulation = Simulation(5, only=frozenset()).run()
    assert check(simulation) == []
    attempted = [name for attempt in simulation.attempts for name in attempt.sequences]
    assert sorted(attempted) == sorted(sent.name for records in simulation.sent.values() for sent in records)
