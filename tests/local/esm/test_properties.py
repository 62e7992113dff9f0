"""Random faults over random mappings: nothing is skipped, nothing is done twice, order holds."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from aetherstream.local.esm import Discard, FunctionError, Invoke, Mapping, Result, Returned, StreamRecord, Throttled
from aetherstream.local.esm.lane import EVENT_LIMIT

from .harness import START, numbers, settings

CHILDREN = {"a": (), "b": (), "c": ("a", "b"), "d": ("c",), "e": ("c",)}

MAPPINGS = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 12),
        "batching_window": st.sampled_from([0, 0, 5]),
        "maximum_retry_attempts": st.sampled_from([0, 1, 3, 200]),
        "maximum_record_age": st.sampled_from([-1, 60, 100]),
        "bisect": st.booleans(),
        "report_batch_item_failures": st.booleans(),
    }
)
SHAPES = st.one_of(
    st.fixed_dictionaries({"parallelization_factor": st.integers(1, 4)}),
    st.fixed_dictionaries({"tumbling_window": st.sampled_from([7, 30])}),
)


@dataclass
class World:
    """Shards that are read piecemeal, invocations that take their time, fail and are given up while they run on."""

    mapping: Mapping
    rng: random.Random
    unread: dict[str, list[StreamRecord]]
    calm_after: float
    now: float = START
    flying: list[tuple[float, str, Result, str, list[str]]] = field(default_factory=list)
    abandoned: list[tuple[float, str]] = field(default_factory=list)
    succeeded: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    discarded: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    finished: list[tuple[str, str]] = field(default_factory=list)

    def run(self) -> None:
        while True:
            self._read()
            for action in self.mapping.poll(self.now):
                self._act(action)
            self._check()
            upcoming = [entry[0] for entry in self.flying]
            wake = self.mapping.next_wake(self.now)
            if wake is not None:
                upcoming.append(wake)
            if any(self.unread.values()):
                upcoming.append(self.now + 1)
            if not upcoming:
                return
            self.now = max(self.now, min(upcoming))
            self._land()

    def _read(self) -> None:
        for shard, left in self.unread.items():
            limit = min(self.mapping.room(shard), self.rng.randint(0, 20))
            again = self.rng.randint(0, 1) if limit else 0
            self.mapping.feed(shard, left[:limit] * (1 + again), self.now)
            del left[:limit]
            if not left and not self.mapping.done(shard):
                self.mapping.shard_end(shard)

    def _act(self, action: Invoke | Discard) -> None:
        shard = action.shard_id
        if isinstance(action, Discard):
            self._settle(shard, [r.sequence_number for r in action.records], self.discarded[shard])
            return
        assert len(action.payload()) <= EVENT_LIMIT
        assert all(self.mapping.done(parent) for parent in CHILDREN[shard])
        batch = numbers(action.event)
        result, done = self._result(batch, action.event)
        ends = self.now + self.rng.choice([0.0, 0.1, 3.0])
        self.flying.append((ends, action.invocation_id, result, shard, batch[:done]))
        if isinstance(result, FunctionError) and self.rng.random() < 0.3:
            self.abandoned.append((ends + self.rng.random() * 30, action.invocation_id))

    def _settle(self, shard: str, done: list[str], where: list[str]) -> None:
        where.extend(done)
        self.finished.extend((shard, number) for number in done)

    def _result(self, batch: list[str], event: dict[str, Any]) -> tuple[Result, int]:
        """A random outcome, and how many leading records it settles."""
        state = {"state": {"seen": event.get("state", {}).get("seen", 0) + len(batch)}}
        kind = "ok" if self.now > self.calm_after else self.rng.choice(["ok", "ok", "raise", "throttle", "part", "bad"])
        reports = self.mapping.settings.report_batch_item_failures
        match kind:
            case "raise":
                return FunctionError(), 0
            case "throttle":
                return Throttled(), 0
            case "part" if batch:
                failed = self.rng.sample(range(len(batch)), self.rng.randint(1, len(batch)))
                failures = [{"itemIdentifier": batch[i]} for i in failed]
                return Returned({**state, "batchItemFailures": failures}), min(failed) if reports else len(batch)
            case "bad":
                return Returned({**state, "batchItemFailures": [{"itemIdentifier": ""}]}), 0 if reports else len(batch)
        return Returned(state), len(batch)

    def _land(self) -> None:
        for entry in [e for e in self.flying if e[0] <= self.now]:
            self.flying.remove(entry)
            _, invocation_id, result, shard, done = entry
            self._settle(shard, done, self.succeeded[shard])
            assert self.mapping.finished(invocation_id, result, self.now)
        for at, invocation_id in [a for a in self.abandoned if a[0] < self.now]:
            self.abandoned.remove((at, invocation_id))
            assert not self.mapping.finished(invocation_id, Returned({"state": {}}), self.now)

    def _check(self) -> None:
        """The checkpoint never passes a record that is neither delivered nor discarded."""
        for shard in self.unread:
            checkpoint = self.mapping.checkpoint(shard)
            settled = {int(n) for s, n in self.finished if s == shard}
            if checkpoint is not None:
                assert set(range(1, int(checkpoint) + 1)) <= settled


@hypothesis_settings(max_examples=150, deadline=None)
@given(MAPPINGS, SHAPES, st.integers(0, 2**32), st.integers(0, 60))
def test_every_record_is_delivered_or_discarded_once_and_in_order(
    base: dict[str, Any], shape: dict[str, Any], seed: int, amount: int
) -> None:
    rng = random.Random(seed)
    mapping = Mapping(settings(**base, **shape), rng)
    unread: dict[str, list[StreamRecord]] = {}
    for shard, parents in CHILDREN.items():
        mapping.add_shard(shard, parents)
        arrival = START - 50
        unread[shard] = []
        for n in range(1, rng.randint(0, amount) + 1):
            arrival += rng.random() * 2
            unread[shard].append(StreamRecord(str(n), f"k{rng.randint(0, 5)}", b"x" * rng.randint(0, 50), arrival))
    fed = {shard: [r.sequence_number for r in left] for shard, left in unread.items()}
    keys = {(shard, r.sequence_number): r.partition_key for shard, left in unread.items() for r in left}
    world = World(mapping, rng, unread, calm_after=START + 400)
    world.run()

    assert (mapping.idle, [mapping.done(shard) for shard in fed]) == (True, [True] * len(fed))
    for shard, all_of_it in fed.items():
        settled = world.succeeded[shard] + world.discarded[shard]
        assert Counter(settled) == Counter(all_of_it)
        assert mapping.checkpoint(shard) == (all_of_it[-1] if all_of_it else None)
        lanes: dict[str, list[int]] = defaultdict(list)
        for number in world.succeeded[shard]:
            lanes[keys[shard, number]].append(int(number))
        assert all(a < b for order in lanes.values() for a, b in pairwise(order))
        if mapping.settings.parallelization_factor == 1:
            delivered = [int(number) for number in world.succeeded[shard]]
            assert delivered == sorted(delivered)
    counts = mapping.counts
    assert counts.polled == sum(map(len, fed.values())) == counts.succeeded + counts.discarded
