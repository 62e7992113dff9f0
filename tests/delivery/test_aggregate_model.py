"""Numbered commits under random schedules: what is folded is what was committed; and what is missed when a rule is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from tests.delivery.aggregate_world import Broken, World

WHOLE = Broken()
FAULTS = {"refused", "lost", "late", "killed", "abandoned", "dead-lettered"}


def is_exact(seed: int, broken: Broken = WHOLE) -> bool:
    world = World(seed, broken)
    world.run()
    return world.is_exact()


def test_states_and_results_equal_a_recomputation_from_what_was_committed() -> None:
    assert [seed for seed in range(50) if not is_exact(seed)] == []


def test_the_schedules_have_every_fault() -> None:
    seen: Counter[str] = Counter()
    for seed in range(8):
        world = World(seed)
        world.run()
        seen += world.seen
    assert set(seen) == FAULTS


@pytest.mark.parametrize(
    ("broken", "seeds"),
    [
        (Broken(folds_before_commit=True), range(20)),
        (Broken(writes_without_condition=True), range(20)),
        (Broken(leaves_pending=True), range(20)),
        (Broken(redrive_leaves_pending=True), range(20)),
        (Broken(emits_open_windows_only=True), range(60)),
        # Rare: of 300 schedules 11 and 2 show them.
        (Broken(commits_unseen=True), (27, 96)),
        (Broken(version_is_greatest_k=True), (75, 177)),
    ],
    ids=[
        "folds before the commit",
        "writes without a condition",
        "leaves pending logs",
        "redrives leave pending logs",
        "tells of no change after closing",
        "redrives commit unseen numbers",
        "the greatest k is the version",
    ],
)
def test_a_rule_that_is_left_out_is_missed(broken: Broken, seeds: Sequence[int]) -> None:
    assert not all(is_exact(seed, broken) for seed in seeds)
