"""Drains and spills with one part left out: each has to be caught, or the checks prove nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aetherstream.delivery.ledger import Ledger, Opening
from aetherstream.delivery.progress import Progress
from aetherstream.drain.drainer import Drainer
from aetherstream.drain.refusals import Refusals
from aetherstream.drain.run import Run
from aetherstream.drain.spilled import SpillObject
from aetherstream.engine import Engine
from tests.simulation.models import SPILL
from tests.simulation.run import Simulation
from tests.simulation.spilling import DrainerVariant, drainer_parts


class _EmptiesFirst(Run):
    """Empties an object before its documents have arrived."""

    def _bring(self, spilled: SpillObject, refusals: Refusals) -> Any:
        spilled.empty(self._parts.store)
        return super()._bring(spilled, refusals)


class _ForgetsWhatWasRefused(Run):
    """Does not look into the quarantine for what an interrupted run was refused."""

    def _bring(self, spilled: SpillObject, refusals: Refusals) -> Any:
        refusals.settled.clear()
        return super()._bring(spilled, refusals)


class _EmptiesWhatIsLeft(Run):
    """Empties an object although the sink did not take every document."""

    def _bring(self, spilled: SpillObject, refusals: Refusals) -> Any:
        brought = super()._bring(spilled, refusals)
        if not brought.stopped:
            brought.settled = len(spilled.rows)
        return brought


class _ForgetsTheRefused(Run):
    """Empties an object without writing down what was refused."""

    def _bring(self, spilled: SpillObject, refusals: Refusals) -> Any:
        brought = super()._bring(spilled, refusals)
        brought.refused.clear()
        return brought


def _run(kind: type[Run]) -> DrainerVariant:
    class Made(Drainer):
        run_kind = kind

    return lambda simulation, name: Made(**drainer_parts(simulation, name))


def _takes_what_is_not_final(simulation: Simulation, name: str) -> Drainer:
    """Delivers and empties objects that an attempt may still rewrite, or that the next one would have emptied."""
    return Drainer(**{**drainer_parts(simulation, name), "progress": None})


class NotesNoSpill(Ledger):
    """Claims without the keys under which the attempt may spill."""

    def claim(self, opening: Opening, keys: Mapping[str, str], version: str) -> Progress | None:
        return super().claim(opening, {key: at for key, at in keys.items() if f"/{SPILL}/" not in key}, version)


class SpillsNothing(Engine):
    """Completes what was spilled without having put it anywhere."""

    def _kept(self, *args: Any) -> Any:
        batch, plan, rejections, _, *rest = args
        return super()._kept(batch, plan, rejections, {}, *rest)


BROKEN_DRAINS = {
    "drain takes what is not final": _takes_what_is_not_final,
    "drain empties before it delivers": _run(_EmptiesFirst),
    "drain empties what was not taken": _run(_EmptiesWhatIsLeft),
    "drain forgets what it was refused before": _run(_ForgetsWhatWasRefused),
    "drain writes down no refusals": _run(_ForgetsTheRefused),
}
"""What is left out → the drain without it."""
