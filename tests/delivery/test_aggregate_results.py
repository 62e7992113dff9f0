"""What is emitted of a group: merged over shards and parts, under a version that only grows."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.partials import results
from aetherstream.aggregates.windows import Window
from aetherstream.delivery.aggregates.results import Result, merged, sessions_ended
from aetherstream.delivery.aggregates.state import Item
from tests.delivery.aggregate_support import HOURLY, VISITS, WINDOW, Row, Table, partials, summed

A, B = "shardId-000000000000", "shardId-000000000001"


def shown(aggregate: Aggregate, found: list[Result]) -> list[tuple[Window, dict[str, object], int]]:
    return [(result.window, results(aggregate, result.accs), result.version) for result in found]


def session_items(table: Table) -> list[Item]:
    return [item for item in table.items() if item.place.key.aggregate == "visits"]


def test_a_window_is_merged_over_its_shards_and_the_version_is_the_sum_of_their_commits() -> None:
    table = Table()
    table.fold(4, partials([("AA", 3600, 1)]), shard=A)
    table.fold(7, partials([("AA", 3700, 2)]), shard=B)
    assert shown(HOURLY, merged(HOURLY, table.items())) == [(WINDOW, summed([1, 2]), 11)]


def test_nothing_stored_gives_no_result() -> None:
    assert merged(HOURLY, []) == []


def test_sessions_are_united_over_shards() -> None:
    table = Table()
    table.fold(4, partials([("AA", 0, 1), ("AA", 100, 2)], VISITS), shard=A)
    table.fold(7, partials([("AA", 50, 4)], VISITS), shard=B)
    assert shown(VISITS, merged(VISITS, table.items())) == [(Window(0, 160), summed([1, 2, 4]), 11)]


def test_an_item_counts_for_the_sessions_that_it_holds_a_part_of() -> None:
    table = Table()
    table.fold(4, partials([("AA", 0, 1)], VISITS), shard=A)
    table.fold(7, partials([("AA", 10, 2), ("AA", 500, 4)], VISITS), shard=B)
    assert shown(VISITS, merged(VISITS, table.items())) == [
        (Window(0, 70), summed([1, 2]), 11),
        (Window(500, 560), summed([4]), 7),
    ]


def test_the_version_of_an_open_session_does_not_fall_when_another_shards_item_is_removed() -> None:
    table = Table()
    table.fold(40, partials([("AA", 0, 1)], VISITS), shard=A)
    table.fold(7, partials([("AA", 500, 4)], VISITS), shard=B)
    before = merged(VISITS, table.items())
    table.states.items = {address: item for address, item in table.states.items.items() if A not in address.sk}
    assert before[1:] == merged(VISITS, table.items())


@given(
    st.lists(
        st.tuples(
            st.sampled_from([A, B]), st.lists(st.tuples(st.just("AA"), st.integers(0, 400), st.just(1)), min_size=1)
        )
    ),
    st.randoms(use_true_random=False),
)
def test_each_change_of_a_session_raises_its_version(folds: list[tuple[str, list[Row]]], rng: random.Random) -> None:
    table, versions = Table(), dict[float, int]()
    commits = {A: rng.randint(0, 50), B: rng.randint(0, 50)}
    content: dict[float, dict[str, object]] = {}
    for shard, rows in folds:
        commits[shard] += 1
        table.fold(commits[shard], partials(rows, VISITS), shard=shard)
        for result in merged(VISITS, table.items()):
            start, now = result.window.start, results(VISITS, result.accs)
            assert result.version >= versions.get(start, 0)
            assert result.version > versions.get(start, 0) or now == content[start]
            versions[start], content[start] = result.version, now


def test_all_sessions_of_a_group_have_ended_when_the_last_one_has() -> None:
    table = Table()
    table.fold(1, partials([("AA", 0, 1)], VISITS), shard=A)
    table.fold(1, partials([("AA", 100, 1)], VISITS), shard=B)
    items = session_items(table)
    assert [sessions_ended(VISITS, items, floor) for floor in (60, 159, 160)] == [False, False, True]


def test_fixed_windows_have_no_sessions_that_end() -> None:
    assert not sessions_ended(HOURLY, [], 1e12)
