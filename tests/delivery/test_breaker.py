"""When a sink counts as down, what a process does about it, and what it hears of the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from aetherstream.delivery.breaker import LOOK, LOOK_OPEN, Breaker, Judge
from aetherstream.delivery.breaker_item import (
    OVERDUE,
    BreakerItem,
    Rules,
    breaker_key,
    closed,
    half_opened,
    held_open,
    opened,
)
from aetherstream.sinks.base import Answer
from aetherstream.testing.breakers import MemoryBreakers

KEY = breaker_key("flights", "search")
RULES = Rules(failures=3, share=0.5, window=60.0, patience=15.0, probe_after=30.0)
GOOD = Answer(100, 0)
BAD = Answer(100, 100, "503")
NOW = 1_000_000.0


@dataclass
class Scene:
    """A breaker, the table, and the time."""

    store: MemoryBreakers = field(default_factory=MemoryBreakers)
    now: float = NOW

    def breaker(self) -> Breaker:
        return Breaker(self.store, KEY, RULES, clock=lambda: self.now)

    @property
    def item(self) -> BreakerItem:
        return self.store.items.get(KEY, BreakerItem(KEY))

    def put(self, item: BreakerItem) -> None:
        self.store.items[KEY] = replace(item, revision=self.item.revision + 1)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def down(scene: Scene) -> Breaker:
    """A breaker that has opened."""
    breaker = scene.breaker()
    assert breaker.allows()
    assert breaker.note([BAD, BAD, BAD])
    return breaker


# -- When it opens ----------------------------------------------------------------------------------------------------


def test_it_opens_after_so_many_requests_in_a_row_of_which_nothing_was_taken(scene: Scene) -> None:
    breaker = scene.breaker()
    assert (breaker.note([BAD, BAD]), breaker.note([BAD])) == (False, True)
    assert scene.item == BreakerItem(
        KEY,
        revision=1,
        state="open",
        since=1_000_000_000,
        why="3 requests in a row failed whole: 503",
        by="stream",
        wait=30_000,
        probe_at=1_000_030_000,
        opened=1,
    )


def test_a_request_that_took_some_documents_breaks_the_row(scene: Scene) -> None:
    breaker = scene.breaker()
    assert [breaker.note([BAD, BAD]), breaker.note([Answer(100, 99, "429")]), breaker.note([BAD, BAD])] == [False] * 3


def test_it_opens_where_the_share_of_the_window_has_failed() -> None:
    judge = Judge(RULES)
    judge.add([Answer(100, 50, "429")] * 9, NOW)
    assert judge.verdict() == ""
    judge.add([Answer(100, 50, "429")], NOW + 1)
    assert judge.verdict() == "500 of 1000 documents of the last 60 s failed: 429"


def test_what_is_older_than_the_window_counts_no_more() -> None:
    judge = Judge(RULES)
    judge.add([Answer(100, 90, "429")] * 9, NOW)
    judge.add([Answer(100, 90, "429")], NOW + 60)
    assert judge.verdict() == ""


def test_a_window_without_failures_opens_nothing() -> None:
    judge = Judge(replace(RULES, share=0.0))
    judge.add([GOOD] * 20, NOW)
    assert judge.verdict() == ""


def test_a_request_refused_as_a_whole_opens_it_at_once(scene: Scene) -> None:
    assert scene.breaker().note([Answer(10, 10, "403 Forbidden", refused=True)])
    assert scene.item.why == "the sink refuses requests as a whole: 403 Forbidden"


def test_no_answers_say_nothing(scene: Scene) -> None:
    assert not scene.breaker().note([])
    assert scene.store.writes == 0


# -- Open, half open, closed ------------------------------------------------------------------------------------------


def test_while_it_is_open_the_sink_is_left_alone(scene: Scene) -> None:
    breaker = down(scene)
    assert (breaker.allows(), breaker.state) == (False, "open")


def test_live_traffic_flows_again_when_it_is_half_open(scene: Scene) -> None:
    breaker = down(scene)
    scene.put(half_opened(scene.item, scene.now, "probe", "drain", answered=False))
    scene.now += LOOK_OPEN
    assert (breaker.allows(), breaker.state) == (True, "half_open")


def test_half_open_one_failing_answer_opens_it_again_and_the_wait_doubles(scene: Scene) -> None:
    breaker = down(scene)
    scene.put(half_opened(scene.item, scene.now, "probe", "drain", answered=False))
    scene.now += LOOK_OPEN
    assert breaker.allows()
    assert breaker.note([GOOD, Answer(100, 50, "429")])
    assert (scene.item.wait, scene.item.probe_at, scene.item.opened, scene.item.why) == (
        60_000,
        round((scene.now + 60) * 1000),
        1,
        "half open, a request failed: 429",
    )


def test_half_open_an_answer_is_noted_once_for_the_drain_that_closes_it(scene: Scene) -> None:
    scene.put(half_opened(BreakerItem(KEY), scene.now, "probe", "drain", answered=False))
    breaker = scene.breaker()
    assert breaker.allows()
    assert not breaker.note([GOOD])
    assert not breaker.note([GOOD])
    assert (scene.item.state, scene.item.answered, scene.store.writes) == ("half_open", True, 1)


def test_waits_double_up_to_five_minutes() -> None:
    item, waits = opened(BreakerItem(KEY), NOW, "", "stream", RULES), []
    for _ in range(6):
        waits.append(item.wait // 1000)
        item = opened(item, NOW, "", "drain", RULES)
    assert waits == [30, 60, 120, 240, 300, 300]


def test_a_wait_that_is_longer_than_five_minutes_by_the_rules_stays(scene: Scene) -> None:
    rules = replace(RULES, probe_after=900.0)
    item = opened(opened(BreakerItem(KEY), NOW, "", "stream", rules), NOW, "", "drain", rules)
    assert item.wait == 900_000


def test_closed_it_begins_anew() -> None:
    item = closed(opened(BreakerItem(KEY), NOW, "503", "stream", RULES), NOW + 60, "drained", "drain")
    assert item == BreakerItem(KEY, revision=2, since=1_000_060_000, why="drained", by="drain", opened=1)


def test_failures_from_before_a_closing_do_not_count(scene: Scene) -> None:
    breaker = down(scene)
    scene.put(closed(scene.item, scene.now, "drained", "drain"))
    scene.now += LOOK_OPEN
    assert breaker.allows()
    assert not breaker.note([BAD, BAD])


# -- What the others did ----------------------------------------------------------------------------------------------


def test_a_cold_process_finds_it_open(scene: Scene) -> None:
    down(scene)
    assert not scene.breaker().allows()


def test_a_warm_process_does_not_read_the_state_with_every_batch(scene: Scene) -> None:
    breaker = scene.breaker()
    for _ in range(100):
        assert breaker.allows()
        breaker.note([GOOD])
    assert (scene.store.reads, scene.store.writes) == (1, 0)


def test_while_open_the_state_is_read_every_five_seconds(scene: Scene) -> None:
    breaker = down(scene)
    before = scene.store.reads
    for second in range(20):
        scene.now = NOW + 1 + second
        breaker.allows()
    assert scene.store.reads - before == 4


def test_a_breaker_opened_by_hand_is_heard_of_by_warm_processes(scene: Scene) -> None:
    breaker = scene.breaker()
    assert breaker.allows()
    scene.put(held_open(scene.item, scene.now, "upgrade", "alice"))
    assert breaker.allows()
    scene.now += LOOK
    assert not breaker.allows()


def test_who_finds_that_another_opened_it_spills_in_the_same_attempt(scene: Scene) -> None:
    first, second = scene.breaker(), scene.breaker()
    assert first.allows()
    assert second.allows()
    assert first.note([BAD] * 3)
    assert second.note([BAD] * 3)
    assert (scene.item.opened, scene.item.revision) == (1, 1)


def test_a_stale_half_open_does_not_reopen_what_was_closed_meanwhile(scene: Scene) -> None:
    scene.put(half_opened(BreakerItem(KEY), scene.now, "probe", "drain", answered=True))
    breaker = scene.breaker()
    assert breaker.allows()
    scene.put(closed(scene.item, scene.now, "drained", "drain"))
    assert not breaker.note([BAD])
    assert (scene.item.state, breaker.state) == ("closed", "closed")


def test_a_breaker_held_by_hand_stays_open_however_long(scene: Scene) -> None:
    scene.put(held_open(BreakerItem(KEY), scene.now, "upgrade", "alice"))
    breaker = scene.breaker()
    scene.now += 10 * OVERDUE
    assert not breaker.allows()
    assert scene.item.held


def test_where_no_drain_probes_live_traffic_does(scene: Scene) -> None:
    breaker = down(scene)
    scene.now += 30 + OVERDUE - 1
    assert not breaker.allows()
    scene.now += LOOK_OPEN
    assert breaker.allows()
    assert (scene.item.state, scene.item.why) == (
        "half_open",
        "a probe has been due for 300 s and no drain has made it",
    )


# -- The table does not answer ----------------------------------------------------------------------------------------


def test_without_the_table_what_the_process_saw_itself_counts(scene: Scene) -> None:
    scene.store.down = True
    breaker = scene.breaker()
    assert breaker.allows()
    assert breaker.note([BAD] * 3)
    assert (breaker.allows(), breaker.trouble, scene.store.items) == (False, "the table is down", {})


def test_what_was_decided_without_the_table_is_shared_when_it_answers(scene: Scene) -> None:
    scene.store.down = True
    breaker = down(scene)
    scene.store.down = False
    scene.now += LOOK_OPEN
    assert not breaker.allows()
    assert (scene.item.state, scene.item.why, breaker.trouble) == (
        "open",
        "3 requests in a row failed whole: 503",
        "",
    )


def test_without_the_table_live_traffic_is_the_probe_when_one_is_due(scene: Scene) -> None:
    scene.store.down = True
    breaker = down(scene)
    scene.now += 29
    assert not breaker.allows()
    scene.now += LOOK_OPEN
    assert (breaker.allows(), breaker.state) == (True, "half_open")
    assert breaker.note([BAD])
    assert not breaker.allows()


def test_an_old_decision_is_not_shared_any_more(scene: Scene) -> None:
    scene.store.down = True
    breaker = down(scene)
    scene.store.down = False
    scene.now += 30
    assert breaker.allows()
    assert scene.store.items == {}


def test_a_write_whose_answer_was_lost_counts_once(scene: Scene) -> None:
    scene.store.loses_answers = True
    breaker = down(scene)
    scene.store.loses_answers = False
    scene.now += LOOK_OPEN
    assert not breaker.allows()
    assert (scene.item.opened, scene.item.revision) == (1, 1)


def test_a_clock_that_is_set_back_does_not_stop_the_reading(scene: Scene) -> None:
    breaker = down(scene)
    scene.put(closed(scene.item, scene.now, "drained", "drain"))
    scene.now -= 3600
    assert breaker.allows()


def test_the_patience_is_that_of_the_rules(scene: Scene) -> None:
    assert scene.breaker().patience == 15.0
