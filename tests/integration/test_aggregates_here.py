"""Aggregates on the emulator's streams and tables: throttles, lateness, wrong clocks, shards that split, dead letters.

Every scenario ends with states and final results that are what was sent, and what `recompute` makes of the archive.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from hashlib import md5
from typing import Any

import pytest

from aetherstream.local.environment import Clients
from aetherstream.local.ministack import MiniStack
from aetherstream.records import Event
from tests.integration.aggregates_here import Here
from tests.integration.aggregating import (
    DAY,
    Aggregating,
    aggregating_of,
    event,
    hourly,
    newest,
    ranked,
    sessions,
    text,
)
from tests.integration.state_faults import ALONE, CUT, TOGETHER, Faulty, is_fold

pytestmark = pytest.mark.integration

GIVEN_UP_AT_ONCE: dict[str, Any] = {"maximum_retry_attempts": 0}
NEXT_DAY = text(DAY + 86400)
PARTS = "abcdefgh"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


@pytest.fixture
def here(emulator: MiniStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    world = aggregating_of(Clients(emulator.endpoint))
    yield Here(world, monkeypatch)
    world.close()


@pytest.fixture
def faulty(emulator: MiniStack) -> Iterator[Faulty]:
    with Faulty(emulator.endpoint) as proxy:
        yield proxy
        proxy.release()


def some(hours: range, each: int, first: int = 0, parts: str = PARTS) -> list[Event]:
    """So many events of each part in each hour; sessions end and go on."""
    return [
        event(part, 60 * hour + 7 * (index + at) % 60, first + 100 * hour + 10 * index + at)
        for hour in hours
        for index in range(each)
        for at, part in enumerate(parts)
    ]


def hold(world: Aggregating, sent: list[Event]) -> None:
    """States and final results are what was sent."""
    assert world.stored("correcting") == world.final("correcting") == hourly(sent)
    assert world.stored("visits") == world.final("visits") == sessions(sent)
    assert world.stored("busiest") == hourly(sent)
    assert world.ranks() == ranked(hourly(sent))


def test_a_throttled_state_table_delays_and_nothing_is_folded_twice(here: Here, faulty: Faulty) -> None:
    world = here.world
    sent = some(range(3), 4)
    tries: Counter[str] = Counter()
    group = ("#dropping#", f"#{text(DAY)}#", json.dumps('["a"]'))

    def some_writes(operation: str, _: str, body: str) -> str | None:
        if operation == TOGETHER:
            return ALONE
        if not is_fold(operation, body) or any(one not in body for one in group):
            return None
        tries[body] += 1
        # The client tries thrice: no write of this group goes through in the first invocation.
        return "ProvisionedThroughputExceededException" if tries[body] <= 3 else None

    def some_reads(operation: str, _: str, body: str) -> str | None:
        return "ThrottlingException" if operation == "Query" and world.states in body else None

    world.put(sent)
    faulty.obey(some_writes)
    here.deliver(faulty.url)
    assert (here.reported > 0, faulty.refused > 0, here.errors) == (True, True, [])
    assert world.unlike() == {}
    assert world.stored("dropping") == world.stored("keeping") == hourly(sent)
    faulty.obey(some_reads)
    failed = here.close(NEXT_DAY, faulty.url)
    assert (failed["state"], failed["windows"], "ThrottlingException" in failed["message"]) == ("failed", 0, True)
    faulty.obey(None)
    done = here.close(NEXT_DAY, faulty.url)
    assert (done["state"], done["windows"]) == ("done", 4 * 3)
    hold(world, sent)
    assert world.final("dropping") == world.final("keeping") == hourly(sent)
    assert (world.unlike(), world.ground.dead()) == ({}, [])


def test_late_events_go_where_each_aggregate_wants_them(here: Here) -> None:
    world = here.world
    first = some(range(3), 2)
    world.put(first, "one shard")
    here.deliver()
    late = [event("a", 5, 1000), event("b", 15, 2000), event("new", 20, 4000), event("a", 170, 8000)]
    ids = world.put(late, "one shard")
    here.deliver()
    in_time = [*first, late[3]]
    assert world.stored("dropping") == world.stored("keeping") == hourly(in_time)
    assert world.stored("correcting") == world.stored("busiest") == hourly([*first, *late])
    assert world.refused() == {("aggregates.keeping", "late"): 3}
    # Nobody keeps which events were dropped: the archive has them.
    [(name, differences)] = world.unlike().items()
    assert (name, [group for group, *_ in differences]) == ("dropping", ['["a"]', '["b"]', '["new"]'])
    assert set(ids) <= set(world.ground.ids())

    done = here.close()
    assert (done["state"], done["watermark"], done["windows"]) == ("done", newest(in_time), 4 * 2)
    closed = [each for each in [*first, *late] if each["at"] < text(DAY + 7200)]
    assert world.final("correcting") == hourly(closed)
    last = [event("a", 6, 16000), event("newer", 7, 32000)]
    world.put(last, "one shard")
    here.deliver()
    here.emit()
    assert world.final("correcting") == hourly([*closed, *last])
    assert world.ranks() == ranked(hourly([*closed, *last]))

    for _ in range(2):
        keys = world.ground.keys("drill/quarantine/")
        answer = here.recover("quarantine replay", objects=[{"key": key} for key in keys])
        assert answer["state"] == "replayed", answer
    assert world.stored("keeping") == world.stored("correcting") == hourly([*first, *late, *last])
    assert set(world.unlike()) == {"dropping"}
    here.emit()
    here.close(NEXT_DAY)
    hold(world, [*first, *late, *last])
    assert world.final("keeping") == hourly([*first, *late, *last])
    assert world.final("dropping") == hourly(in_time)


def test_a_clock_that_is_years_ahead_is_refused_and_closes_nothing(here: Here) -> None:
    world = here.world
    sent = some(range(2), 3)
    wrong = [{"part": "a", "at": "2099-01-01T00:00:00Z", "n": n} for n in range(3)]
    ids = world.put([*sent[:20], *wrong, *sent[20:]], "one shard")
    here.deliver()
    [(_, reason)] = world.refused()
    assert (sum(world.refused().values()), "future" in reason) == (3, True)
    assert ids[20] in world.ground.ids()
    times = [item.event_time for item in world.ground.progress().values()]
    assert [text(time) for time in times if time is not None] == [newest(sent)]
    assert world.stored("correcting") == hourly(sent)
    done = here.close()
    assert (done["watermark"], done["windows"]) == (newest(sent), 4)
    more = some(range(1, 2), 1, 5000)
    world.put(more, "one shard")
    here.deliver()
    here.close(NEXT_DAY)
    here.emit()
    hold(world, [*sent, *more])
    assert world.stored("dropping") == world.stored("keeping") == hourly([*sent, *more])
    assert world.unlike() == {}


def test_a_key_that_changes_its_shard_is_one_group_and_its_window_waits_for_both(
    emulator: MiniStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = aggregating_of(Clients(emulator.endpoint), shards=1)
    here, kinesis = Here(world, monkeypatch), world.ground.clients.kinesis
    sent = some(range(2), 2)
    world.put(sent)
    here.deliver()
    [parent] = world.ground.progress()
    kinesis.split_shard(StreamName=world.ground.stream, ShardToSplit=parent, NewStartingHashKey=str(2**127))
    kinesis.get_waiter("stream_exists").wait(StreamName=world.ground.stream, WaiterConfig={"Delay": 1})
    low, high = (
        next(key for key in "pqrstuvwxyz" if (md5(key.encode(), usedforsecurity=False).digest()[0] >= 128) == upper)
        for upper in (False, True)
    )
    further = some(range(4), 1, 5000), some(range(4), 1, 7000)
    world.put(further[0], low)
    ids = world.put(further[1], high)
    child = ids[0].partition(":")[0]
    here.blocked = {child}
    here.deliver(holds=lambda: len(world.ground.ids()) == len(sent) + len(further[0]))
    held = here.close()
    assert (held["windows"], held["held_by"], world.final("correcting")) == (0, [child], {})
    here.blocked = set()
    here.deliver()
    assert world.shards("correcting", "a") == 3
    assert len(world.ground.progress()) == 3
    everything = [*sent, *further[0], *further[1]]
    done = here.close()
    assert (done["held_by"], done["windows"]) == ([], 4 * 3)
    assert world.final("correcting") == hourly(each for each in everything if each["at"] < text(DAY + 3 * 3600))
    here.close(NEXT_DAY)
    hold(world, everything)
    # Each shard judges by its own time, and a new one has none yet.
    assert world.final("dropping") == world.final("keeping") == hourly(everything)
    assert world.unlike() == {}
    world.close()


def test_dead_letters_are_folded_once_however_often_they_are_redriven(here: Here, faulty: Faulty) -> None:
    world = here.world
    first, cut, unfolded, discarded = (some(range(1), 2, 1000 * 4**number, "abc") for number in range(4))
    world.put(first, "one shard")
    here.deliver(faulty.url, **GIVEN_UP_AT_ONCE)

    # One object of the batch can't be put; the others stand.
    faulty.obey(lambda operation, path, _: CUT if operation == "PutObject" and "part%3Db" in path else None)
    world.put(cut, "one shard")
    here.deliver(faulty.url, **GIVEN_UP_AT_ONCE)
    [letter] = world.ground.dead()

    # Committed, and never folded as a whole.
    def never(operation: str, _: str, body: str) -> str | None:
        if operation == TOGETHER:
            return ALONE
        return "ThrottlingException" if is_fold(operation, body) and "#correcting#" in body else None

    faulty.obey(never)
    world.put(unfolded, "one shard")
    here.deliver(faulty.url, **GIVEN_UP_AT_ONCE)
    [second] = set(world.ground.dead()) - {letter}
    assert world.stored("correcting") == hourly(first)
    faulty.obey(lambda operation, path, _: CUT if operation == "PutObject" and "/archive/" in path else None)
    world.put(discarded, "one shard")
    here.deliver(faulty.url, **GIVEN_UP_AT_ONCE)
    [third] = set(world.ground.dead()) - {letter, second}
    faulty.obey(None)
    assert here.recover("dlq discard", key=third)["state"] == "discarded"

    # Days later: the windows of the letters are closed.
    later = some(range(3, 4), 2, 5, "abc")
    world.put(later, "one shard")
    here.deliver()
    assert here.close(text(DAY + 3600))["state"] == "done"
    assert world.final("correcting") == hourly([*first, *unfolded])
    for key in (letter, second, letter):
        assert here.recover("dlq redrive", key=key)["state"] == "redriven"
    here.emit()
    kept = [*first, *cut, *unfolded]
    assert world.stored("keeping") == hourly([*kept, *later])
    assert world.final("correcting") == world.final("keeping") == world.final("dropping") == hourly(kept)
    here.close(NEXT_DAY)
    assert world.unlike() == {}
    assert world.final("correcting") == hourly([*kept, *later])
    assert world.ranks() == ranked(hourly([*kept, *later]))
    assert world.final("visits") == sessions([*kept, *later])
