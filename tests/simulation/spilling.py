"""What stands in for the per-record sink while it is down: breakers, the spill, and the drain that brings it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aetherstream.delivery.breaker import Breaker
from aetherstream.delivery.breaker_item import BreakerItem, Rules, breaker_key
from aetherstream.delivery.progress import progress_key
from aetherstream.drain.drainer import Drainer
from aetherstream.drain.parts import Spilling
from aetherstream.objects import SUFFIX, Target
from aetherstream.record_delivery import Standby
from aetherstream.records import sortable
from aetherstream.spill import Spill
from aetherstream.testing.breakers import MemoryBreakers
from aetherstream.testing.builders import START, STREAM
from aetherstream.testing.stores import InlineExecutor
from tests.simulation.faults import AT_READ, AT_WRITE, Fault
from tests.simulation.models import BUCKET, QUARANTINE, SPILL, held_lines
from tests.simulation.world import Attempt, World

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

_ROUNDS = 60
_EVERY = 60.0
"""Seconds from one scheduled drain to the next."""
_FOLDER = f"{SPILL}/search"

DrainerVariant = Callable[["Simulation", str], Drainer]
"""Makes what drains, given its name."""


class Breakers(MemoryBreakers):
    """The breakers' items in DynamoDB, with its faults."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def read(self, key: str, /) -> BreakerItem:
        """See `BreakerStore.read`."""
        return self._world.effect("read the breaker", lambda: super(Breakers, self).read(key), AT_READ)

    def write(self, item: BreakerItem, /) -> BreakerItem | None:
        """See `BreakerStore.write`."""
        lease = item.lease.number if item.lease else "-"
        what = f"write the breaker r{item.revision} {item.state} lease={lease}: {item.why}"
        return self._world.effect(what, lambda: super(Breakers, self).write(item), AT_WRITE)


class Drains:
    """The schedule that starts the drain, and the sink that goes down."""

    def __init__(self, simulation: Simulation, variant: DrainerVariant | None) -> None:
        self._simulation = simulation
        self._variant = variant or drainer
        rng = simulation.rng
        self.rules = Rules(
            failures=rng.choice((1, 1, 2, 5)), share=rng.choice((0.5, 0.9)), probe_after=rng.choice((0.1, 1.0, 30.0))
        )
        self.spill = Spill("search", bucket=BUCKET, prefix=_FOLDER, pipeline=simulation.pipeline)
        self.attempts: list[Attempt] = []

    def standby(self) -> Standby:
        """The breaker of one process, and the spill."""
        world, pipeline = self._simulation.world, self._simulation.pipeline
        key = breaker_key(pipeline, "search")
        breaker = Breaker(self._simulation.breakers, key, self.rules, clock=lambda: world.now + START)
        return Standby(breaker, self.spill)

    def take_turns(self) -> None:
        """Let the sink go down, or a drain begin, if it so happens."""
        simulation, world, rng = self._simulation, self._simulation.world, self._simulation.rng
        if not simulation.shape.spills:
            return
        if not simulation.search.is_down() and world.happens(Fault.SINK_DOWN):
            simulation.search.down_until = world.now + rng.choice((0.5, 3.0, 10.0, 100.0))
            simulation.search.refusing = rng.random() < 0.3
            world.note(f"until {simulation.search.down_until:g}", Fault.SINK_DOWN)
        if any(not attempt.done for attempt in self.attempts) and world.happens(Fault.LEASE_EXPIRED):
            world.now += 130
            world.note("two minutes pass", Fault.LEASE_EXPIRED)
        while self._has_backlog() and rng.random() < 0.6:
            world.now += rng.choice((0.0, 5.0, _EVERY))
            self._drain()

    def settle_all(self) -> None:
        """Drain until nothing is left to be drained."""
        world = self._simulation.world
        if not self._simulation.shape.spills:
            return
        for _ in range(_ROUNDS):
            world.end_abandoned()
            self._drain()
            report = self.attempts[-1].report
            if report is not None and not report.stopped and not report.trouble and not self.waiting():
                break
            world.now += _EVERY
        else:
            world.violate(f"stuck: the spill is not drained: {self.attempts[-1].report!r}, {self.waiting()}")

    def _has_backlog(self) -> bool:
        objects = self._simulation.objects.under(BUCKET, SPILL)
        return any(any(held_lines(stored.body)) for _, stored in objects)

    def waiting(self) -> list[str]:
        """The spill's objects that are not empty though the shard's mark has passed all of their rows."""
        simulation = self._simulation
        found = []
        for key, stored in simulation.objects.under(BUCKET, SPILL):
            lines = held_lines(stored.body)
            item = lines and simulation.table.items.get(progress_key(simulation.pipeline, STREAM, lines[0]["shard"]))
            if lines and (not item or all(sortable(line["sequence"]) <= item.completed for line in lines)):
                found.append(key)
        return found

    def check(self) -> list[str]:
        """What is wrong with the spill and the breaker in the end."""
        simulation = self._simulation
        if not simulation.shape.spills:
            return []
        wrong = [
            f"raised: {drain.name} raised {drain.error!r}"
            for drain in self.attempts
            if isinstance(drain.error, Exception)
        ]
        wrong += [f"lost: {key} was never drained" for key in self.waiting()]
        item = simulation.breakers.items.get(breaker_key(simulation.pipeline, "search"))
        if item is not None and item.state != "closed":
            wrong.append(f"stuck: the breaker is {item.state} in the end: {item.why}")
        return wrong

    def _drain(self) -> None:
        world, rng = self._simulation.world, self._simulation.rng
        name = f"drain{len(self.attempts)}"
        drainer = self._variant(self._simulation, name)
        spilling = Spilling(
            self._simulation.search,
            Target(BUCKET, _FOLDER, SUFFIX["gzip"]),
            self.rules,
            rng.choice((2, 10_000)),
        )
        short = world.happens(Fault.SHORT_OF_TIME)

        def seconds_left() -> float:
            return 10.0 if short and not world.calm and rng.random() < 0.3 else 600.0

        attempt = Attempt(name, lambda: drainer.drain(spilling, seconds_left), [], redrives=True)
        if world.happens(Fault.ABANDONED):
            attempt.abandon_at = rng.randint(1, 20)
        self.attempts.append(attempt)
        world.note(f"{name} begins")
        world.run(attempt)
        world.note(f"{name} came to {attempt.report or attempt.error!r}")


def drainer_parts(simulation: Simulation, name: str) -> dict[str, Any]:
    """What a drainer is made of."""
    world = simulation.world

    def sleep(seconds: float) -> None:
        world.now += seconds

    return {
        "pipeline": simulation.pipeline,
        "quarantine": Target(BUCKET, QUARANTINE, SUFFIX["gzip"]),
        "store": simulation.objects,
        "reader": simulation.objects,
        "progress": simulation.table,
        "breakers": simulation.breakers,
        "clock": lambda: world.now + START,
        "sleep": sleep,
        "executor": InlineExecutor(),
        "owner": name,
        "most": simulation.rng.choice((2, 2000)),
        "at_once": 3,
    }


def drainer(simulation: Simulation, name: str) -> Drainer:
    """The real one."""
    return Drainer(**drainer_parts(simulation, name))
