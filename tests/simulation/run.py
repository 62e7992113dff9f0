"""One schedule: shards, the event source mapping, processes that come and go, until everything is settled."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aetherstream.delivery.ledger import Ledger
from aetherstream.delivery.progress import progress_key
from aetherstream.engine import Engine
from aetherstream.local.esm import (
    Discard,
    FunctionError,
    Invoke,
    MappingSettings,
    Result,
    Returned,
    Throttled,
)
from aetherstream.local.esm import Mapping as EventSourceMapping
from aetherstream.quarantine import Quarantine
from aetherstream.records import KinesisRecords, sortable
from aetherstream.report import Report
from aetherstream.testing.builders import START, STREAM
from aetherstream.testing.stores import InlineExecutor
from tests.simulation.aggregating import Aggregates
from tests.simulation.declared import Times, declare
from tests.simulation.faults import Fault, Profile
from tests.simulation.loading import LoaderVariant, Loads
from tests.simulation.models import BUCKET, QUARANTINE, Objects, Search, Table
from tests.simulation.parallel import Interleaved
from tests.simulation.reading import Reading
from tests.simulation.recovery import Operators, RedriverVariant, records_of
from tests.simulation.spilling import Breakers, DrainerVariant, Drains
from tests.simulation.stream import Shard, Stamp, Stream
from tests.simulation.workload import Shape
from tests.simulation.world import Attempt, World

PIPELINE = "simulated"
_FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:stream:live"
_MOST = 900
"""Turns that a schedule may need: faults end after some attempts, but poisonous records kill also then."""
_LOADED = 0.2
"""Share of the schedules that have a warehouse."""
_AGGREGATED = 0.1
"""Share of those that have aggregates."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left out of a schedule, so that less of it shows the same."""

    without: frozenset[Fault] = frozenset()
    """Faults that it does not have."""
    dropped: frozenset[str] = frozenset()
    """Kinesis records that are not sent."""
    spared: frozenset[int] = frozenset()
    """Single faults that do not happen, by their number."""
    calm_after: int | None = None
    """Attempts after which nothing goes wrong any more."""
    dice: int = 0
    """Another course of events with the same records."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A schedule of a certain kind: what a rare mistake needs to show."""

    only: Mapping[Fault, float] | None = None
    """These faults, so often."""
    shape: dict[str, Any] = field(default_factory=dict)
    """Fields of the shape as they have to be."""


ANY = Setting()
WHOLE = Cut()


@dataclass
class Process:
    """An execution environment: an engine with what its ledger remembers."""

    name: str
    version: str
    engine: Engine


Variant = Callable[["Simulation", str, str], Engine]
"""Makes the engine of a process, given its name and pipeline version."""


