"""Folding a commit into the states: each group once, with no more requests than it needs."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.column import Place
from aetherstream.aggregates.columns import Columns
from aetherstream.aggregates.fold import fold
from aetherstream.aggregates.partials import dump, load, results
from aetherstream.aggregates.size import MOST_STATE
from aetherstream.aggregates.windows import Session, Tumbling, Window
from aetherstream.delivery.aggregates.apply import Applied, Budget, Declared, Stores, apply
from aetherstream.delivery.aggregates.memory import LOOK_AGAIN, Memory
from aetherstream.delivery.aggregates.places import scope_of
from aetherstream.delivery.aggregates.results import merged
from aetherstream.delivery.aggregates.size import FULL
from aetherstream.delivery.aggregates.state import Mark, State
from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.testing.states import MemoryStates
from tests.delivery.aggregate_support import (
    HOURLY,
    NOW,
    SHARD,
    VISITS,
    WINDOW,
    Table,
    partials,
    summed,
    window_place,
)

AT = "1970-01-01T01:00:00Z"
FIRST = partials([("AA", 3600, 1), ("AA", 3700, 2), ("UA", 3800, 5)])
SECOND = partials([("AA", 3900, 4), ("B6", 3950, 7)])


def of(group: str, shard: str = SHARD, part: int = 0) -> tuple[str, str, str, int]:
    return (AT, f'["{group}"]', shard, part)


def test_a_commit_is_folded_into_every_group_that_it_touches() -> None:
    table = Table()
    assert table.fold(1, FIRST) == Applied(folded=2, had=0, gone=0, undeclared=0, reads=0, writes=2)
    assert table.found() == {of("AA"): (1, summed([1, 2])), of("UA"): (1, summed([5]))}


def test_a_further_commit_is_merged_with_what_stands_there() -> None:
    table = Table()
    table.fold(1, FIRST)
    table.fold(2, SECOND)
    assert table.found() == {
        of("AA"): (2, summed([1, 2, 4])),
        of("B6"): (2, summed([7])),
        of("UA"): (1, summed([5])),
    }


def test_a_commit_that_was_folded_changes_nothing() -> None:
    table = Table()
    table.fold(1, FIRST)
    before = table.found()
    assert table.fold(1, FIRST) == Applied(had=2)
    table.cold()
    assert table.fold(1, FIRST) == Applied(had=2, reads=2)
    assert table.found() == before


def test_an_earlier_commit_changes_nothing_where_a_later_one_is_folded() -> None:
    table = Table()
    table.fold(1, FIRST)
    table.fold(2, SECOND)
    before = table.found()
    table.cold()
    table.fold(1, FIRST)
    assert table.found() == before


def test_shards_have_states_of_their_own() -> None:
    table = Table()
    table.fold(1, FIRST)
    table.fold(1, SECOND, shard="shardId-000000000001")
    assert table.found() == {
        of("AA"): (1, summed([1, 2])),
        of("AA", "shardId-000000000001"): (1, summed([4])),
        of("B6", "shardId-000000000001"): (1, summed([7])),
        of("UA"): (1, summed([5])),
    }


def test_a_warm_process_reads_nothing() -> None:
    table = Table()
    for commit, part in enumerate([FIRST, SECOND, FIRST], start=1):
        table.fold(commit, part)
    assert (table.states.reads, table.states.writes, table.windows.asked) == (0, 6, 1)


def test_a_cold_process_reads_what_it_folds_into_and_writes_each_once() -> None:
    table = Table()
    table.fold(1, FIRST)
    table.cold()
    assert table.fold(2, SECOND) == Applied(folded=2, reads=2, writes=2)


def test_a_process_whose_memory_is_stale_learns_by_the_write_that_fails() -> None:
    table = Table()
    table.fold(1, FIRST)
    stale = table.memory
    table.cold()
    table.fold(2, FIRST)
    table.memory = stale
    assert table.fold(3, SECOND) == Applied(folded=2, writes=3)
    assert table.found()[of("AA")] == (3, summed([1, 2, 1, 2, 4]))


def test_a_group_that_was_thought_to_be_new_is_learnt_by_the_write_that_fails() -> None:
    table = Table()
    table.fold(1, FIRST)
    begun_here = table.memory
    table.cold()
    table.fold(2, SECOND)
    table.memory = begun_here
    assert table.fold(3, partials([("B6", 3999, 9)])) == Applied(folded=1, writes=2)
    assert table.found()[of("B6")] == (3, summed([7, 9]))


def test_a_write_of_which_the_answer_was_lost_is_recognised() -> None:
    table = Table()
    table.states.loses_answers = True
    with pytest.raises(Retryable, match="the answer was lost"):
        table.fold(1, FIRST)
    table.states.loses_answers = False
    assert table.fold(1, FIRST) == Applied(had=2, writes=2)
    assert table.found() == {of("AA"): (1, summed([1, 2])), of("UA"): (1, summed([5]))}


def test_a_throttled_table_is_retryable_and_the_rest_is_folded_later() -> None:
    table = Table()
    table.states.throttled_after = 1
    with pytest.raises(Retryable, match="throttled"):
        table.fold(1, FIRST)
    assert len(table.items()) == 1
    table.states.throttled_after = None
    table.fold(1, FIRST)
    assert table.found() == {of("AA"): (1, summed([1, 2])), of("UA"): (1, summed([5]))}


def test_a_table_that_is_down_is_retryable() -> None:
    table = Table()
    table.windows.down = True
    with pytest.raises(Retryable, match="the state table is down"):
        table.fold(1, FIRST)
    assert table.items() == []


def test_writes_are_not_begun_when_the_time_is_nearly_over() -> None:
    table = Table()
    left = iter([10.0, 1.0])
    many = partials((f"g{number}", 3600, number) for number in range(500))
    budget = Budget(NOW, lambda: next(left), longest=2.0)
    with pytest.raises(Retryable, match=r"not all are folded, 1\.0 s were left"):
        apply(1, SHARD, many, {"hourly": declared(HOURLY)}, Stores(table.states, table.windows), table.memory, budget)
    assert table.states.writes == 400


def test_what_nobody_can_write_is_given_up_after_some_tries() -> None:
    class Contended(MemoryStates):
        def write(self, writes: Any, /) -> Any:
            for write in writes:
                self.items[write.address] = self.items[write.address]._replace(
                    state=State(next(numbers), self.items[write.address].state.acc)
                )
            return super().write(writes)

    numbers = count(2)
    table = Table()
    table.fold(1, FIRST)
    table.states = Contended(items=table.states.items)
    with pytest.raises(Retryable, match="1 groups met another writer 10 times in a row"):
        table.fold(1000, partials([("AA", 3600, 1)]))


def test_a_window_is_known_to_closing_before_anything_is_written_into_it() -> None:
    table = Table()
    table.states.down = True
    with pytest.raises(Retryable):
        table.fold(1, FIRST)
    assert table.windows.due(window_place().scope, 7200.0) == {WINDOW: [SHARD]}


def test_a_window_whose_states_are_gone_is_left_alone() -> None:
    table = Table()
    table.windows.closed[window_place()] = Mark(expires=int(NOW) - 1)
    assert table.fold(1, FIRST) == Applied(gone=2)
    assert (table.items(), table.windows.begun) == ([], set())


def test_a_window_whose_states_will_be_gone_within_the_hour_is_left_alone() -> None:
    table = Table()
    table.windows.closed[window_place()] = Mark(expires=int(NOW) + 3600)
    assert table.fold(1, FIRST) == Applied(gone=2)


def test_a_closed_window_whose_states_are_kept_takes_late_events() -> None:
    table = Table()
    table.fold(1, FIRST)
    table.cold()
    table.windows.closed[window_place()] = Mark(expires=int(NOW) + 86_400)
    table.fold(2, SECOND)
    assert table.found()[of("AA")] == (2, summed([1, 2, 4]))


def test_a_state_that_is_removed_under_the_feet_of_a_process_is_not_begun_anew() -> None:
    table = Table()
    table.fold(1, FIRST)
    table.states.items.clear()
    assert table.fold(2, SECOND) == Applied(folded=1, gone=1, writes=2)
    assert table.found() == {of("B6"): (2, summed([7]))}


def test_closing_is_looked_up_again_after_some_hours() -> None:
    table = Table()
    table.fold(1, FIRST)
    table.windows.closed[window_place()] = Mark(expires=0)
    table.fold(2, FIRST, now=NOW + LOOK_AGAIN - 1)
    assert table.fold(3, FIRST, now=NOW + LOOK_AGAIN) == Applied(gone=2)


def test_sessions_are_merged_with_those_that_stand_there() -> None:
    table = Table()
    table.fold(1, partials([("AA", 0, 1), ("AA", 200, 2)], VISITS))
    table.fold(2, partials([("AA", 50, 4)], VISITS))
    expected = [(0.0, 50.0, summed([1, 4])), (200.0, 200.0, summed([2]))]
    assert table.found() == {("", '["AA"]', SHARD, 0): (2, expected)}


def test_sessions_that_were_forgotten_leave_the_state_with_the_next_write() -> None:
    table = Table()
    table.fold(1, partials([("AA", 0, 1), ("AA", 200, 2)], VISITS))
    table.cold()
    table.windows.closed[window_place(None, VISITS)] = Mark(floor=100.0)
    table.fold(2, partials([("AA", 210, 4)], VISITS))
    assert table.found() == {("", '["AA"]', SHARD, 0): (2, [(200.0, 210.0, summed([2, 4]))])}


def test_a_session_before_the_forgotten_ones_ended_is_left_alone() -> None:
    table = Table()
    table.windows.closed[window_place(None, VISITS)] = Mark(floor=100.0)
    assert table.fold(1, partials([("AA", 99, 1), ("AA", 200, 2)], VISITS)) == Applied(
        folded=1, gone=1, reads=1, writes=1
    )
    assert table.found() == {("", '["AA"]', SHARD, 0): (1, [(200.0, 200.0, summed([2]))])}


def test_sessions_whose_item_was_removed_begin_anew() -> None:
    table = Table()
    table.fold(1, partials([("AA", 0, 1)], VISITS))
    table.states.items.clear()
    table.fold(2, partials([("AA", 500, 2)], VISITS))
    assert table.found() == {("", '["AA"]', SHARD, 0): (2, [(500.0, 500.0, summed([2]))])}


class Texts:
    """All texts; breaks its word about its size."""

    max_bytes = 10

    def create(self) -> tuple[str, ...]:
        return ()

    def add(self, acc: tuple[str, ...], value: str, time: float, place: Place) -> tuple[str, ...]:
        return tuple(sorted((*acc, value)))

    def merge(self, a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted((*a, *b)))

    def result(self, acc: tuple[str, ...]) -> list[str]:
        return [text[:1] for text in acc]

    def dump(self, acc: tuple[str, ...]) -> bytes:
        return ",".join(acc).encode()

    def load(self, data: bytes) -> tuple[str, ...]:
        return tuple(data.decode().split(",")) if data else ()


TEXT = (Output("texts", make("custom", reference=f"{Texts.__module__}:Texts"), "v"),)
TEXTS = Aggregate("texts", (), Tumbling(3600), TEXT)
SESSIONS = Aggregate("texts", (), Session(60), TEXT)


def declared(aggregate: Aggregate) -> Declared:
    return Declared(aggregate, scope_of("flights#events", aggregate))


def fold_text(table: Table, commit: int, text: str, aggregate: Aggregate = SESSIONS, time: float = 3600.0) -> Applied:
    parts = fold(aggregate, Columns({"v": [text]}, [time], [(SHARD, "0011", 0, 0)])).partials
    stores = Stores(table.states, table.windows)
    return apply(commit, SHARD, parts, {"texts": declared(aggregate)}, stores, table.memory, Budget(NOW))


def parts_of(table: Table) -> list[tuple[int, list[list[str]]]]:
    """Of each part, its `k` and the texts of its sessions."""
    found = []
    for item in table.items():
        aggregate = SESSIONS if item.place.key.window is None else TEXTS
        partial = load(aggregate, item.state.acc)
        accs = [session.accs for session in partial] if aggregate is SESSIONS else [partial]
        found.append((item.state.k, [results(aggregate, each)["texts"] for each in accs]))
    return found


def test_sessions_that_fill_an_item_go_on_in_a_further_one() -> None:
    table = Table()
    fold_text(table, 1, "a" * FULL)
    fold_text(table, 2, "b")
    fold_text(table, 3, "c", time=9000.0)
    assert parts_of(table) == [(1, [["a"]]), (3, [["b"], ["c"]])]


def test_a_commit_that_went_into_a_further_item_is_found_there_when_it_is_folded_again() -> None:
    table = Table()
    fold_text(table, 1, "a" * FULL)
    fold_text(table, 2, "b" * FULL)
    fold_text(table, 3, "c")
    for _ in range(2):
        table.cold()
        assert fold_text(table, 3, "c") == Applied(had=1, reads=3)
    assert parts_of(table) == [(1, [["a"]]), (2, [["b"]]), (3, [["c"]])]


def test_a_session_over_several_items_is_one() -> None:
    table = Table()
    fold_text(table, 1, "a" * FULL)
    fold_text(table, 2, "b", time=3650.0)
    [result] = merged(SESSIONS, table.items())
    assert (result.window, result.version, results(SESSIONS, result.accs)) == (
        Window(3600, 3710),
        3,
        {"texts": ["a", "b"]},
    )


def test_a_large_state_of_a_window_stays_in_its_item() -> None:
    table = Table()
    fold_text(table, 1, "a" * FULL, TEXTS)
    fold_text(table, 2, "b", TEXTS)
    assert parts_of(table) == [(2, [["a", "b"]])]


def test_the_state_of_an_accumulator_that_breaks_its_word_goes_on_in_a_further_item() -> None:
    table = Table()
    fold_text(table, 1, "a" * FULL, TEXTS)
    for _ in range(2):
        fold_text(table, 2, "b" * FULL, TEXTS)
        table.cold()
    assert parts_of(table) == [(1, [["a"]]), (2, [["b"]])]


def test_what_one_batch_brings_and_no_item_holds_is_told_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"aggregate texts: .* an accumulator exceeds its max_bytes"):
        fold_text(Table(), 1, "a" * (MOST_STATE + 1), TEXTS)


def test_a_memory_that_is_too_small_costs_reads_and_nothing_else() -> None:
    table = Table()
    table.memory = Memory(most_bytes=1)
    for commit in range(1, 4):
        table.fold(commit, FIRST)
    assert table.found() == {of("AA"): (3, summed([1, 2] * 3)), of("UA"): (3, summed([5] * 3))}


def test_partials_are_left_as_they_are() -> None:
    table = Table()
    before = {key: dump(HOURLY, partial) for key, partial in FIRST.items()}
    table.fold(1, FIRST)
    table.fold(2, FIRST)
    assert {key: dump(HOURLY, partial) for key, partial in FIRST.items()} == before
