"""The aggregates of a schedule, and the event times and values that its records get for them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, OnUnusable, Output
from aetherstream.aggregates.declaration import Declaration, Emit, OnLate, Ranking
from aetherstream.aggregates.windows import Hopping, Session, Tumbling
from aetherstream.testing.builders import START
from tests.simulation.workload import Item

TIME, VALUE = "t", "v"
"""Fields of the events."""
FUTURE = 20.0
"""Seconds behind its arrival from which on an event is refused, in some schedules."""
SESSIONS = "visits"
REDECLARED = "hops"
MANY_GROUPS = 10_000
MOST = 2
"""Groups that are ranked."""
_ON_LATE: tuple[OnLate, ...] = ("drop", "quarantine", "correct")
_VALUES = (1, 2, -7, 0.1, 1e16, -1e16, 3.5, 2**60)
"""Their sum depends on the order, where it is not exact."""


def declare(rng: random.Random) -> tuple[Declaration, ...]:
    """Draw the aggregates: side by side, overlapping, and by sessions."""
    on_late = rng.sample(_ON_LATE, len(_ON_LATE))
    lateness = rng.choice((0.0, 0.0, 4.0))
    future = rng.choice((None, None, FUTURE))
    unusable: OnUnusable = rng.choice(("skip", "skip", "reject"))
    most = rng.choice((MANY_GROUPS, MANY_GROUPS, MANY_GROUPS, 2))
    made = (
        Aggregate(
            "sides",
            (("p", "p"),),
            Tumbling(10),
            (
                Output("events", make("count")),
                Output("sum", make("sum"), VALUE, unusable),
                Output("first", make("first"), VALUE),
            ),
            max_groups=most,
        ),
        Aggregate(
            REDECLARED, (), Hopping(10, 5), (Output("events", make("count")), Output("last", make("last"), VALUE))
        ),
        Aggregate(
            SESSIONS,
            (("p", "p"),),
            Session(4),
            (Output("events", make("count")), Output("sum", make("sum"), VALUE), Output("last", make("last"), VALUE)),
        ),
    )
    emit: list[Emit] = [rng.choice(("updates", "updates", "close")) for _ in made]
    ranked = emit[0] == "close" and rng.random() < 0.5
    return tuple(
        Declaration(
            replace(one, lateness=lateness, future=future, correct=late == "correct"),
            on_late=late,
            emit=when,
            ranking=Ranking("events", MOST) if ranked and one is made[0] else None,
        )
        for one, late, when in zip(made, on_late, emit, strict=True)
    )


def redeclared(declared: Sequence[Declaration]) -> tuple[Declaration, ...]:
    """The same, as a further version of the pipeline has them: one of them keeps states that no other version reads."""
    return tuple(
        replace(one, aggregate=replace(one.aggregate, windows=Hopping(20, 10))) if one.name == REDECLARED else one
        for one in declared
    )


class Times:
    """Gives records their event times: in order, out of order, late, far ahead."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._spread = rng.choice((2, 10, 25))
        self._number = 0

    def stamp(self, item: Item, arrival: float) -> Item:
        """Draw the event time and the value of a user record."""
        rng, self._number = self._rng, self._number + 1
        ahead = FUTURE + 10 if rng.random() < 0.03 else rng.randint(-self._spread, self._spread // 2)
        time = START + (arrival - START) // 1 + ahead + rng.choice((0.0, 0.0, 0.25))
        value = None if rng.random() < 0.05 else rng.choice(_VALUES) if rng.random() < 0.5 else self._number
        return replace(item, time=time, value=value)