@dataclass
class Simulation:
    """A schedule, decided by its seed."""

    seed: int
    variant: Variant | None = None
    setting: Setting = ANY
    cut: Cut = WHOLE
    redriver: RedriverVariant | None = None
    drainer: DrainerVariant | None = None
    loader: LoaderVariant | None = None
    pipeline: str = PIPELINE

    def __post_init__(self) -> None:
        """Draw what this schedule is like."""
        cut = self.cut
        # The course of events is drawn apart from the records: leaving one out changes nothing about the others.
        plan, self.rng = random.Random(f"plan {self.seed}"), random.Random(f"course {self.seed} {cut.dice}")
        self.profile = profile = Profile.draw(plan, self.setting.only).without(cut.without)
        aside = random.Random(f"loads of {self.seed}")  # drawn apart, too
        loads = {"loaded": aside.random() < _LOADED, "upserted": aside.random() < 0.5}
        apart = random.Random(f"declared by {self.seed}")
        drawn = {**loads, "aggregated": apart.random() < _AGGREGATED}
        self.shape = replace(Shape.draw(plan), **{**drawn, **self.setting.shape})
        stamp: Stamp = lambda item, _: item  # noqa: E731
        if self.shape.aggregated and "archive" in self.shape.places:
            self.shape, stamp = replace(self.shape, declared=declare(apart)), Times(apart).stamp
        self.stream = Stream(plan, profile, cut.dropped, plain=self.shape.plain, dos=self.shape.dos, stamp=stamp)
        self.world = World(self.rng, profile, cut.spared)
        self.world.eagerness = self.shape.eagerness
        self.objects = Objects(self.world)
        self.table = Table(self.world)
        self.search = Search(self.world)
        self.breakers = Breakers(self.world)
        self.settings = MappingSettings(
            stream_arn=STREAM,
            function_arn=_FUNCTION,
            batch_size=self.shape.batch_size,
            maximum_record_age=self.shape.age,
            maximum_retry_attempts=self.shape.retries,
            bisect=plan.random() < 0.7,
            parallelization_factor=self.shape.parallel,
            report_batch_item_failures=True,
        )
        self.attempts: list[Attempt] = []
        self.deployed = {"v1"}
        self.version = "v1"
        self.dead: set[str] = set()
        """Names of the Kinesis records in the dead letters."""
        self.expired: set[str] = set()
        """Names of the Kinesis records that were gone before they were read."""
        self.finished: set[str] = set()
        """Names of the Kinesis records that the mapping has moved past."""
        self.operators = Operators(self, self.redriver)
        self.drains = Drains(self, self.drainer)
        self.loads = Loads(self, self.loader)
        self.aggregates = Aggregates(self)
        self.cores: dict[str, Any] = {}
        self.replays = 0
        """How often the quarantine was replayed."""
        self._idle: list[Process] = []
        self._made = 0
        turns = plan.randint(4, 28)
        self._calm_after = turns if cut.calm_after is None else cut.calm_after
        self.checkpoints: dict[str, list[str]] = {}
        self._mapping = self._begin({})

    # -- Running -----------------------------------------------------------------------------------------------------

    def run(self) -> Simulation:
        """Run to the end. What is wrong then stands in `world.violations`."""
        try:
            self._until_idle()
            self._become_calm()
            self._until_idle()
            self._recover()
            self.drains.settle_all()
            self.world.now += 60  # until each process looks again how the breaker stands
            # One more healthy record for each open shard: what discards left open is emptied by its batch.
            for shard in self.stream.shards.values():
                if not shard.closed:
                    self.stream.ending(shard, self.world.now + START)
            self._until_idle()
            self.world.end_abandoned()
            self.drains.settle_all()
        finally:
            self.world.end_abandoned(kill=True)
        return self

    def _recover(self) -> None:
        """Bring every dead letter back, or discard it."""
        self.operators.settle_all()

    def _until_idle(self) -> None:
        world = self.world
        for _ in range(_MOST):
            mapping = self._mapping
            self._reading.read()
            wakes = [mapping.next_wake(world.now + START), self._reading.next_arrival()]
            wake = min((at for at in wakes if at is not None), default=None)
            if wake is None:
                return
            world.now = max(world.now, wake - START)
            for action in mapping.poll(world.now + START):
                if isinstance(action, Discard):
                    self._discard(action)
                else:
                    self._invoke(mapping, action)
            self._between()
        world.violate(f"stuck: after {_MOST} turns there is still something to do")

    def _between(self) -> None:
        world, rng = self.world, self.rng
        if len(self.attempts) >= self._calm_after:
            self._become_calm()
        world.others()
        self.operators.take_turns()
        self.drains.take_turns()
        self.loads.take_turns()
        self.aggregates.take_turns()
        for name in self._mapping.shards:
            at = self._mapping.checkpoint(name)
            seen = self.checkpoints.setdefault(name, [])
            if at is not None and (not seen or seen[-1] != at):
                seen.append(at)
        if world.calm:
            return
        if world.happens(Fault.DEPLOYED):
            self.version = "v2" if self.version == "v1" else "v1"
            self.deployed.add(self.version)
            self._idle = [process for process in self._idle if rng.random() < 0.2]
            world.note(f"deployed {self.version}", Fault.DEPLOYED)
        if world.happens(Fault.OUTAGE):
            world.outage = rng.randint(5, 60)
            world.note("begins", Fault.OUTAGE)
        if world.happens(Fault.PASSED_CHECKPOINT):
            after = {shard: rng.choice(seen) for shard, seen in self.checkpoints.items() if seen and rng.random() < 0.7}
            world.note(f"reads again after {after}", Fault.PASSED_CHECKPOINT)
            self._mapping = self._begin(after)

    def _become_calm(self) -> None:
        if not self.world.calm:
            self.world.note("nothing goes wrong from here on")
        self.world.calm = True
        self.world.outage = 0

    # -- Reading the stream ------------------------------------------------------------------------------------------

    def _begin(self, after: dict[str, str]) -> EventSourceMapping:
        self._reading = Reading(EventSourceMapping(self.settings, self.rng), self)
        self._reading.show(after)
        return self._reading.mapping

    def parents(self, shard: Shard) -> tuple[str, ...]:
        """What the mapping is told of a shard's parents."""
        return shard.parents

    # -- One invocation ----------------------------------------------------------------------------------------------

    def _invoke(self, mapping: EventSourceMapping, invoke: Invoke) -> None:
        world, rng = self.world, self.rng
        batch = records_of(invoke.shard_id, invoke.event)
        names = [f"{batch.shard}:{sequence}" for sequence in batch.sequences]
        self._in_order(batch, names)
        if world.happens(Fault.THROTTLED):
            world.note("the invocation", Fault.THROTTLED)
            mapping.finished(invoke.invocation_id, Throttled(), world.now + START)
            return
        process = self._process()
        short = world.happens(Fault.SHORT_OF_TIME)
        left = rng.choice((10.0, 28.0, 28.0))  # 28 s: too few to take more records, enough to put what was taken
        if short:
            world.note("has little time", Fault.SHORT_OF_TIME)

        def seconds_left() -> float:
            return left if short and not world.calm and rng.random() < 0.6 else 600.0

        attempt = Attempt(
            f"#{len(self.attempts)}/{process.name}/{process.version}",
            lambda: process.engine.process(batch, seconds_left),
            names,
        )
        if world.happens(Fault.ABANDONED):
            attempt.abandon_at = self.shape.abandon_at or min(rng.randint(1, 6), rng.randint(1, 16))
            if self.shape.declared and rng.random() < 0.4:
                attempt.abandon_at = rng.randint(1, 50)  # also while it folds
        self.attempts.append(attempt)
        world.note(f"{attempt.name} begins with {batch.shard[-1]}:{' '.join(batch.sequences)}")
        world.run(attempt)
        mapping.finished(invoke.invocation_id, self._result(attempt, batch, process), world.now + START)

    def _in_order(self, batch: KinesisRecords, names: list[str]) -> None:
        """What is invoked comes behind everything of its partition key that was sent before it."""
        before = set(names)
        for key in dict.fromkeys(batch.keys):
            wanted = [name for name, its in zip(names, batch.keys, strict=True) if its == key]
            for sent in self.stream.sent():
                if sent.key != key or sent.name == wanted[-1]:
                    break
                if sent.name not in self.finished and sent.name not in before and sent.name not in self.expired:
                    self.world.violate(f"order: {wanted[-1]} is invoked before {sent.name}, of the same partition key")

    def _result(self, attempt: Attempt, batch: KinesisRecords, process: Process) -> Result:
        world = self.world
        if not attempt.done:
            return FunctionError("Sandbox.Timedout")
        report = attempt.report
        if report is None:
            attempt.unclean = True
            world.note(f"{attempt.name} ended by {attempt.error!r}")
            return FunctionError()
        self._idle.append(process)
        self._believe(report, batch)
        world.note(f"{attempt.name} answers {report.failed_from or 'all done'} {report.error or ''}")
        if world.happens(Fault.RESPONSE_LOST):
            world.note(f"{attempt.name}", Fault.RESPONSE_LOST)
            return FunctionError()
        self.finished.update(f"{batch.shard}:{sequence}" for sequence in _done(report, batch))
        return Returned(report.response())

    def _believe(self, report: Report, batch: KinesisRecords) -> None:
        """What the response calls done has to be settled by now."""
        done = _done(report, batch)
        item = self.table.items.get(progress_key(PIPELINE, STREAM, batch.shard))
        if done and (item is None or item.completed < sortable(done[-1])):
            self.world.violate(f"lost: the response calls {batch.shard}:{done[-1]} done, but it is not settled")
        for name in (f"{batch.shard}:{sequence}" for sequence in done):
            pending = self.table.commits.get(name)
            if pending is not None and not self.aggregates.is_folded(batch.shard, pending):
                self.world.violate(
                    f"counted: the response calls {name} done, but commit {pending.commit} is not folded"
                )

    def _discard(self, discard: Discard) -> None:
        names = [f"{discard.shard_id}:{record.sequence_number}" for record in discard.records]
        self.dead.update(names)
        self.operators.receive(discard)
        self.finished.update(names)
        self.world.note(f"discarded {' '.join(names)}: {discard.condition}")

    def _process(self) -> Process:
        cold = self.world.happens(Fault.COLD)
        if self._idle and not cold:
            return self._idle.pop(self.rng.randrange(len(self._idle)))
        if cold:
            self.world.note("the next attempt meets a cold process", Fault.COLD)
        self._made += 1
        name = f"p{self._made}"
        return Process(name, self.version, (self.variant or engine)(self, name, self.version))

    def core(self, version: str) -> Any:
        """The pure steps of a version; they keep nothing between batches."""
        if version not in self.cores:
            self.cores[version] = self.shape.core(version, self.world)
        return self.cores[version]


def parts(simulation: Simulation, name: str, version: str) -> dict[str, Any]:
    """What the engine of a process is made of."""
    shape = simulation.shape
    return {
        "pipeline": PIPELINE,
        "core": simulation.core(version),
        "store": simulation.objects,
        "ledger": Ledger(simulation.table, name),
        "quarantine": Quarantine(bucket=BUCKET, prefix=QUARANTINE, pipeline=PIPELINE),
        "record_sinks": [simulation.search] if shape.with_search else [],
        "aggregation": simulation.aggregates.aggregation(version=version),
        "standbys": {"search": simulation.drains.standby()} if shape.spills else {},
        "executor": Interleaved(simulation.world) if shape.interleaved else InlineExecutor(),
        "version": lambda: version,
    }


def engine(simulation: Simulation, name: str, version: str) -> Engine:
    """The real engine."""
    return Engine(**parts(simulation, name, version))


def _done(report: Report, batch: KinesisRecords) -> list[str]:
    return batch.sequences[: batch.sequences.index(report.failed_from)] if report.failed_from else batch.sequences
