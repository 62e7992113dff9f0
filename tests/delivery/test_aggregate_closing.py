"""Closing: the results of a window go out, whatever breaks, and its states expire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Output
from aetherstream.aggregates.partials import max_bytes, results
from aetherstream.delivery.aggregates.closing import KEEP, at_once, close, let_expire
from aetherstream.delivery.aggregates.places import WindowPlace
from aetherstream.delivery.aggregates.results import Result
from aetherstream.delivery.aggregates.state import Item, Mark
from aetherstream.errors import Retryable
from aetherstream.testing.states import MemoryStates
from tests.delivery.aggregate_support import HOURLY, NOW, SHARD, WINDOW, Table, partials, place, summed, window_place

EXPIRES = int(NOW) + KEEP


class Sink:
    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, object], int]] = []
        self.down = False

    def __call__(self, found: Sequence[Result]) -> None:
        if self.down:
            raise Retryable("the sink is down")
        self.taken += [(result.key.group, results(HOURLY, result.accs), result.version) for result in found]


def closed(table: Table, sink: Sink, *, now: float = NOW) -> int:
    return close(HOURLY, [(window_place(), [SHARD])], table.states, table.windows, sink, now=now)


def begun() -> Table:
    table = Table()
    table.fold(3, partials([("AA", 3600, 1), ("UA", 3700, 2), ("AA", 7200, 9)]))
    return table


def test_a_window_that_is_closed_gives_its_groups_and_no_others() -> None:
    table, sink = begun(), Sink()
    assert closed(table, sink) == 2
    assert sorted(sink.taken, key=str) == [('["AA"]', summed([1]), 3), ('["UA"]', summed([2]), 3)]


def test_a_window_is_known_to_be_closed_before_its_states_are_read() -> None:
    table, known = begun(), list[bool]()

    class Watched(MemoryStates):
        def window(self, place: WindowPlace, /) -> Iterator[list[Item]]:
            known.append(place in table.windows.closed)
            return super().window(place)

    close(HOURLY, [(window_place(), [SHARD])], Watched(table.states.items), table.windows, Sink(), now=NOW)
    assert known == [True]


def test_a_window_is_due_until_its_results_are_out() -> None:
    table, due = begun(), list[bool]()

    def emit(found: Sequence[Result]) -> None:
        due.append(WINDOW in table.windows.due(window_place().scope, WINDOW.end))

    close(HOURLY, [(window_place(), [SHARD])], table.states, table.windows, emit, now=NOW)
    assert due == [True]


def test_a_closed_window_is_marked_expires_and_is_no_longer_due() -> None:
    table = begun()
    closed(table, Sink())
    assert table.windows.closed == {window_place(): Mark(expires=EXPIRES)}
    assert {item.place.key.window: item.expires for item in table.items()}[WINDOW] == EXPIRES
    assert table.windows.due(window_place().scope, WINDOW.end) == {}


def test_other_windows_stay_as_they_are() -> None:
    table = begun()
    closed(table, Sink())
    assert [item.expires for item in table.items() if item.place.key.window != WINDOW] == [None]
    assert len(table.windows.due(window_place().scope, 1e9)) == 1


def test_a_window_whose_results_did_not_go_out_is_still_due_and_known_to_be_closed() -> None:
    table, sink = begun(), Sink()
    sink.down = True
    with pytest.raises(Retryable, match="the sink is down"):
        closed(table, sink)
    assert table.windows.due(window_place().scope, WINDOW.end) == {WINDOW: [SHARD]}
    assert table.windows.closed == {window_place(): Mark(expires=EXPIRES)}
    sink.down = False
    assert closed(table, sink) == 2


def test_closing_twice_gives_nothing_more_and_the_first_time_stays() -> None:
    table, once, twice = begun(), Sink(), Sink()
    closed(table, once)
    before = table.items()
    closed(table, twice, now=NOW + 100)
    assert (len(once.taken), twice.taken, table.items()) == (2, [], before)


def test_a_run_that_was_cut_off_is_gone_on_with() -> None:
    table, sink = begun(), Sink()
    table.windows.close(window_place(), EXPIRES, kept=EXPIRES)
    let_expire(table.states, table.states.group(place("AA")), EXPIRES)
    assert closed(table, sink) == 1
    assert sink.taken == [('["UA"]', summed([2]), 3)]


def test_a_group_that_another_shard_has_changed_since_goes_out_again() -> None:
    table, sink = begun(), Sink()
    closed(table, Sink())
    table.fold(9, partials([("AA", 3600, 4)]), shard="shardId-000000000001")
    assert closed(table, sink) == 1
    assert sink.taken == [('["AA"]', summed([1, 4]), 12)]


def test_what_is_left_of_a_group_is_not_taken_for_the_whole() -> None:
    table, sink = begun(), Sink()
    closed(table, Sink())
    table.fold(9, partials([("AA", 3600, 4), ("DL", 3600, 5)]), shard="shardId-000000000001")
    assert closed(table, sink, now=EXPIRES) == 1
    assert sink.taken == [('["DL"]', summed([5]), 9)]


def test_an_item_that_has_moved_on_since_it_was_read_is_left_to_the_next_reading() -> None:
    table = begun()
    items = table.states.group(place("AA"))
    table.fold(4, partials([("AA", 3600, 5)]))
    let_expire(table.states, items, EXPIRES)
    assert [item.expires for item in table.states.group(place("AA"))] == [None]


def test_a_late_event_leaves_the_time_at_which_a_state_expires() -> None:
    table = begun()
    closed(table, Sink())
    table.fold(4, partials([("AA", 3600, 5)]))
    assert [(item.state.k, item.expires) for item in table.states.group(place("AA"))] == [(4, EXPIRES)]


def test_groups_with_large_states_go_out_by_few() -> None:
    large = replace(HOURLY, outputs=tuple(Output(f"o{n}", make("top_k", k=5), "v") for n in range(5)))
    assert (at_once(HOURLY), at_once(large)) == (200, 16_000_000 // max_bytes(large))
