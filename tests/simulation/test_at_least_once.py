import pytest

from aetherstream.delivery.ledger import Unledgered
from aetherstream.engine import Engine
from aetherstream.records import KinesisRecords
from aetherstream.report import Report
from tests.simulation.check import find
from tests.simulation.faults import Fault
from tests.simulation.models import Overwritten
from tests.simulation.run import Setting, Simulation, parts
from tests.simulation.workload import expected

SCHEDULES = 200
_WITHOUT = {Fault.POISON, Fault.DEPLOYED, Fault.FLAKY, Fault.OUTAGE, Fault.REDRIVEN_EARLY}
RATES = {fault: 0.1 for fault in Fault if fault not in _WITHOUT}


class NamedByPosition(Overwritten):
    """Objects without their bytes in the name: a late attempt that brings less replaces one that brought more."""

    def named(self, key: str) -> str:
        stem, _, suffix = key.partition(".")
        return f"{stem.rpartition('-')[0]}.{suffix}"


class AtLeastOnce(Simulation):
    def _believe(self, report: Report, batch: KinesisRecords) -> None:
        """There is no progress item to hold the response against."""

    def _recover(self) -> None:
        """What is dead stays dead: without marks there is nothing to redrive against."""


def lost(seed: int, store: type[Overwritten]) -> list[str]:
    """User records that came to nothing."""

    def unledgered(simulation: Simulation, name: str, version: str) -> Engine:
        return Engine(**{**parts(simulation, name, version), "ledger": Unledgered()})

    # Only without a progress item may the lanes of a shard run beside each other.
    simulation = AtLeastOnce(
        seed, unledgered, Setting(RATES, {"parallel": 1 + seed % 3, "spilling": False, "aggregated": False})
    )
    simulation.objects = store(simulation.world)
    found = find(simulation.run())
    missing = [wrong for wrong in simulation.world.violations if wrong.startswith("order:")]
    gone = simulation.dead | simulation.expired
    for sent in (sent for sent in simulation.stream.sent() if sent.name not in gone):
        for sub, item in enumerate(sent.items):
            name, fate = f"{sent.name}:{sub}", expected(item, "v1")
            wanted = {(nth, sink) for nth, (_, sinks) in enumerate(fate.events) for sink in sinks if sink != "search"}
            unfound = wanted - {(nth, sink) for nth, sink, _ in found.events[name]}
            if unfound or (fate.refused and fate.refused not in found.refused[name]):
                missing.append(name)
    return missing


@pytest.mark.parametrize("first", range(0, SCHEDULES, 100))
def test_at_least_once_loses_nothing(first: int) -> None:
    assert {seed: missing for seed in range(first, first + 100) if (missing := lost(seed, Overwritten))} == {}


def test_objects_named_by_their_position_alone_would_lose_events() -> None:
    assert any(lost(seed, NamedByPosition) for seed in range(1_000))
