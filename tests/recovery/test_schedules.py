"""Random schedules of live batches, dead letters and redrives, all of which go wrong in every way; then all is checked.

A process that is in the middle of its work may meet any other one there: its effects are where others run.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from aetherstream.aggregation import ShardCommit
from aetherstream.core import Core
from aetherstream.delivery.progress import Progress
from aetherstream.delivery.put import Missing, PreconditionFailed
from aetherstream.delivery.reader import Listed
from aetherstream.errors import Retryable
from aetherstream.records import Events, KinesisRecords, sortable
from aetherstream.recovery.held import Held
from aetherstream.recovery.lease import HeldLease, Leases
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.suspects import Suspected
from aetherstream.sinks.base import ObjectSink
from aetherstream.sinks.s3 import by_field
from aetherstream.testing.builders import SHARD, JsonLists, event_ids_of, kinesis_records, written
from tests.engine.harness import Steps, archive
from tests.recovery.redriving import Effects, Killed, LandsLate, Recovery

SCHEDULES = int(os.environ.get("REDRIVE_SCHEDULES", "400"))
BLOCKS = 8
KINDS = ("plain", "plain", "plain", "split", "drop", "reject", "changing", "list")


class Changing(Steps):
    """Version v2 refuses what v1 lets through."""

    def __init__(self, version: str) -> None:
        self._version = version

    def apply(self, events: Any, rejections: Any, timings: Any = None, /) -> int:
        for value in events.values:
            if value.get("do") == "changing":
                value["do"] = "reject" if self._version == "v2" else "plain"
        return super().apply(events, rejections, timings)


class Schedule:
    """One shard's life, drawn from a seed."""

    def __init__(self, seed: int, kind: type[Redriver] = Redriver) -> None:
        self.kind = kind
        self.rng = random.Random(seed)
        self.bench = Recovery()
        self.version = "v1"
        self.calm = False
        self.depth = 0
        self.people = 0
        self.late: list[Any] = []
        self.log: list[str] = []
        self.fates: dict[str, set[str] | None] = {}
        """By user record: the event ids that it makes; None where it is dropped."""
        self.stream = kinesis_records([self.payload(index) for index in range(self.rng.randint(4, 12))])
        self.at = 0
        self.letters: list[KinesisRecords] = []
        self.replayed: set[str] = set()
        """Ids of the envelopes that somebody tried to replay: their records may stand in a sink, too."""

    def payload(self, index: int) -> object:
        made: list[dict[str, object]] = []
        kind = self.rng.choice(KINDS)
        sequence = 100 + 10 * index
        for sub in range(2 if kind == "list" else 1):
            do = self.rng.choice(KINDS[:-1]) if kind == "list" else kind
            name = f"{SHARD}:{sequence}:{sub}"
            self.fates[name] = None if do == "drop" else {name, f"{name}:1"} if do == "split" else {name}
            made.append({"p": self.rng.randint(1, 2), "q": self.rng.randint(1, 2), "do": do})
        return made if kind == "list" else made[0]

    # -- What happens ------------------------------------------------------------------------------------------------

    def effects(self) -> Effects:
        effects = Effects(late=self.late)
        rate = self.rng.choice((0.02, 0.1, 0.25))

        def before(number: int) -> None:
            if self.calm or self.rng.random() >= rate:
                return
            fault = self.rng.choice(("killed", "late", "down", "others", "others"))
            self.note(f"{fault} before {number}")
            if fault == "killed":
                raise Killed
            if fault == "late":
                raise LandsLate
            if fault == "down":
                raise Retryable("down")
            self.others()

        def after(number: int) -> None:
            if not self.calm and self.rng.random() < rate / 3:
                self.note(f"answer lost after {number}")
                raise Retryable("time-out")

        effects.before, effects.after = before, after
        return effects

    def others(self) -> None:
        """Whatever else may happen while somebody is in the middle of his work."""
        if self.depth >= 2:
            return
        self.depth += 1
        try:
            for _ in range(self.rng.randint(1, 2)):
                self.other()()
        finally:
            self.depth -= 1

    def other(self) -> Callable[[], None]:
        actions = (self.overtake, self.overtake, self.replay, self.abandoned, self.land, self.wait, self.deploy)
        return self.rng.choice(actions)

    def note(self, what: str) -> None:
        self.log.append("  " * self.depth + what)

    def sinks(self) -> list[ObjectSink]:
        return [archive(partition=[by_field("p" if self.version == "v1" else "q")], max_partitions=2)]

    def parts(self) -> tuple[Core, Recovery]:
        sinks = self.sinks()
        watched: Any = self.bench.watched(self.effects())
        core = Core(JsonLists(), sinks=sinks, transform=Changing(self.version))
        bench = replace(self.bench, sinks=sinks, transform=Changing(self.version), objects=watched, progress=watched)
        self.bench.processes += 1
        return core, replace(bench, processes=self.bench.processes, now=self.bench.now)

    def redriver(self, bench: Recovery) -> Redriver:
        """Another person's, or that of who goes on with the last one."""
        self.people += not self.people or self.rng.random() < 0.8
        owner = f"person {self.people}"
        return bench.redriver(owner, version=self.version, clock=lambda: self.bench.now, kind=self.kind)

    def attempt(self, batch: KinesisRecords) -> str | None:
        """Run the function on a batch; gives where Lambda has to go on, None where it is done."""
        _, bench = self.parts()
        self.note(f"batch {batch.sequences[0]}-{batch.sequences[-1]} by {self.version}")
        try:
            report = bench.engine(self.version).process(batch, lambda: 900.0)
        except Killed:
            return batch.sequences[0]
        return report.failed_from

    def abandoned(self) -> None:
        """An attempt that Lambda gave up goes on; or a passed checkpoint is read again."""
        if self.letters or self.at:
            part = self.rng.choice([*self.letters, self.stream.part(0, max(self.at, 1))])
            reaches = sum(1 for s in self.stream.sequences if int(s) <= int(part.sequences[-1]))
            if reaches <= self.at:
                self.attempt(part)

    def batch(self) -> None:
        """Lambda brings the next batch until it is done, or its age is over."""
        size = self.rng.randint(1, 4)
        batch = self.stream.part(self.at, min(self.at + size, len(self.stream)))
        for _ in range(self.rng.randint(1, 2)):
            failed = self.attempt(batch)
            done = len(batch) if failed is None else batch.sequences.index(failed)
            self.at += done
            batch = batch.part(done, len(batch))
            if not len(batch):
                return
        self.at += len(batch)
        self.letters.append(batch)
        self.note(f"dead letter {batch.sequences[0]}-{batch.sequences[-1]}")

    def redrive(self) -> None:
        if not self.letters:
            return
        letter = self.rng.choice(self.letters)
        select = None
        if self.rng.random() < 0.3:
            chosen = {name for name in self.fates if self.rng.random() < 0.5}
            select = chosen.__contains__
        _, bench = self.parts()
        redriver = self.redriver(bench)
        what = "discard" if self.rng.random() < 0.05 else "redrive"
        self.note(f"{what} {letter.sequences[0]}-{letter.sequences[-1]} by {self.version}, filtered: {bool(select)}")
        with suppress(Killed, Retryable, Suspected):
            if what == "discard":
                redriver.discard(letter)
            else:
                redriver.redrive(letter, select=select, dry_run=self.rng.random() < 0.1)
            self.note("done")

    def replay(self) -> None:
        """Replay what is in the quarantine and final."""
        mark = next((item.completed for item in self.bench.progress.items.values()), "")
        names = {str(line["id"]) for line in self.bench.quarantined if sortable(line["sequence"]) <= mark}
        chosen = {name for name in names if self.rng.random() < 0.7}
        rows = [index for index, s in enumerate(self.stream.sequences) if any(n.split(":")[1] == s for n in chosen)]
        if not rows:
            return
        self.replayed |= chosen
        whole = {name for name in self.fates if name.rpartition(":")[0] in chosen}
        unit = self.stream.part(rows[0], rows[-1] + 1)
        _, bench = self.parts()
        redriver = self.redriver(bench)
        self.note(f"replay {sorted(chosen)} by {self.version}")
        with suppress(Killed, Retryable, Suspected):
            redriver.redrive(unit, origin="quarantine", select=(chosen | whole).__contains__)
            self.note("done")

    def overtake(self) -> None:
        """Redrive, often behind a lease that ran out."""
        if self.rng.random() < 0.7:
            self.bench.now += 121
        self.redrive()

    def land(self) -> None:
        if self.late:
            act = self.late.pop(self.rng.randrange(len(self.late)))
            self.note("a request lands late")
            with suppress(PreconditionFailed, Missing, Retryable):
                act()

    def wait(self) -> None:
        self.bench.now += self.rng.choice((10, 61, 121))

    def deploy(self) -> None:
        self.version = "v2" if self.version == "v1" else "v1"

    def run(self) -> None:
        while self.at < len(self.stream):
            self.batch()
            for _ in range(self.rng.randint(0, 3)):
                self.other()()
        for _ in range(self.rng.randint(0, 10)):
            self.other()()
        self.calm = True
        while self.late:
            self.land()
        for letter in self.letters:
            self.bench.now += 121
            _, bench = self.parts()
            self.redriver(bench).redrive(letter)

    # -- What must be true -------------------------------------------------------------------------------------------

    def wrong(self) -> list[str]:
        archived = Counter(event_ids_of(written(self.bench.objects, "data", "archive")))
        quarantined = Counter(line["id"] for line in self.bench.quarantined if line["stage"] != "aggregate")
        counts = [*archived.items(), *quarantined.items()]
        found = [f"{name} stands {count} times" for name, count in counts if count > 1]
        for name, events in self.fates.items():
            refused = quarantined[name] + quarantined[name.rpartition(":")[0]]
            stand = {event for event in archived if f"{event}:".startswith(f"{name}:")}
            if events is None:
                if stand or quarantined[name]:
                    found.append(f"{name} was to be dropped, and stands")
            elif refused and stand and not {name, name.rpartition(":")[0]} & self.replayed:
                found.append(f"{name} stands in the quarantine and in a sink")
            elif not refused and stand != events:
                found.append(f"{name} stands as {sorted(stand)}, not {sorted(events)}")
        item = next(iter(self.bench.progress.items.values()))
        told = item.counters.get("archive.delivered", 0) + item.redriven.get("archive.delivered", 0)
        if not item.redrive_keys and told != sum(archived.values()):
            found.append(f"the totals tell of {told} events in the archive, and {sum(archived.values())} stand there")
        if item.lease is not None and self.letters:
            found.append(f"the lease was kept: {item.lease}")
        return found


