"""What operators do about the dead letters: redrive them whole or in part, two at a time, interrupted; discard some."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aetherstream.local.esm import Discard
from aetherstream.quarantine import Quarantine
from aetherstream.records import KinesisRecords
from aetherstream.recovery.dead_letters import parse
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.redrive_report import RedriveReport
from aetherstream.testing.builders import START, STREAM
from aetherstream.testing.stores import InlineExecutor
from tests.simulation.faults import Fault
from tests.simulation.models import BUCKET, QUARANTINE
from tests.simulation.parallel import Interleaved
from tests.simulation.world import Attempt

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

_ROUNDS = 60
_PATIENCE = 40.0
"""Seconds after which an operator tries again; a lease lasts for 120."""

RedriverVariant = Callable[["Simulation", str], Redriver]
"""Makes what an operator redrives with, given the operator's name."""


@dataclass(eq=False)
class Unit:
    """A dead letter, and what has been tried with it."""

    records: KinesisRecords
    tries: list[Attempt] = field(default_factory=list)
    discarded: bool = False

    @property
    def names(self) -> list[str]:
        """The Kinesis records."""
        return [f"{self.records.shard}:{sequence}" for sequence in self.records.sequences]

    @property
    def done(self) -> bool:
        """Whether nothing of it is left to do."""
        return any(attempt.done and attempt.report is not None and attempt.report.finished for attempt in self.tries)


class Operators:
    """The dead-letter bucket and the people in front of it."""

    def __init__(self, simulation: Simulation, variant: RedriverVariant | None) -> None:
        self._simulation = simulation
        self.variant = variant or redriver
        self.units: list[Unit] = []
        self.attempts: list[Attempt] = []

    def receive(self, discard: Discard) -> None:
        """Take a dead letter."""
        self.units.append(Unit(parse(discard.s3_key, discard.s3_body(), stream=STREAM).records()))

    def busy(self) -> bool:
        """Whether a redrive is under way that does not go on now."""
        return any(not attempt.done for attempt in self.attempts)

    def take_turns(self) -> None:
        """Redrive or discard something while the stream flows, if it so happens."""
        world, rng = self._simulation.world, self._simulation.rng
        if self.busy() and world.happens(Fault.LEASE_EXPIRED):
            world.now += 130
            world.note("two minutes pass", Fault.LEASE_EXPIRED)
        while (waiting := [unit for unit in self.units if not unit.done]) and world.happens(Fault.REDRIVEN_EARLY):
            unit = rng.choice(waiting)
            world.note(f"redrives {' '.join(unit.names)}", Fault.REDRIVEN_EARLY)
            self._try(unit)

    def settle_all(self) -> None:
        """Redrive what is left until nothing is."""
        world, rng = self._simulation.world, self._simulation.rng
        for _ in range(_ROUNDS):
            world.end_abandoned()
            waiting = [unit for unit in self.units if not unit.done]
            if not waiting:
                return
            rng.shuffle(waiting)
            for unit in waiting:
                self._try(unit)
            world.now += _PATIENCE
        world.violate(f"stuck: {' '.join(waiting[0].names)} can't be redriven: {waiting[0].tries[-1].error!r}")

    def _try(self, unit: Unit) -> None:
        simulation, world, rng = self._simulation, self._simulation.world, self._simulation.rng
        name = f"redrive{len(self.attempts)}/{simulation.version}"
        redriver = self.variant(simulation, name)
        select: Callable[[str], bool] | None = None
        if world.happens(Fault.DISCARDED):
            unit.discarded = True
            world.note(" ".join(unit.names), Fault.DISCARDED)
        elif world.happens(Fault.FILTERED):
            salt = rng.random()
            select = lambda record: zlib.crc32(f"{record} {salt}".encode()) % 2 == 0  # noqa: E731
            world.note(" ".join(unit.names), Fault.FILTERED)

        def body() -> Any:
            if unit.discarded:
                return redriver.discard(unit.records)
            return redriver.redrive(unit.records, select=select)

        told = self._rehearse(redriver, unit) if world.calm and not unit.discarded and rng.random() < 0.1 else None
        attempt = Attempt(name, body, unit.names, redrives=True)
        if world.happens(Fault.ABANDONED):
            attempt.abandon_at = rng.randint(1, 60 if simulation.shape.declared and rng.random() < 0.4 else 12)
        unit.tries.append(attempt)
        self.attempts.append(attempt)
        world.note(f"{name} begins with {' '.join(unit.names)}")
        world.run(attempt)
        world.note(f"{name} came to {attempt.report or attempt.error!r}")
        if told is not None and attempt.report is not None and self._promised(attempt.report) != told:
            world.violate(f"other: the dry run said {told}, and it came to {self._promised(attempt.report)}")

    def _rehearse(self, redriver: Redriver, unit: Unit) -> dict[str, Any] | None:
        """What a dry run says will become of the unit; it must not change anything."""
        simulation, world = self._simulation, self._simulation.world
        before = dict(simulation.objects.objects), dict(simulation.table.items), dict(simulation.search.documents)
        attempt = Attempt("rehearsal", lambda: redriver.redrive(unit.records, dry_run=True), unit.names, redrives=True)
        world.run(attempt)
        if (simulation.objects.objects, simulation.table.items, simulation.search.documents) != before:
            world.violate(f"other: the dry run of {' '.join(unit.names)} changed something")
        return None if attempt.report is None else self._promised(attempt.report)

    def _promised(self, report: RedriveReport) -> dict[str, Any]:
        """What a dry run can know: not what a per-record sink will say."""
        counts = {name: report.count(name) for name in self._simulation.shape.places}
        return {
            "records": (report.records, report.dropped, report.not_chosen, report.still_quarantined),
            "sinks": {name: (count.events, count.held, count.delivered) for name, count in counts.items()},
            "objects": sorted(key for key in report.objects if f"/{QUARANTINE}/" not in key),
        }


def records_of(shard: str, event: dict[str, Any]) -> KinesisRecords:
    """The records of an event of Lambda's."""
    records = [record["kinesis"] for record in event["Records"]]
    return KinesisRecords(
        STREAM,
        shard,
        [record["sequenceNumber"] for record in records],
        [record["approximateArrivalTimestamp"] for record in records],
        [record["partitionKey"] for record in records],
        [record["data"] for record in records],
    )


def redrive_parts(simulation: Simulation, name: str) -> dict[str, Any]:
    """What a redriver is made of."""
    world, version = simulation.world, simulation.version
    return {
        "pipeline": simulation.pipeline,
        "core": simulation.core(version),
        "quarantine": Quarantine(bucket=BUCKET, prefix=QUARANTINE, pipeline=simulation.pipeline),
        "spills": [simulation.drains.spill.target] if simulation.shape.spills else [],
        "record_sinks": [simulation.search] if simulation.shape.with_search else [],
        "aggregation": simulation.aggregates.aggregation(version=version),
        "store": simulation.objects,
        "archive": simulation.objects,
        "progress": simulation.table,
        "executor": Interleaved(world) if simulation.shape.interleaved else InlineExecutor(),
        "clock": lambda: world.now + START,
        "owner": name,
        "version": lambda: version,
    }


def redriver(simulation: Simulation, name: str) -> Redriver:
    """The real one."""
    return Redriver(**redrive_parts(simulation, name))
