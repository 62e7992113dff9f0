"""Sessions on their way out: what united is taken back, what is untouched stays, whatever order changes come in."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.windows import Session
from aetherstream.delivery.aggregates.places import GroupPlace
from aetherstream.delivery.aggregates.state import Item
from aetherstream.testing.results import MemoryOutlet
from tests.delivery.aggregate_support import SHARD, VISITS, Row, partials
from tests.emission.world import OTHER, StreamedStates, World, removed, seen

UPDATES = Declaration(VISITS)
AT_CLOSE = Declaration(VISITS, emit="close")
BRIEF = Aggregate("brief", (("carrier", "carrier"),), Session(4), (Output("events", make("count")),))
THIRD = "shardId-000000000002"


def at(seconds: int) -> str:
    return f'visits/1970-01-01T00:{seconds // 60:02d}:{seconds % 60:02d}Z/["AA"]'


def visits(*times: int) -> Any:
    return partials([("AA", time, 1) for time in times], VISITS)


def events(world: World) -> dict[str, tuple[Any, Any]]:
    return {key: (found["events"], found["final"]) for key, found in seen(world.outlet).items()}


def test_a_session_that_a_late_event_united_with_an_earlier_one_is_taken_back() -> None:
    world = World(UPDATES)
    world.fold(1, visits(0, 100))
    world.emit()
    assert events(world) == {at(0): (1, False), at(100): (1, False)}
    world.fold(2, visits(50))
    world.emit()
    assert (events(world), removed(world.outlet)) == ({at(0): (3, False)}, {at(100): 4})


def test_a_session_of_another_shard_is_taken_back_too() -> None:
    world = World(UPDATES)
    world.fold(1, visits(100))
    world.fold(1, visits(0), shard=OTHER)
    world.emit()
    world.fold(2, visits(50), shard=THIRD)
    world.emit()
    # That of the third shard was never to be seen; taken back it stays so.
    assert (events(world), removed(world.outlet)) == ({at(0): (3, False)}, {at(50): 8, at(100): 8})


def test_a_session_that_begins_earlier_now_has_another_name() -> None:
    world = World(UPDATES)
    world.fold(1, visits(50))
    world.emit()
    world.fold(2, visits(10))
    world.emit()
    assert (events(world), removed(world.outlet)) == ({at(10): (2, False)}, {at(50): 4})


def test_what_is_left_out_of_a_state_long_after_closing_is_not_taken_back() -> None:
    world = World(UPDATES)
    world.fold(1, visits(0))
    world.emit()
    world.windows.forget(world.place(VISITS), 60.0)
    world.memory = type(world.memory)()
    world.fold(2, visits(200))
    world.emit()
    assert (events(world), removed(world.outlet)) == ({at(0): (1, False), at(200): (1, False)}, {})


def test_sessions_that_a_change_does_not_touch_are_not_sent_again() -> None:
    world = World(UPDATES)
    world.fold(1, visits(0, 500))
    world.emit()
    world.outlet.sent.clear()
    world.fold(2, visits(510))
    world.emit()
    assert [[row.id for row in rows] for rows in world.outlet.sent] == [[at(500)]]


def test_a_session_that_has_ended_is_final_when_it_changes() -> None:
    world = World(UPDATES)
    world.windows.close_sessions(world.place(VISITS), 60.0)
    world.fold(1, visits(0, 100))
    world.emit()
    assert events(world) == {at(0): (1, True), at(100): (1, False)}


def test_a_session_that_was_closed_while_its_batch_was_read_is_left_to_the_closer() -> None:
    world = World(UPDATES)
    world.fold(1, visits(0))
    told, read = world.states.news(), world.states.group

    def closed_meanwhile(place: GroupPlace) -> list[Item]:
        world.windows.close_sessions(world.place(VISITS), 60)
        world.fold(2, visits(500))  # raises the version of the first session too, which the closer has sent as final
        return read(place)

    world.states.group = closed_meanwhile  # type: ignore[method-assign]
    world.emit(told)
    assert seen(world.outlet) == {}


def test_a_session_that_was_united_and_closed_after_it_was_read_is_not_sent_as_final() -> None:
    world = World(UPDATES)
    world.fold(1, visits(100))
    told, read = world.states.news(), world.states.group

    def united_meanwhile(place: GroupPlace) -> list[Item]:
        items = read(place)
        world.states.group = read  # type: ignore[method-assign]
        world.fold(2, visits(50))
        world.emit()
        world.windows.close_sessions(world.place(VISITS), 200)
        return items

    world.states.group = united_meanwhile  # type: ignore[method-assign]
    world.emit(told)
    assert [row.id for rows in world.outlet.sent for row in rows if row.final] == []
    assert (events(world), removed(world.outlet)) == ({at(50): (2, False)}, {at(100): 4})


def test_at_close_only_sessions_that_have_ended_go_out() -> None:
    world = World(AT_CLOSE)
    world.fold(1, visits(0, 100))
    assert world.emit().groups == 0
    world.windows.close_sessions(world.place(VISITS), 60.0)
    world.fold(2, visits(5, 105))
    world.emit()
    assert events(world) == {}  # extended, it ends later than what is closed
    world.windows.close_sessions(world.place(VISITS), 65.0)
    world.fold(3, visits(3))
    world.emit()
    assert events(world) == {at(0): (3, True)}


def test_a_final_session_that_goes_on_in_an_open_one_is_taken_back_where_only_final_ones_are() -> None:
    world = World(AT_CLOSE)
    world.outlet.final_only = True
    world.windows.close_sessions(world.place(VISITS), 160.0)
    world.fold(1, visits(100))
    world.emit()
    assert events(world) == {at(100): (1, True)}
    world.fold(2, visits(50, 155))
    world.emit()
    assert (events(world), removed(world.outlet)) == ({}, {at(100): 5})


def test_sessions_that_are_forgotten_are_not_sent_again() -> None:
    world = World(UPDATES)
    world.fold(1, visits(0))
    told = world.states.news()
    world.windows.forget(world.place(VISITS), 1000.0)
    world.emit(told)
    assert world.outlet.rows == {}


class Torn(StreamedStates):
    """States of which a query reads one item after the other, while others are written."""

    def __init__(self) -> None:
        super().__init__()
        self.between: Callable[[], None] = lambda: None

    def group(self, place: GroupPlace, /) -> list[Item]:
        found = []
        for shard in (SHARD, OTHER, THIRD):
            found += [item for item in super().group(place) if item.address == place.address(shard)]
            self.between()
        return found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([SHARD, OTHER, THIRD]),
            st.lists(st.tuples(st.sampled_from(["AA", "UA"]), st.integers(0, 40), st.just(1)), min_size=1, max_size=4),
        ),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_in_the_end_exactly_the_sessions_that_are_there_are_seen(
    folds: list[tuple[str, list[Row]]], rng: random.Random
) -> None:
    torn = Torn()
    world = World(Declaration(BRIEF), states=torn)
    left, told = list(folds), list[dict[str, Any]]()
    commits = {shard: rng.randint(1, 30) for shard in (SHARD, OTHER, THIRD)}

    def fold() -> None:
        if left:
            shard, rows = left.pop(0)
            commits[shard] += 1
            world.fold(commits[shard], partials(rows, BRIEF), shard=shard)
            told.extend(world.states.news())

    torn.between = lambda: fold() if rng.random() < 0.2 else None
    while left or told:
        if rng.random() < 0.5:
            fold()
        # The emitter is somewhere behind; what it sends may come twice.
        count = rng.randint(0, len(told))
        world.emit(told[:count])
        if rng.random() < 0.8:
            del told[:count]
    expected = World(Declaration(BRIEF))
    expected.fold(1, partials([row for _, rows in folds for row in rows], BRIEF))
    expected.emit()
    assert events_of(world.outlet) == events_of(expected.outlet)


def events_of(outlet: MemoryOutlet) -> dict[str, int]:
    return {key: found["events"] for key, found in outlet.documents.items()}
