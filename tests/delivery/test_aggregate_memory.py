"""What a warm process knows of the state table, and what it forgets."""

from __future__ import annotations

from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.apply import SOON
from aetherstream.delivery.aggregates.closing import KEEP, MARKS
from aetherstream.delivery.aggregates.memory import LOOK_AGAIN, Memory, Remembered
from aetherstream.delivery.aggregates.state import Mark
from tests.delivery.aggregate_support import SHARD, place, window_place

AA, UA, B6 = (place(group) for group in ("AA", "UA", "B6"))


def remember(memory: Memory, *groups: str, size: int = 10) -> None:
    for group in groups:
        memory.put(place(group), SHARD, place(group).address(SHARD), Remembered(1, (), size))


def known(memory: Memory) -> set[str]:
    return {group for group in ("AA", "UA", "B6") if memory.get(place(group).address(SHARD)) is not None}


def test_what_was_touched_longest_ago_is_forgotten_first() -> None:
    memory = Memory(most_bytes=25)
    remember(memory, "AA", "UA", "AA", "B6")
    assert known(memory) == {"AA", "B6"}


def test_what_is_written_again_counts_once() -> None:
    memory = Memory(most_bytes=25)
    remember(memory, "AA", "AA", "AA", "UA")
    assert known(memory) == {"AA", "UA"}


def test_the_groups_of_a_window_are_those_that_are_remembered() -> None:
    memory = Memory(most_bytes=25)
    remember(memory, "AA", "UA", "B6")
    memory.forget(UA.address(SHARD))
    assert memory.groups(window_place(), SHARD) == {'["B6"]'}
    assert memory.groups(window_place(), "shardId-1") == set()


def test_a_mark_is_looked_up_again_after_a_while() -> None:
    memory = Memory()
    memory.looked(window_place(), Mark(), 100.0)
    assert (memory.mark(window_place(), 99.0 + LOOK_AGAIN), memory.mark(window_place(), 100.0 + LOOK_AGAIN)) == (
        Mark(),
        None,
    )


def test_windows_that_nobody_has_touched_for_long_are_forgotten() -> None:
    memory, other = Memory(), window_place(Window(0, 3600))
    for at, when in ((window_place(), 0.0), (other, 1.0)):
        memory.looked(at, Mark(), when)
        memory.begun(at, SHARD, first=True)
    memory.forget_windows(2 * LOOK_AGAIN)
    assert (memory.has_begun(window_place(), SHARD), memory.has_begun(other, SHARD)) == (False, True)


def test_states_are_kept_longer_after_closing_than_anybody_takes_their_window_for_open() -> None:
    assert LOOK_AGAIN + SOON < KEEP < MARKS