@pytest.mark.parametrize("block", range(BLOCKS))
def test_however_it_goes_every_event_stands_once_in_the_end(block: int) -> None:
    size = SCHEDULES // BLOCKS
    failed = {}
    for seed in range(block * size, (block + 1) * size):
        schedule = Schedule(seed)
        schedule.run()
        if wrong := schedule.wrong():
            failed[seed] = "\n".join([*wrong, "", *schedule.log])
    assert [f"seed {seed}:\n{told}" for seed, told in failed.items()][:1] == []


class ForgetsTheUnfinished(Redriver):
    """Leaves what an unfinished redrive put."""

    def _empty_unfinished(self, lease: HeldLease, *arguments: Any) -> None:
        lease.write(lambda item: replace(item, redrive_keys=()))


class EmptiesNothing(Redriver):
    """Moves the mark, and leaves what unfinished attempts put."""

    def _empty(self, *arguments: Any) -> None:
        pass


class LeavesTheMark(Redriver):
    """Lets attempts that go on find the unit unsettled."""

    def _pass(self, *arguments: Any) -> None:
        pass


class LooksNowhere(Redriver):
    """Delivers whether or not it stands somewhere."""

    def _look_up(self, *arguments: Any) -> Held:
        return Held()


class LooksWhereTodaysPipelinePuts(Redriver):
    """Does not see what another version put elsewhere."""

    def _look_up(self, unit: KinesisRecords, excluded: Any, between: Any) -> Held:
        elsewhere = "q=" if "p=" in self._core.sinks[0].partition(Events([{"p": 1}], [0], [0]), [0])[0] else "p="
        archive, self._archive = self._archive, Blind(self._archive, f"archive/{elsewhere}")
        try:
            return super()._look_up(unit, excluded, between)
        finally:
            self._archive = archive


