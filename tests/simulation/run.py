"""One schedule: shards, the event source mapping, processes that come and go, until everything is settled."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aetherstream.delivery.ledger import Ledger
from aetherstream.delivery.progress import progress_key
from aetherstream.engine import Engine
from aetherstream.local.esm import Discard, FunctionError, Invoke, Mapping, MappingSettings, Result, Returned
from aetherstream.quarantine import Quarantine
from aetherstream.records import KinesisRecords, sortable
from aetherstream.report import Report
from aetherstream.testing.builders import START, STREAM
from aetherstream.testing.stores import InlineExecutor
from tests.simulation.faults import Fault, Profile
from tests.simulation.models import BUCKET, QUARANTINE, Objects, Search, Table
from tests.simulation.workload import Item, Sent, Shape, send
from tests.simulation.world import Attempt, World

PIPELINE = "simulated"
_FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:stream:live"
_MOST = 600
"""Turns that a schedule may need: faults end after 60 attempts, but poisonous records kill also then."""


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
    only: frozenset[Fault] | None = None
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Draw what this schedule is like."""
        self.rng = rng = random.Random(self.seed)
        self.profile = Profile.draw(rng, self.only)
        self.shape = Shape.draw(rng, self.profile)
        self.world = World(rng, self.profile)
        self.objects = Objects(self.world)
        self.table = Table(self.world)
        self.search = Search(self.world)
        self.shards = [f"shardId-{number:012d}" for number in range(rng.choice((1, 1, 1, 2)))]
        self.sent = {shard: send(rng, self.profile, shard) for shard in self.shards}
        self.settings = MappingSettings(
            stream_arn=STREAM,
            function_arn=_FUNCTION,
            batch_size=rng.choice((1, 3, 5, 20)),
            maximum_record_age=rng.choice((-1, -1, 60)),
            bisect=rng.random() < 0.7,
            report_batch_item_failures=True,
        )
        self.attempts: list[Attempt] = []
        self.deployed = {"v1"}
        self.version = "v1"
        self.dead: set[str] = set()
        """Names of the Kinesis records in the dead letters."""
        self._idle: list[Process] = []
        self._made = 0
        self._calm_after = rng.randint(5, 60)
        self._mapping = self._begin({})
        self._checkpoints: dict[str, list[str]] = {shard: [] for shard in self.shards}

    # -- Running -----------------------------------------------------------------------------------------------------

    def run(self) -> Simulation:
        """Run to the end. What is wrong then stands in `world.violations`."""
        try:
            self._until_idle(limit=_MOST)
            self._become_calm()
            # One more healthy record for each shard: what discards left open is emptied by its batch.
            for shard, sent in self.sent.items():
                last = Sent(shard, sent[-1].sequence + 1, self.world.now + START, (Item("pass", "a"),))
                sent.append(last)
                self._mapping.feed(shard, [last.record()], self.world.now + START)
            self._until_idle(limit=_MOST)
            self.world.end_abandoned()
        finally:
            self.world.end_abandoned(kill=True)
        return self

    def _until_idle(self, limit: int) -> None:
        world, mapping = self.world, self._mapping
        for _ in range(limit):
            mapping = self._mapping
            wake = mapping.next_wake(world.now + START)
            if wake is None:
                return
            world.now = wake - START
            for action in mapping.poll(wake):
                if isinstance(action, Discard):
                    self._discard(action)
                else:
                    self._invoke(mapping, action)
            self._between()
        world.violate(f"after {limit} turns there is still something to do")

    def _between(self) -> None:
        world, profile, rng = self.world, self.profile, self.rng
        if len(self.attempts) >= self._calm_after:
            self._become_calm()
        world.others()
        for shard in self.shards:
            if (at := self._mapping.checkpoint(shard)) is not None:
                self._checkpoints[shard].append(at)
        if world.calm:
            return
        if profile.happens(Fault.DEPLOYED, rng):
            self.version = "v2" if self.version == "v1" else "v1"
            self.deployed.add(self.version)
            self._idle = [process for process in self._idle if rng.random() < 0.2]
            world.note(f"deployed {self.version}", Fault.DEPLOYED)
        if profile.happens(Fault.OUTAGE, rng):
            world.outage = rng.randint(5, 80)
            world.note("begins", Fault.OUTAGE)
        if profile.happens(Fault.PASSED_CHECKPOINT, rng):
            after = {
                shard: rng.choice(seen) for shard, seen in self._checkpoints.items() if seen and rng.random() < 0.7
            }
            self._mapping = self._begin(after)
            world.note(f"reads again after {after}", Fault.PASSED_CHECKPOINT)

    def _become_calm(self) -> None:
        if not self.world.calm:
            self.world.note("nothing goes wrong from here on")
        self.world.calm = True
        self.world.outage = 0

    def _begin(self, after: dict[str, str]) -> Mapping:
        mapping = Mapping(self.settings, self.rng)
        now = self.world.now + START
        for shard in self.shards:
            mapping.add_shard(shard, after=after.get(shard))
            mapping.feed(shard, [sent.record() for sent in self.sent[shard]], now)
        return mapping

    # -- One invocation ----------------------------------------------------------------------------------------------

    def _invoke(self, mapping: Mapping, invoke: Invoke) -> None:
        world, rng = self.world, self.rng
        process = self._process()
        batch = _batch(invoke)
        short = not world.calm and self.profile.happens(Fault.SHORT_OF_TIME, rng)
        if short:
            world.note("has little time", Fault.SHORT_OF_TIME)

        def seconds_left() -> float:
            return 10.0 if short and not world.calm and rng.random() < 0.6 else 600.0

        attempt = Attempt(
            f"#{len(self.attempts)}/{process.name}/{process.version}",
            lambda: process.engine.process(batch, seconds_left),
            [f"{batch.shard}:{sequence}" for sequence in batch.sequences],
        )
        if not world.calm and self.profile.happens(Fault.ABANDONED, rng):
            attempt.abandon_at = rng.randint(1, 16)
        self.attempts.append(attempt)
        world.note(f"{attempt.name} begins with {batch.shard[-1]}:{' '.join(batch.sequences)}")
        world.run(attempt)
        mapping.finished(invoke.invocation_id, self._result(attempt, batch, process), world.now + START)

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
        if not world.calm and self.profile.happens(Fault.RESPONSE_LOST, self.rng):
            world.note(f"{attempt.name}", Fault.RESPONSE_LOST)
            return FunctionError()
        return Returned(report.response())

    def _believe(self, report: Report, batch: KinesisRecords) -> None:
        """What the response calls done has to be settled by now."""
        done = batch.sequences[: batch.sequences.index(report.failed_from)] if report.failed_from else batch.sequences
        item = self.table.items.get(progress_key(PIPELINE, STREAM, batch.shard))
        if done and (item is None or item.completed < sortable(done[-1])):
            self.world.violate(f"the response calls {batch.shard}:{done[-1]} done, but it is not settled")

    def _discard(self, discard: Discard) -> None:
        names = [f"{discard.shard_id}:{record.sequence_number}" for record in discard.records]
        self.dead.update(names)
        self.world.note(f"discarded {' '.join(names)}: {discard.condition}")

    def _process(self) -> Process:
        cold = not self.world.calm and self.profile.happens(Fault.COLD, self.rng)
        if self._idle and not cold:
            return self._idle.pop(self.rng.randrange(len(self._idle)))
        if cold:
            self.world.note("the next attempt meets a cold process", Fault.COLD)
        self._made += 1
        name = f"p{self._made}"
        return Process(name, self.version, (self.variant or engine)(self, name, self.version))


def parts(simulation: Simulation, name: str, version: str) -> dict[str, Any]:
    """What the engine of a process is made of."""
    shape = simulation.shape
    return {
        "pipeline": PIPELINE,
        "core": shape.core(version, simulation.world),
        "store": simulation.objects,
        "ledger": Ledger(simulation.table, name),
        "quarantine": Quarantine(bucket=BUCKET, prefix=QUARANTINE, pipeline=PIPELINE),
        "record_sinks": [simulation.search] if shape.with_search else [],
        "executor": InlineExecutor(),
        "version": lambda: version,
    }


def engine(simulation: Simulation, name: str, version: str) -> Engine:
    """The real engine."""
    return Engine(**parts(simulation, name, version))


def _batch(invoke: Invoke) -> KinesisRecords:
    records = [record["kinesis"] for record in invoke.event["Records"]]
    return KinesisRecords(
        STREAM,
        invoke.shard_id,
        [record["sequenceNumber"] for record in records],
        [record["approximateArrivalTimestamp"] for record in records],
        [record["partitionKey"] for record in records],
        [record["data"] for record in records],
    )
