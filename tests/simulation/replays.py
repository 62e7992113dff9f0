"""What operators do about the quarantine in the end: replay it by what is deployed then, interrupted, two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aetherstream.delivery.progress import progress_key
from aetherstream.errors import Retryable
from aetherstream.records import sortable
from aetherstream.recovery.envelopes import Envelope, EnvelopeUnit, UnusableEnvelope, envelopes_of, units_of
from aetherstream.testing.builders import STREAM
from tests.simulation.check import Found, check, find
from tests.simulation.check_aggregates import check_aggregates
from tests.simulation.check_outlived import check_outlived, outlive
from tests.simulation.faults import Fault
from tests.simulation.models import BUCKET, QUARANTINE
from tests.simulation.run import Simulation
from tests.simulation.workload import Item, expected
from tests.simulation.world import Attempt, Killed

_TROUBLED = 4
"""Tries under faults, before nothing goes wrong any more."""
_TRIES = 40
_PATIENCE = 40.0
_KILLED = 2
"""Tries that have to end without a report before a record may be taken for one that kills, and stay where it is."""


def verdict(simulation: Simulation) -> list[str]:
    """Everything that is wrong with a finished schedule, then with replaying its quarantine, and with its loads."""
    wrong = check(simulation) or check_aggregates(simulation)
    if not wrong and simulation.shape.outlived:
        left = outlive(simulation)
        return replayed(simulation) or check_outlived(simulation, left)
    if not wrong and simulation.shape.replayed:
        wrong = replayed(simulation) or check_aggregates(simulation)
    return wrong or simulation.loads.check()


def replayed(simulation: Simulation) -> list[str]:
    """Replay the quarantine of a finished schedule; what is wrong afterwards."""
    world, rng = simulation.world, simulation.rng
    before = find(simulation)
    wrong: list[str] = []
    envelopes = [each for each in _envelopes(simulation, wrong) if each.stage != "crashed"]
    if wrong or not envelopes:
        return wrong
    if rng.random() < 0.5:
        simulation.version = "v2" if simulation.version == "v1" else "v1"
    simulation.objects.replaying = True
    suspected: set[str] = set()
    try:
        for whole in units_of(envelopes):
            unit = _final(simulation, whole)
            if _replay(simulation, unit) >= _KILLED:
                suspected.update(unit.ids())
                simulation.aggregates.suspected = suspected
    finally:
        world.calm = True
        world.end_abandoned(kill=True)
    found = find(simulation)
    crashed = {name for name, stages in before.refused.items() if "crashed" in stages}
    for sent in simulation.stream.sent():
        for sub in range(len(sent.items)):
            name = f"{sent.name}:{sub}"
            wanted = sorted(before.events.get(name, []))
            if name in before.refused and sent.name not in crashed:
                wanted = _events(simulation, sent.items[sub])
            came = sorted(found.events.get(name, []))
            if came != wanted and not (name in suspected and came == sorted(before.events.get(name, []))):
                kind = "doubled" if len(came) > len(wanted) else "lost"
                wrong.append(f"{kind}: replayed, {name} {sent.items[sub]} came to {came}, not to {wanted}")
    return wrong + _quarantine(simulation, before, found) + world.violations


def _events(simulation: Simulation, item: Item) -> list[tuple[int, str, str]]:
    """What a record that was refused comes to now: (nth, sink, partition)."""
    return sorted(
        (nth, sink, f"p={where}" if sink == "archive" else "")
        for nth, (where, sinks) in enumerate(expected(item, simulation.version).events)
        for sink in sinks
        if sink in simulation.shape.places
    )


def _quarantine(simulation: Simulation, before: Found, found: Found) -> list[str]:
    """What was refused stands there once, as it did; replaying adds nothing to it."""
    if simulation.profile.has(Fault.FLAKY):
        return []  # the per-record sink may refuse now what it took before
    wrong = [] if found.refused == before.refused else ["doubled: a replay was refused what stands in the quarantine"]
    if found.refused_events != before.refused_events:
        wrong.append("doubled: a replayed document was refused once more")
    return wrong


def _envelopes(simulation: Simulation, wrong: list[str]) -> list[Envelope]:
    read: list[Envelope] = []
    for key, stored in simulation.objects.under(BUCKET, f"{QUARANTINE}/"):
        for each in envelopes_of(key, key, stored.body, simulation.pipeline):
            if isinstance(each, UnusableEnvelope):
                wrong.append(f"other: {each.message}")
            else:
                read.append(each)
    return read


def _final(simulation: Simulation, unit: EnvelopeUnit) -> EnvelopeUnit:
    item = simulation.table.items[progress_key(simulation.pipeline, STREAM, unit.records.shard)]
    return unit.part(0, sum(sortable(sequence) <= item.completed for sequence in unit.records.sequences))


def _replay(simulation: Simulation, unit: EnvelopeUnit) -> int:
    """Replay a unit until it is done; how many of the tries ended without a report."""
    world, rng = simulation.world, simulation.rng
    tries: list[Attempt] = []
    while len(unit) and not any(_is_done(attempt) for attempt in tries):
        if len(tries) == _TRIES:
            world.violate(f"stuck: {' '.join(unit.ids())} can't be replayed: {tries[-1].error!r}")
            break
        world.calm = len(tries) >= _TROUBLED
        if world.calm:
            world.end_abandoned()
        attempt = _attempt(simulation, unit, unit.ids())
        if world.happens(Fault.ABANDONED):
            attempt.abandon_at = rng.randint(1, 12)
        tries.append(attempt)
        world.note(f"{attempt.name} begins with {' '.join(unit.ids())}")
        world.run(attempt)
        world.note(f"{attempt.name} came to {attempt.report or attempt.error!r}")
        simulation.loads.take_turns()
        simulation.aggregates.take_turns()
        if attempt.error is not None and not isinstance(attempt.error, Killed | Retryable):
            world.violate(f"raised: {attempt.name} raised {attempt.error!r}")
            break
        world.now += 130 if world.happens(Fault.LEASE_EXPIRED) else _PATIENCE if world.calm else 1
    return sum(attempt.report is None for attempt in tries)


def _attempt(simulation: Simulation, unit: EnvelopeUnit, names: Sequence[str]) -> Attempt:
    name = f"replay{simulation.replays}/{simulation.version}"
    simulation.replays += 1
    redriver = simulation.operators.variant(simulation, name)

    def body() -> Any:
        return redriver.redrive(unit.records, origin="quarantine", subs=unit.subs)

    return Attempt(name, body, list(names), redrives=True)


def _is_done(attempt: Attempt) -> bool:
    return attempt.done and attempt.report is not None and attempt.report.finished
