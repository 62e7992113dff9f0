"""The emitter and the closer against the emulator's DynamoDB, its table's stream, and its Kinesis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from aetherstream.aggregates.declaration import Declaration
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.closing import KEEP
from aetherstream.delivery.aggregates.places import GroupPlace
from aetherstream.delivery.aggregates.state import Mark
from aetherstream.delivery.progress import Progress, progress_key
from aetherstream.delivery.recorded import MemoryProgress
from aetherstream.emission.clock import Clocks
from aetherstream.emission.closer import Closer
from aetherstream.emission.emitter import Emitter
from aetherstream.emission.shards import StreamShards
from aetherstream.local.ministack import MiniStack
from aetherstream.records import sortable
from aetherstream.testing.results import MemoryOutlet
from tests.delivery.aggregate_support import HOURLY, NOW, VISITS, partials, place, window_place
from tests.delivery.test_aggregate_on_ministack import Ground
from tests.emission.world import OWNER, seen

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack(tmp_path_factory.mktemp("ministack")) as ministack:
        yield ministack


@pytest.fixture
def ground(stack: MiniStack) -> Iterator[Ground]:
    made = Ground(stack)
    yield made
    made.executor.shutdown()


class Stream:
    """A Kinesis stream of two shards."""

    def __init__(self, ground: Ground) -> None:
        self.kinesis = ground.client("kinesis")
        self.kinesis.create_stream(StreamName="events", ShardCount=2)
        self.kinesis.get_waiter("stream_exists").wait(StreamName="events", WaiterConfig={"Delay": 1})
        self.arn: str = self.kinesis.describe_stream_summary(StreamName="events")["StreamDescriptionSummary"][
            "StreamARN"
        ]
        self.shards = StreamShards(self.kinesis, self.arn)

    def put(self, shard: int) -> str:
        """Put a record into a shard; gives its sequence number."""
        key = str(0 if shard == 0 else 2**128 - 1)
        answer = self.kinesis.put_record(StreamName="events", Data=b"{}", PartitionKey="k", ExplicitHashKey=key)
        return str(answer["SequenceNumber"])


@pytest.fixture
def stream(ground: Ground) -> Iterator[Stream]:
    made = Stream(ground)
    yield made
    made.kinesis.delete_stream(StreamName="events")
    made.kinesis.get_waiter("stream_not_exists").wait(StreamName="events", WaiterConfig={"Delay": 1})


def test_what_is_known_of_sessions_never_goes_back(ground: Ground) -> None:
    windows, sessions = ground.windows(), window_place(None, VISITS)
    assert windows.close_sessions(sessions, 5.5) == Mark(upto=5.5)
    windows.sessions_emitted(sessions, 5.5)
    windows.forget(sessions, -2.0)
    assert windows.close_sessions(sessions, 4.0) == Mark(floor=-2.0, upto=5.5, emitted=5.5)
    windows.sessions_emitted(sessions, 3.0)
    assert windows.close_sessions(sessions, 7.0) == Mark(floor=-2.0, upto=7.0, emitted=5.5)
    assert windows.marks([sessions]) == {sessions: Mark(floor=-2.0, upto=7.0, emitted=5.5)}


def test_groups_of_a_partition_are_read_together_as_they_are_one_by_one(ground: Ground) -> None:
    commits, states = ground.commits(batched=False), ground.states()
    for shard in ("shardId-000000000000", "shardId-000000000001"):
        commits.fold(shard, commits.log(shard, 1, 1, partials([(f"g{n}", 3600, 1) for n in range(400)])))
    partitions: dict[str, list[GroupPlace]] = {}
    for n in range(400):
        partitions.setdefault(place(f"g{n}").prefix.pk, []).append(place(f"g{n}"))
    some = partitions.popitem()[1]
    sparse = some[:: len(some) // 5]
    assert len(some) > 10
    for wanted in (some, some[:3], sparse, [*sparse, place("nobody")]):
        own = [each for each in wanted if each.prefix.pk == some[0].prefix.pk]
        assert states.some(own) == {each: states.group(each) for each in own}
        assert all(len(items) == 2 for each, items in states.some(own).items() if each != place("nobody"))


def test_a_shard_has_more_until_its_last_record_is_completed(stream: Stream) -> None:
    first, second = stream.shards.ids()
    assert (stream.shards.has_more(first, ""), stream.shards.has_more(second, "")) == (False, False)
    one, two = stream.put(0), stream.put(0)
    assert [stream.shards.has_more(first, after) for after in ("", one, two)] == [True, True, False]
    assert stream.shards.has_more(second, "") is False


def test_results_go_out_when_they_change_and_when_they_are_final(ground: Ground, stream: Stream) -> None:
    declarations = [Declaration(HOURLY), Declaration(VISITS, emit="close")]
    search = MemoryOutlet()
    outlets = {"hourly": [search], "visits": [search]}
    states, windows, commits = ground.states(batched=False), ground.windows(), ground.commits(batched=False)
    stores, progress, now = Stores(states, windows), MemoryProgress(), [NOW]
    emitter = Emitter("flights", declarations, stores, outlets, ground.executor, now=lambda: now[0])
    clocks = Clocks("flights", stream.arn, stream.shards, progress, ground.executor, now=lambda: now[0])
    closer = Closer(OWNER, declarations, stores, outlets, commits, clocks, now=lambda: now[0])
    told = 0

    def emit() -> None:
        nonlocal told
        news: list[Any] = ground.stream()[told:]
        told += len(news)
        assert emitter.emit(news, lambda: 300.0).error is None

    def commit(shard: int, rows: list[tuple[str, float, int]], time: float, *, folds: bool = True) -> None:
        name, last = stream.shards.ids()[shard], stream.put(shard)
        key = progress_key("flights", stream.arn, name)
        item = progress.items.get(key, Progress(key))
        parts = {**partials(rows), **partials(rows, VISITS)}
        pending = commits.log(name, item.commit + 1, item.commit + 1, parts)
        progress.items[key] = replace(
            item,
            revision=item.revision + 1,
            completed=sortable(last),
            completed_arrival=int(now[0] * 1000),
            commit=pending.commit,
            pending=pending,
            event_time=time,
        )
        if folds:
            commits.fold(name, pending)

    commit(0, [("AA", 3600, 1), ("UA", 3610, 2)], 3610.0)
    commit(1, [("AA", 3650, 4)], 3650.0)
    emit()
    hour = "hourly/1970-01-01T01:00:00Z/"
    assert seen(search) == {
        f'{hour}["AA"]': {"events": 2, "sum": 5, "version": 4, "final": False},
        f'{hour}["UA"]': {"events": 1, "sum": 2, "version": 2, "final": False},
    }
    commit(1, [("UA", 3700, 8)], 3700.0, folds=False)
    now[0] += 7200
    done = closer.run(lambda: 300.0)
    assert (done.troubles, done.windows, done.sessions, done.folded) == ([], 1, 3, 2)
    emit()
    assert seen(search) == {
        f'{hour}["AA"]': {"events": 2, "sum": 5, "version": 5, "final": True},
        f'{hour}["UA"]': {"events": 2, "sum": 10, "version": 7, "final": True},
        'visits/1970-01-01T01:00:00Z/["AA"]': {"events": 2, "sum": 5, "version": 5, "final": True},
        'visits/1970-01-01T01:00:10Z/["UA"]': {"events": 1, "sum": 2, "version": 3, "final": True},
        'visits/1970-01-01T01:01:40Z/["UA"]': {"events": 1, "sum": 8, "version": 5, "final": True},
    }
    expiring = [item.expires for items in states.window(window_place()) for item in items]
    assert expiring == [int(now[0]) + KEEP] * 4
    assert closer.run(lambda: 300.0).windows == 0
