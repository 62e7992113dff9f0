"""From a schedule that fails to a small one: fewer records, fewer faults, an earlier calm, another course of events.

A cut is kept when the schedule still breaks the same promise and its log is shorter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.faults import Fault
from tests.simulation.loading import LoaderVariant
from tests.simulation.recovery import RedriverVariant
from tests.simulation.replays import verdict
from tests.simulation.run import ANY, WHOLE, Cut, Setting, Simulation, Variant
from tests.simulation.schedule import schedule, words
from tests.simulation.spilling import DrainerVariant

_TRIES = 3_000
_DICE = 8


class Shrinker:
    """Looks for a smaller schedule of one seed."""

    def __init__(
        self,
        seed: int,
        variant: Variant | None = None,
        setting: Setting = ANY,
        redriver: RedriverVariant | None = None,
        drainer: DrainerVariant | None = None,
        loader: LoaderVariant | None = None,
    ) -> None:
        self._made = seed, variant, setting
        self._operators = redriver, drainer, loader
        self._left = _TRIES
        self._kind = ""
        self._kind, self._size, self._last = self._measure(WHOLE)

    def smallest(self) -> Cut | None:
        """The smallest cut that was found; None where the schedule does not fail."""
        if not self._kind:
            return None
        best, improved = WHOLE, True
        while improved and self._left > 0:
            improved = False
            for cut in self._smaller(best):
                kind, size, last = self._measure(cut)
                if kind == self._kind and size < self._size:
                    best, self._size, self._last, improved = cut, size, last, True
                    break
                if self._left <= 0:
                    break
        return best

    def _measure(self, cut: Cut) -> tuple[str, tuple[int, int], Simulation]:
        """Which promise is broken first (empty: none), and how much happens: records and lines of the log."""
        self._left -= 1
        simulation = Simulation(*self._made, cut, *self._operators).run()
        kinds = {wrong.partition(":")[0] for wrong in verdict(simulation)}
        kind = self._kind if self._kind in kinds else min(kinds, default="")
        return kind, (sum(1 for _ in simulation.stream.sent()), len(simulation.world.log)), simulation

    def _smaller(self, best: Cut) -> Iterator[Cut]:
        """Cuts that take more away, the coarse ones first; each in several courses, because it changes the course."""
        last = self._last
        coarse = [*self._less(best, last)]
        for cut in coarse:
            yield cut
        for number in range(last.world.faults):
            if number not in best.spared:
                yield replace(best, spared=best.spared | {number})
        for dice in range(1, _DICE):
            for cut in (best, *coarse):
                yield replace(cut, dice=best.dice + dice, spared=frozenset())

    def _less(self, best: Cut, last: Simulation) -> Iterator[Cut]:
        happened = {fault for _, _, _, fault in last.world.log if fault}
        for fault in Fault:
            if last.profile.has(fault) and (fault in happened or fault is Fault.POISON):
                yield replace(best, without=best.without | {fault})
        names = [sent.name for sent in last.stream.sent()]
        for size in sorted({len(names) // 2, len(names) // 4, 1} - {0}, reverse=True):
            for start in range(0, len(names), size):
                yield replace(best, dropped=best.dropped | set(names[start : start + size]))
        for calm in sorted({len(last.attempts) // 2, len(last.attempts) - 1, 1}):
            if calm > 0 and (best.calm_after is None or calm < best.calm_after):
                yield replace(best, calm_after=calm)


def shrunk(
    seed: int,
    variant: Variant | None = None,
    setting: Setting = ANY,
    redriver: RedriverVariant | None = None,
    drainer: DrainerVariant | None = None,
    loader: LoaderVariant | None = None,
) -> str:
    """The smallest failing schedule as text, with the command that replays it."""
    cut = Shrinker(seed, variant, setting, redriver, drainer, loader).smallest()
    if cut is None:
        return f"seed {seed}: all is well"
    text = schedule(seed, variant, setting, redriver, drainer, loader, cut)
    return f"{text}\nReplay: python -m tests.simulation {' '.join([str(seed), *words(cut)])}"
