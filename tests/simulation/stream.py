"""The stream: shards with parents, their records as they arrive, and what of them has expired."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from aetherstream.local.esm import StreamRecord
from aetherstream.testing.builders import START
from tests.simulation.faults import Fault, Profile
from tests.simulation.workload import ODD, ORDINARY, Item, Sent, draw_item

KEYS = ("k0", "k1", "k2", "k3")
Stamp = Callable[[Item, float], Item]


@dataclass
class Shard:
    """A shard as it comes and goes."""

    name: str
    keys: tuple[str, ...]
    parents: tuple[str, ...] = ()
    opened: float = START
    closed: bool = False
    sent: list[Sent] = field(default_factory=list)
    records: list[StreamRecord] = field(default_factory=list)

    def add(self, sent: Sent) -> None:
        """Put one more record into the stream."""
        self.sent.append(sent)
        self.records.append(sent.record())


class Stream:
    """All shards of a schedule, parents before children."""

    def __init__(
        self,
        rng: random.Random,
        profile: Profile,
        dropped: frozenset[str],
        *,
        plain: bool,
        dos: Sequence[str],
        stamp: Stamp = lambda item, _: item,
    ) -> None:
        """`dropped`: names of records that are not sent after all; `plain`: every record simply passes.

        `dos`: what they do; empty: anything; `stamp`: gives each user record what else it has, given its arrival.
        """
        self.shards: dict[str, Shard] = {}
        self.retention = rng.choice((8.0, 20.0, 40.0))
        if not profile.has(Fault.EXPIRED):
            self.retention = float("inf")
        self._rng, self._profile, self._dropped = rng, profile, dropped
        self._odd = rng.random() < 0.8 and not plain
        self._stamp = stamp
        self._dos = dos or ORDINARY + (ODD if self._odd else ())
        self._most = rng.choice((2, 4, 8))
        self._pace = rng.choice((0.0, 0.3, 3.0))
        if rng.random() < 0.25:
            self._fill(self._open(KEYS[:2]))
            self._fill(self._open(KEYS[2:]))
        else:
            self._fill(self._open(KEYS))
        if profile.has(Fault.RESHARDED):
            for _ in range(rng.choice((1, 1, 2))):
                self._reshard()

    def _reshard(self) -> None:
        ends = [shard for shard in self.shards.values() if not shard.closed]
        if len(ends) > 1 and self._rng.random() < 0.6:
            self._fill(self._open((*ends[0].keys, *ends[1].keys), ends[:2]))
        elif whole := [shard for shard in ends if len(shard.keys) > 1]:
            middle = len(whole[0].keys) // 2
            for keys in (whole[0].keys[:middle], whole[0].keys[middle:]):
                self._fill(self._open(keys, whole[:1]))

    def _open(self, keys: tuple[str, ...], parents: Iterable[Shard] = ()) -> Shard:
        parents = list(parents)
        for parent in parents:
            parent.closed = True
        after = max((sent.arrival for parent in parents for sent in parent.sent), default=START - self._rng.random())
        name = f"shardId-{len(self.shards):012d}"
        shard = self.shards[name] = Shard(name, keys, tuple(parent.name for parent in parents), after + 0.001)
        return shard

    def _fill(self, shard: Shard) -> None:
        """Draw the records. Sequence numbers have gaps, and grow by a digit on the way."""
        rng = self._rng
        parents = [self.shards[name] for name in shard.parents]
        sequence = max(
            (s.sequence for parent in parents for s in parent.sent), default=rng.choice((7, 80, 990, 99_990))
        )
        at = shard.opened
        for _ in range(rng.randint(min(2, self._most), self._most)):
            sequence += rng.randint(1, 6)
            at += rng.random() * self._pace
            count = rng.choice((1, 1, 1, 2, 3, 0 if self._odd else 1))
            items = tuple(self._stamp(draw_item(rng, self._profile, self._dos), at) for _ in range(count))
            sent = Sent(shard.name, sequence, at, items, rng.choice(shard.keys))
            if sent.name not in self._dropped:
                shard.add(sent)

    def ending(self, shard: Shard, at: float) -> None:
        """Send one more, healthy record."""
        sequence = max((s.sequence for s in self.sent()), default=7) + 1
        shard.add(Sent(shard.name, sequence, at, (self._stamp(Item("pass", "a"), at),), shard.keys[0]))

    def sent(self) -> Iterable[Sent]:
        """Everything that was sent."""
        for shard in self.shards.values():
            yield from shard.sent