class NotesNoKeys(Redriver):
    """Puts without saying where."""

    def _deliver(self, lease: HeldLease, *arguments: Any) -> ShardCommit | None:
        return super()._deliver(Forgetful(lease), *arguments)  # type: ignore[arg-type]


class KeepsNoLease(Redriver):
    """Goes on when another redrive has taken the shard."""

    def __init__(self, *arguments: Any, **changes: Any) -> None:
        super().__init__(*arguments, **changes)
        self._leases = Careless(self._leases)  # type: ignore[assignment]


class Blind:
    """Does not list what stands under a prefix."""

    def __init__(self, inner: Any, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix
        self.get = inner.get

    def list(self, bucket: str, prefix: str, /) -> Iterator[Listed]:
        return (found for found in self._inner.list(bucket, prefix) if not found.key.startswith(self._prefix))


class Careless:
    """Takes leases of which the holder never asks whether they are still his."""

    def __init__(self, inner: Leases) -> None:
        self._inner = inner

    def take(self, item: Progress) -> HeldLease:
        held = self._inner.take(item)

        def write(change: Callable[[Progress], Progress]) -> Progress:
            for _ in range(20):
                stored = held._store.write(changed := replace(change(held.item), revision=held.item.revision + 1))
                held.item = stored or changed
                if stored is None:
                    break
            return held.item

        held._write = write  # type: ignore[method-assign]
        return held


class Forgetful:
    """A lease that notes nothing."""

    def __init__(self, inner: HeldLease) -> None:
        self.number = inner.number
        self.renew = inner.renew

    def write(self, change: Any) -> None:
        pass


BROKEN = [
    ForgetsTheUnfinished,
    EmptiesNothing,
    LeavesTheMark,
    LooksNowhere,
    LooksWhereTodaysPipelinePuts,
    NotesNoKeys,
    KeepsNoLease,
]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_redriver_with_one_part_left_out_is_caught(kind: type[Redriver]) -> None:
    for seed in range(3000):
        schedule = Schedule(seed, kind)
        schedule.run()
        if schedule.wrong():
            return
    pytest.fail("nothing was found")
