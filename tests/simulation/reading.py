"""What the event source mapping is given of the stream: shards as they appear, records as they arrive or are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aetherstream.local.esm import Mapping
from aetherstream.testing.builders import START
from tests.simulation.faults import Fault
from tests.simulation.stream import Shard

if TYPE_CHECKING:
    from tests.simulation.run import Simulation


class Reading:
    """One mapping's way through the stream."""

    def __init__(self, mapping: Mapping, simulation: Simulation) -> None:
        self.mapping = mapping
        self._simulation = simulation
        self._behind: dict[str, int] = {}
        """Shard → how many of its records are read."""

    def show(self, after: dict[str, str]) -> None:
        """Make the shards known that are there by now."""
        now = self._simulation.world.now + START
        for shard in self._simulation.stream.shards.values():
            if shard.name in self._behind or shard.opened > now:
                continue
            checkpoint = after.get(shard.name)
            self.mapping.add_shard(
                shard.name, self._simulation.parents(shard), after=checkpoint, from_start=bool(shard.parents)
            )
            if shard.parents and shard.name not in self._simulation.checkpoints:
                self._simulation.checkpoints[shard.name] = []
                self._simulation.world.note(f"{shard.name} follows {' '.join(shard.parents)}", Fault.RESHARDED)
            done = 0 if checkpoint is None else int(checkpoint)
            self._behind[shard.name] = sum(1 for sent in shard.sent if sent.sequence <= done)

    def read(self) -> None:
        """Feed what has arrived. What is older than the stream keeps is gone."""
        now = self._simulation.world.now + START
        self.show({})
        for name, behind in self._behind.items():
            shard = self._simulation.stream.shards[name]
            if not self.mapping.room(name):
                continue
            upto = behind
            while upto < len(shard.sent) and shard.sent[upto].arrival <= now:
                upto += 1
            if upto > behind:
                self.mapping.feed(name, shard.records[self._trim(shard, behind, upto, now) : upto], now)
                self._behind[name] = upto
            if shard.closed and upto == len(shard.sent):
                self.mapping.shard_end(name)

    def _trim(self, shard: Shard, start: int, end: int, now: float) -> int:
        horizon = now - self._simulation.stream.retention
        while start < end and shard.sent[start].arrival < horizon:
            name = shard.sent[start].name
            if name not in self._simulation.finished and name not in self._simulation.expired:
                self._simulation.expired.add(name)
                self._simulation.world.note(f"{name} is gone", Fault.EXPIRED)
            start += 1
        return start

    def next_arrival(self) -> float | None:
        """When something comes that is not there yet; None where nothing does."""
        waiting = [
            self._simulation.stream.shards[name].sent[behind].arrival
            for name, behind in self._behind.items()
            if behind < len(self._simulation.stream.shards[name].sent) and self.mapping.room(name)
        ]
        waiting += [shard.opened for shard in self._simulation.stream.shards.values() if shard.name not in self._behind]
        return min(waiting, default=None)
