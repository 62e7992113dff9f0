"""Random schedules of live batches and redrives that add to aggregates: each event ends in each of them once."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.windows import Tumbling, Window
from aetherstream.core import Core
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.places import scope_of
from aetherstream.eventtime import EventTime
from aetherstream.objects import SUFFIX, Target
from aetherstream.recovery.held import Held
from aetherstream.recovery.recomputing import Places, recompute
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.refold import Fold, notes
from aetherstream.testing.builders import STREAM, JsonLists, written
from tests.engine.harness import NOW
from tests.recovery.redriving import Recovery
from tests.recovery.test_schedules import Changing, Schedule

SCHEDULES = int(os.environ.get("REFOLD_SCHEDULES", "200"))
BLOCKS = 4
COUNT = Output("events", make("count"))
SUMS = Declaration(
    Aggregate("sums", (("p", "p"),), Tumbling(60), (COUNT, Output("sum", make("sum"), "v", unusable="reject"))),
    on_late="correct",
)
LATE = Declaration(Aggregate("late", (), Tumbling(60), (COUNT,)), on_late="quarantine")
TIMED = EventTime("t", "epoch_s")


class Mending(Changing):
    """Version v2 makes numbers of texts."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self._mends = version == "v2"

    def apply(self, events: Any, rejections: Any, timings: Any = None, /) -> int:
        for value in events.values:
            if value["v"] == "text" and self._mends:
                value["v"] = 5
        return super().apply(events, rejections, timings)


class Aggregated(Schedule):
    """One shard's life, with aggregates."""

    def __init__(self, seed: int, kind: type[Redriver] = Redriver) -> None:
        super().__init__(seed, kind)
        declared = replace(SUMS, aggregate=replace(SUMS.aggregate, correct=True))
        self.bench = Recovery(
            declarations=[declared, LATE], core={"event_time": TIMED}, most_inline=self.rng.choice((0, 4096))
        )

    def payload(self, index: int) -> object:
        made: Any = super().payload(index)
        for value in made if isinstance(made, list) else [made]:
            value["t"] = self.rng.choice((10, 70, 130))
            value["v"] = self.rng.choice((1, 2, 3, "text"))
        return made

    def parts(self) -> tuple[Core, Recovery]:
        sinks = self.sinks()
        seen = self.bench.seen(self.bench.watched(self.effects()))
        core = Core(JsonLists(), sinks=sinks, transform=Mending(self.version), event_time=TIMED)
        self.bench.processes += 1
        return core, replace(seen, sinks=sinks, transform=Mending(self.version))

    def run(self) -> None:
        super().run()
        for _ in range(2):
            self.bench.now += 121
            self.replay()
        self.bench.now += 121
        _, bench = self.parts()
        self.redriver(bench).redrive(self.stream, origin="replay")  # what an unfinished one left is emptied

    def wrong(self) -> list[str]:
        return [*super().wrong(), *self.wrong_results(), *self.wrong_envelopes(), *self.wrong_recomputed()]

    def wrong_recomputed(self) -> list[str]:
        """What `aetherstream aggregates recompute` would find."""
        wrong = []
        for declaration in self.bench.declarations:
            found = recompute(
                declaration,
                scope_of("flights#events", declaration.aggregate),
                Window(0, 3600),
                time=TIMED,
                places=Places(
                    [sink.target for sink in self.sinks()],
                    Target("data", "quarantine", SUFFIX["gzip"]),
                    notes("data", "flights", STREAM),
                ),
                items=list(self.bench.progress.items.values()),
                reader=self.bench.objects,
                stores=Stores(self.bench.states, self.bench.windows),
                now=NOW,
            )
            wrong += [f"recomputed: {each}" for each in found.differences]
        return wrong

    def wrong_results(self) -> list[str]:
        """Hold the states against what stands in the archive, the quarantine and the notes."""
        lacking: dict[str, set[str]] = {"sums": set(), "late": set()}
        for line in self.bench.quarantined:
            if line["stage"] == "aggregate":
                names = ["late"] if line["reason"] == "late" else list(lacking)
                for name in names:
                    lacking[name].add(line["event"]["_event_id"])
        expected: dict[tuple[str, str, str], dict[str, int]] = {}
        wrong: list[str] = []
        noted: Counter[tuple[str, str]] = Counter()
        for held in written(self.bench.objects, "data", "flights/refolded/events").values():
            for note in held:
                for name in note["aggregates"]:
                    noted[name, note["_event_id"]] += 1
                    add(expected, name, note["event"])
        wrong += [
            f"{event} is noted {count} times for {name}"
            for (name, event), count in noted.items()
            if count > 1 or event not in lacking[name]
        ]
        for held in written(self.bench.objects, "data", "archive").values():
            for event in held:
                for name, ids in lacking.items():
                    if event["_event_id"] not in ids:
                        add(expected, name, event)
        if self.bench.results() != expected:
            wrong.append(f"the results are {self.bench.results()}\nand should be {expected}")
        return wrong

    def wrong_envelopes(self) -> list[str]:
        lines = [line for line in self.bench.quarantined if line["stage"] == "aggregate"]
        found = Counter((line["event"]["_event_id"], line["where"]) for line in lines)
        return [f"{envelope} stands {count} times" for envelope, count in found.items() if count > 1]


def add(results: dict[tuple[str, str, str], dict[str, int]], name: str, event: dict[str, Any]) -> None:
    start = event["t"] // 60 * 60
    group = f"[{event['p']}]" if name == "sums" else "[]"
    at = (name, Window(start, start + 60).id, group)
    found = results.setdefault(at, {"events": 0, "sum": 0} if name == "sums" else {"events": 0})
    found["events"] += 1
    if name == "sums":
        found["sum"] += event["v"]


@pytest.mark.parametrize("block", range(BLOCKS))
def test_however_it_goes_every_event_is_folded_once(block: int) -> None:
    size = SCHEDULES // BLOCKS
    failed = {}
    for seed in range(block * size, (block + 1) * size):
        schedule = Aggregated(seed)
        schedule.run()
        if wrong := schedule.wrong():
            failed[seed] = "\n".join([*wrong, "", *schedule.log])
    assert [f"seed {seed}:\n{told}" for seed, told in failed.items()][:1] == []


class NotesNothing(Redriver):
    """Leaves no note of what it folded of the quarantine."""

    def _kept(self, unit: Any, choice: Any, rejections: Any, part: Fold, number: int) -> Any:
        part.noted = []
        return super()._kept(unit, choice, rejections, part, number)


class ReadsNoNotes(Redriver):
    """Folds again what an earlier replay has folded."""

    def _look_up(self, *arguments: Any) -> Held:
        held = super()._look_up(*arguments)
        held.refolded = {}
        return held


@pytest.mark.parametrize("kind", [NotesNothing, ReadsNoNotes])
def test_a_redriver_with_one_part_left_out_is_caught(kind: type[Redriver]) -> None:
    for seed in range(300):
        schedule = Aggregated(seed, kind)
        schedule.run()
        if schedule.wrong():
            return
    pytest.fail("nothing was found")
