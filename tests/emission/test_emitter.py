"""What changes is sent, merged over the shards, to every outlet of its aggregate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.column import Column
from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.delivery.aggregates.closing import AT_ONCE, KEEP
from aetherstream.delivery.aggregates.state import Item, State
from aetherstream.emission.report import Tally
from aetherstream.errors import ConfigurationError, Rejected, Retryable
from aetherstream.results.parts import Row
from aetherstream.testing.results import MemoryOutlet
from tests.delivery.aggregate_support import HOURLY, NOW, WINDOW, partials
from tests.emission.world import OTHER, World, seen


class Brittle:
    """A user's accumulator of texts that can't say what it makes of "bad"."""

    max_bytes = 100

    def create(self) -> str:
        return ""

    def add(self, acc: str, value: object, time: float, place: object) -> str:
        return self.merge(acc, str(value))

    def fold(self, column: Column) -> str:
        return max(map(str, column.values))

    def merge(self, a: str, b: str) -> str:
        return max(a, b)

    def result(self, acc: str) -> int:
        return {"13": 13}[acc]

    def dump(self, acc: str) -> bytes:
        return acc.encode()

    def load(self, data: bytes) -> str:
        return data.decode()


BRITTLE = replace(
    HOURLY, outputs=(Output("own", make("custom", reference="tests.emission.test_emitter:Brittle"), "v"),)
)
UPDATES = Declaration(HOURLY)
AT_CLOSE = Declaration(HOURLY, emit="close")
BUSIEST = Declaration(HOURLY, emit="close", ranking=Ranking("sum", 2))
AA, UA = 'hourly/1970-01-01T01:00:00Z/["AA"]', 'hourly/1970-01-01T01:00:00Z/["UA"]'
EXPIRES = int(NOW) + KEEP


def close(world: World, *, expires: int = EXPIRES, aggregate: Aggregate = HOURLY) -> None:
    """Mark the window, as the closer does before it reads."""
    world.windows.close(world.place(aggregate, WINDOW), expires, kept=expires)


def test_a_changed_group_is_sent_merged_over_its_shards() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1)]))
    world.fold(7, partials([("AA", 3700, 2), ("UA", 3700, 5)]), shard=OTHER)
    assert world.emit().error is None
    assert seen(world.outlet) == {
        AA: {"events": 2, "sum": 3, "version": 22, "final": False},
        UA: {"events": 1, "sum": 5, "version": 14, "final": False},
    }


def test_a_group_that_changed_several_times_is_sent_once() -> None:
    world = World(UPDATES)
    for commit in (1, 2, 3):
        world.fold(commit, partials([("AA", 3600, 1)]))
    assert world.emit().groups == 1
    assert [len(rows) for rows in world.outlet.sent] == [1]


def test_emitting_again_changes_nothing() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1)]))
    told = world.states.news()
    world.emit(told)
    before = seen(world.outlet)
    world.emit(told)
    assert seen(world.outlet) == before


def test_what_changes_after_closing_is_final_and_expires_with_its_window() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1)]))
    close(world)
    world.emit()
    assert seen(world.outlet) == {AA: {"events": 1, "sum": 1, "version": 9, "final": True}}
    assert [item.expires for item in world.states.items.values()] == [EXPIRES]


def test_at_close_nothing_goes_out_of_an_open_window() -> None:
    world = World(AT_CLOSE)
    world.fold(4, partials([("AA", 3600, 1)]))
    done = world.emit()
    assert (done.groups, world.outlet.sent) == (0, [])


def test_at_close_what_changes_after_closing_goes_out() -> None:
    world = World(AT_CLOSE)
    close(world)
    world.fold(4, partials([("AA", 3600, 1)]))
    world.emit()
    assert seen(world.outlet) == {AA: {"events": 1, "sum": 1, "version": 9, "final": True}}


def test_an_outlet_that_can_replace_nothing_gets_final_rows_only() -> None:
    world = World(UPDATES)
    world.outlet.final_only = True
    world.fold(4, partials([("AA", 3600, 1)]))
    world.emit()
    assert world.outlet.sent == []
    close(world)
    world.fold(5, partials([("AA", 3600, 1)]))
    world.emit()
    assert seen(world.outlet) == {AA: {"events": 2, "sum": 2, "version": 11, "final": True}}


def test_states_that_may_be_removed_are_left_alone() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1)]))
    close(world, expires=int(NOW))
    done = world.emit()
    assert (done.gone, done.error, world.outlet.sent) == (1, None, [])


def test_a_group_that_is_gone_is_no_result() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1)]))
    world.states.items.clear()
    assert world.emit().error is None
    assert world.outlet.rows == {}


def test_groups_of_another_declaration_are_skipped_and_counted() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1), ("UA", 3600, 1)]))
    wider = replace(HOURLY, outputs=(*HOURLY.outputs, Output("mean", make("mean"), "v")))
    done = world.emitter([Declaration(wider)]).emit(world.states.news(), lambda: 300.0)
    assert (done.undeclared, done.groups, done.error) == (2, 0, None)


def test_groups_of_another_pipeline_are_skipped_and_counted() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1)]))
    told = world.states.news()
    pk = told[0]["dynamodb"]["NewImage"]["pk"]
    pk["S"] = pk["S"].replace("flights#", "trains#")
    assert world.emit(told).undeclared == 1


def test_each_outlet_is_tried_although_another_one_fails() -> None:
    down, up = MemoryOutlet("down"), MemoryOutlet("up")
    down.down = Retryable("the sink is down")
    world = World(UPDATES, outlets={"hourly": [down, up]})
    world.fold(4, partials([("AA", 3600, 1)]))
    done = world.emit()
    assert done.error is down.down
    assert done.published.outlets == {"down": Tally(failed=1), "up": Tally(sent=1)}


def test_an_outlet_that_failed_is_not_tried_again_in_the_batch() -> None:
    down = MemoryOutlet("down")
    down.down = Retryable("the sink is down")
    world = World(UPDATES, outlets={"hourly": [down]})
    groups = 2 * AT_ONCE + 1
    world.fold(4, partials([(f"{group}", 3600, 1) for group in range(groups)]))
    assert world.emit().published.outlets == {"down": Tally(failed=groups)}
    assert len(down.sent) == 1


def test_what_was_not_sent_does_not_expire_yet() -> None:
    world = World(UPDATES)
    world.outlet.down = Retryable("the sink is down")
    close(world)
    world.fold(4, partials([("AA", 3600, 1)]))
    world.emit()
    assert [item.expires for item in world.states.items.values()] == [None]


def test_an_error_of_the_table_is_the_batchs() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1)]))
    told = world.states.news()
    world.states.down = True
    assert isinstance(world.emit(told).error, Retryable)
    world.states.down, world.windows.down = False, True
    assert isinstance(world.emit(told).error, Retryable)


def test_a_refused_row_is_told_and_nothing_comes_again() -> None:
    def refuse(row: Row) -> Rejected | None:
        return Rejected("mapping", "no") if row.id == AA else None

    world = World(UPDATES)
    world.outlet.refuse = refuse
    world.fold(4, partials([("AA", 3600, 1), ("UA", 3600, 1)]))
    done = world.emit()
    assert (done.error, done.published.outlets) == (None, {world.outlet.name: Tally(sent=1, refused=1)})
    assert [(one.outlet, one.id, one.why.reason) for one in done.published.refusals] == [
        (world.outlet.name, AA, "mapping")
    ]


def test_a_state_that_cant_be_read_holds_nothing_up() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1), ("UA", 3600, 1)]))
    for address, item in list(world.states.items.items()):
        if item.place.key.group == '["AA"]':
            world.states.items[address] = Item(item.place, address, State(4, b"\x09later"))
    done = world.emit()
    assert (done.unreadable, done.error, list(world.outlet.rows)) == (1, None, [UA])
    assert "format 9" in done.unread


@pytest.mark.parametrize("ranking", [None, Ranking("own", 1)])
def test_a_mistake_in_a_users_class_holds_nothing_up(ranking: Ranking | None) -> None:
    world = World(Declaration(BRITTLE, ranking=ranking))
    close(world, aggregate=BRITTLE)
    world.fold(4, partials([("AA", 3600, 12), ("UA", 3600, 13)], BRITTLE))
    done = world.emit()
    assert (done.unreadable, done.unread, done.error) == (1, "KeyError: '12'", None)
    assert list(world.outlet.rows) == ([] if ranking else [UA])


def test_without_time_the_batch_comes_again() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1)]))
    world.left = 5.0
    assert isinstance(world.emit().error, Retryable)
    assert world.outlet.sent == []


def test_a_mistake_of_the_deployment_is_said_first() -> None:
    one, two = MemoryOutlet("one"), MemoryOutlet("two")
    one.down, two.down = Retryable("down"), ConfigurationError("no such index")
    world = World(UPDATES, outlets={"hourly": [one, two]})
    world.fold(4, partials([("AA", 3600, 1)]))
    assert world.emit().error is two.down


def test_a_ranking_of_an_open_window_goes_nowhere() -> None:
    world = World(BUSIEST)
    world.fold(4, partials([("AA", 3600, 1)]))
    assert (world.emit().ranked, world.outlet.sent) == (0, [])


def test_a_change_after_closing_ranks_the_whole_window_again() -> None:
    world = World(BUSIEST)
    world.fold(4, partials([("AA", 3600, 9), ("UA", 3600, 5), ("DL", 3600, 7)]))
    world.states.news()
    close(world)
    world.fold(5, partials([("UA", 3600, 3)]), shard=OTHER)
    assert world.emit().ranked == 1
    ranks = {key: (row.rank, row.group, row.values["sum"], row.version) for key, row in world.outlet.rows.items()}
    assert ranks == {
        "hourly/1970-01-01T01:00:00Z/rank-1": (1, {"carrier": "AA"}, 9, 35),
        "hourly/1970-01-01T01:00:00Z/rank-2": (2, {"carrier": "UA"}, 8, 35),
    }


def test_a_ranking_whose_states_may_be_removed_is_left_alone() -> None:
    world = World(BUSIEST)
    world.fold(4, partials([("AA", 3600, 9)]))
    close(world, expires=int(NOW))
    assert (world.emit().gone, world.outlet.sent) == (1, [])


def test_the_oldest_change_says_how_long_results_took() -> None:
    world = World(UPDATES)
    world.fold(4, partials([("AA", 3600, 1)]))
    world.states.created += 5
    world.fold(5, partials([("AA", 3600, 1)]))
    assert world.emit().oldest == NOW
