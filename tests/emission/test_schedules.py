"""Random schedules: commits, killed functions, emitters and closers at any time, outlets that fail.

In the end what is seen is what was committed, all of it final.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from aetherstream.aggregates.aggregate import Key
from aetherstream.aggregates.declaration import Declaration, Emit, Ranking
from aetherstream.aggregates.partials import Partial, merge_all
from aetherstream.aggregates.partials import results as outputs_of
from aetherstream.aggregates.ranking import ranked
from aetherstream.aggregates.windows import Window, time_text
from aetherstream.errors import Retryable
from aetherstream.testing.results import MemoryOutlet
from tests.delivery.aggregate_support import HOURLY, VISITS, Row, partials
from tests.emission.stream_world import StreamWorld

SHARDS = 2


class Schedule:
    """One run, decided by a seed."""

    def __init__(self, declaration: Declaration, seed: int) -> None:
        self.rng = random.Random(seed)
        self.declaration = declaration
        self.outlet, self.archive = MemoryOutlet("search"), MemoryOutlet("archive", final_only=True)
        outlets = {declaration.name: [self.outlet, self.archive]}
        self.world = StreamWorld(declaration, shards=SHARDS, outlets=outlets)
        self.committed: list[Mapping[Key, Partial]] = []
        self.told: list[dict[str, Any]] = []
        self.time = 0.0
        self.folded = True

    def rows(self) -> list[Row]:
        sessions = self.declaration.aggregate.gap is not None
        spread = 400 if sessions else 3600
        return [
            (self.rng.choice(["AA", "UA", "DL"]), max(0, int(self.time) - self.rng.randrange(spread)), 1)
            for _ in range(self.rng.randint(1, 4))
        ]

    def commit(self) -> None:
        self.time += self.rng.randrange(60 if self.declaration.aggregate.gap is not None else 900)
        parts = partials(self.rows(), self.declaration.aggregate)
        newest = self.time if self.rng.random() < 0.8 else self.time / 2
        self.world.commit(self.rng.randrange(SHARDS), parts, newest, folds=self.rng.random() < 0.8)
        self.committed.append(parts)

    def emit(self) -> None:
        self.told += self.world.states.news()
        count = self.rng.randint(0, len(self.told))
        if self.world.emit(self.told[:count]).error is None and self.rng.random() < 0.9:
            del self.told[:count]

    def run(self) -> None:
        rng, world = self.rng, self.world
        for _ in range(rng.randint(10, 40)):
            for outlet in (self.outlet, self.archive):
                outlet.down = Retryable("down") if rng.random() < 0.2 else None
            what = rng.random()
            if what < 0.5:
                self.commit()
            elif what < 0.75:
                self.emit()
            elif what < 0.8:
                world.arrive(rng.randrange(SHARDS))
            elif what < 0.85:
                world.now += rng.choice([10, 400, 7200])
            elif what < 0.9:
                world.close(upto=self.time - rng.randrange(3600))
            elif what < 0.95:
                world.closing = world.closer()
            else:
                world.close()
        self.outlet.down = self.archive.down = None
        for number in range(SHARDS):  # whoever was killed: the next batch folds what is pending
            world.commit(number, time=self.time)
        world.now += 2 * 86_400
        for _ in range(3):
            self.told += world.states.news()
            done = world.close()
            assert done.troubles == []
        self.told += world.states.news()
        assert world.emit(self.told).error is None

    def expected(self) -> dict[tuple[str, str, int | None], dict[str, Any]]:
        aggregate = self.declaration.aggregate
        merged = merge_all({aggregate.name: aggregate}, self.committed)
        found: dict[tuple[str, str, int | None], dict[str, Any]] = {}
        ranking = self.declaration.ranking
        for key, partial in merged.items():
            if key.window is None:
                for session in partial:
                    start = session.window(aggregate.gap or 0).id
                    found[start, key.group, None] = outputs_of(aggregate, session.accs)
            elif ranking is None:
                found[key.window.id, key.group, None] = outputs_of(aggregate, partial)
        if ranking is not None:
            for window in {key.window for key in merged}:
                assert isinstance(window, Window)
                groups = [
                    (key.group, outputs_of(aggregate, partial))
                    for key, partial in merged.items()
                    if key.window == window
                ]
                for rank, (group, values) in enumerate(ranked(groups, ranking.by, ranking.most), 1):
                    found[window.id, group, rank] = dict(values)
        return found


def stored(outlet: MemoryOutlet) -> dict[tuple[str, str, int | None], dict[str, Any]]:
    """What is seen, and that all of it is final."""
    found: dict[tuple[str, str, int | None], dict[str, Any]] = {}
    for row in outlet.rows.values():
        if not row.removed:
            assert row.final, row
            group = '["' + row.group["carrier"] + '"]'
            found[time_text(row.window.start), group, row.rank] = dict(row.values)
    return found


def declarations() -> Iterable[Any]:
    emits: tuple[Emit, ...] = ("updates", "close")
    for emit in emits:
        yield pytest.param(Declaration(HOURLY, emit=emit), id=f"windows at {emit}")
        yield pytest.param(Declaration(VISITS, emit=emit), id=f"sessions at {emit}")
    yield pytest.param(Declaration(HOURLY, emit="close", ranking=Ranking("sum", 2)), id="a ranking")


@pytest.mark.parametrize("declaration", list(declarations()))
def test_in_the_end_what_was_committed_is_seen_and_final(declaration: Declaration) -> None:
    for seed in range(60):
        schedule = Schedule(declaration, seed)
        schedule.run()
        expected = schedule.expected()
        assert stored(schedule.outlet) == expected, seed
        assert stored(schedule.archive) == expected, seed
