"""What a replay may do to windows whose states are removed: nothing. A new state would pass for the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from aetherstream.delivery.aggregates.closing import KEEP
from aetherstream.delivery.aggregates.places import WindowPlace
from aetherstream.results.parts import Row
from aetherstream.testing.builders import START
from tests.simulation.run import Simulation


class Left(NamedTuple):
    """What was there when the states were removed."""

    closed: frozenset[WindowPlace]
    """Fixed windows that had been closed."""
    rows: tuple[Mapping[str, Row], ...]
    """By place: their results."""


def outlive(simulation: Simulation) -> Left:
    """Let the time pass for which states of closed windows are kept."""
    counting = simulation.aggregates
    simulation.world.now += KEEP + 1
    simulation.world.note("the states of closed windows are removed")
    counting.states.remove_expired(simulation.world.now + START)
    closed = frozenset(place for place, mark in counting.closed.items() if mark.expires is not None)
    return Left(closed, _rows(simulation, closed))


def check_outlived(simulation: Simulation, left: Left) -> list[str]:
    """What is wrong with those windows after a replay."""
    counting = simulation.aggregates
    counting.settle_all()
    anew = [
        f"doubled: {item.place.key} was removed, and is there anew"
        for item in counting.states.items.values()
        if item.place.in_window in left.closed
    ]
    changed = left.rows != _rows(simulation, left.closed)
    return simulation.world.violations + anew + ["doubled: results of windows that were removed have changed"] * changed


def _rows(simulation: Simulation, closed: frozenset[WindowPlace]) -> tuple[Mapping[str, Row], ...]:
    windows = {(place.scope.aggregate, place.window) for place in closed}
    return tuple(
        {name: row for name, row in place.rows.items() if (row.aggregate, row.window) in windows}
        for place in simulation.aggregates.places
    )
