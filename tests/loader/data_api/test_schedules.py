"""Loads through the Data API under random faults: in the end each row is there once, and each bad object set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest
from botocore.exceptions import ClientError

from aetherstream.errors import Retryable
from aetherstream.loader.data_api import DataApiWarehouse
from aetherstream.loader.parts import CopyFailed, Staged
from aetherstream.testing.loads import MemoryLoads
from tests.data_api_fixture import client_of
from tests.loader.data_api.bench import Crash, DataBench, Steps, held, soon
from tests.loader.sql_bench import event

pytestmark = pytest.mark.integration

SECONDS = 20.0
STEPS = 12
TRIES = 60
POISON = b'{"_event_id":"p:1:0","flight_id":"a","updated_at":"2013-01-01 00:00:00","origin":"TOOLONG"}\n'


class Schedule:
    """Random objects, loaded by processes that meet random faults."""

    def __init__(self, bench: DataBench, seed: int) -> None:
        self.bench = bench
        self.random = Random(seed)
        self.good: list[Staged] = []
        self.bad: list[Staged] = []
        self.told: list[str] = []
        """Locations that a process was told to have loaded."""
        self.new: list[Staged] = []
        """Of the present step."""
        self._number = 0

    @property
    def all(self) -> list[Staged]:
        return [*self.good, *self.bad]

    def stage(self) -> Staged:
        """One more object: nearly always one that can be loaded."""
        self._number += 1
        kind = self.random.random()
        made = self.bench.put(POISON, 1) if kind < 0.1 else self.bench.stage([event(self._number)])
        if 0.1 <= kind < 0.16:
            made = replace(made, rows=2)  # Redshift says nothing of such a one
        (self.bad if kind < 0.16 else self.good).append(made)
        return made

    def some(self) -> list[Staged]:
        """What messages announce: what is new, or anything, also what was loaded long since."""
        choice = self.random.choice([self.all, self.new])
        return self.random.sample(choice, min(len(choice), self.random.randint(1, 6)))

    def step(self) -> None:
        """New objects, and one fault, or none."""
        self.new = [self.stage() for _ in range(self.random.randint(1, 4))]
        faults: list[Callable[[], None]] = [self.calm, self.crash, self.lose, self.outlast, self.cancel, self.meet]
        self.random.choice([*faults, self.forget])()

    def process(self, warehouse: DataApiWarehouse, objects: Sequence[Staged]) -> None:
        """Load as the loader does, and set aside what it is told; a fault ends it."""
        left = list(objects)
        with suppress(Retryable, Crash):
            while left:
                try:
                    self.told += warehouse.load(self.bench.load(*left), SECONDS).fresh
                except CopyFailed as error:
                    named = {detail.location for detail in error.details}
                    assert named <= {each.location for each in left}
                    warehouse.set_aside({each: "bad" for each in left if each.location in named}, "n", SECONDS)
                    left = [each for each in left if each.location not in named]
                else:
                    return

    def calm(self) -> None:
        self.process(self.bench.through(sleep=soon), self.some())

    def crash(self) -> None:
        steps = Steps(self.random.randint(1, 18), after=self.random.random() < 0.5)
        client, memories = steps.client(self.bench.client), steps.memories(self.bench.memories)
        self.process(self.bench.through(client=client, memories=memories, sleep=soon), self.some())

    def lose(self) -> None:
        steps = Steps(self.random.randint(1, 14), after=self.random.random() < 0.5, lost=True)
        self.process(self.bench.through(client=steps.client(self.bench.client), sleep=soon), self.some())

    def outlast(self) -> None:
        with held(self.bench):
            self.process(self.bench.through(patience=0.0, sleep=soon), self.some())

    def cancel(self) -> None:
        with held(self.bench):
            self.process(self.bench.through(patience=0.0, sleep=soon), self.some())
            running = self.bench.memory.running
            if running is not None and running.statement:
                with suppress(ClientError):  # it may be over, or forgotten
                    self.bench.client.cancel_statement(Id=running.statement)

    def forget(self) -> None:
        self.process(self.bench.through(patience=0.0, sleep=soon), self.some())
        self.bench.api.stop()
        self.bench.api.start()

    def meet(self) -> None:
        memories = [self.bench.memories, self.random.choice([self.bench.memories, MemoryLoads()])]
        part = self.some()
        parts = [part, self.random.choice([part, self.some()])]

        def one(index: int) -> None:
            client = client_of(self.bench.api)
            self.process(self.bench.through(client=client, memories=memories[index], sleep=soon), parts[index])

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, range(2)))

    def finish(self) -> dict[str, str]:
        """Announce what is not settled until everything is; the state of each object."""
        warehouse = self.bench.through(sleep=soon)
        for _ in range(TRIES):
            known = warehouse.known([each.location for each in self.all], SECONDS)
            left = [each for each in self.all if each.location not in known]
            if not left:
                return {location: entry.state for location, entry in known.items()}
            # Something always loads: else nobody could tell a bad object from a bad world.
            self._number += 1
            self.good.append(self.bench.stage([event(self._number)]))
            self.process(warehouse, [*left, self.good[-1]])
        raise AssertionError(f"not settled after {TRIES} calls: {left}")


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_each_row_is_there_once_and_each_fault_set_aside(bench: DataBench, seed: int) -> None:
    bench.made()
    schedule = Schedule(bench, seed)
    for _ in range(STEPS):
        schedule.step()
    states = schedule.finish()
    wanted = {each.location: "loaded" for each in schedule.good} | {each.location: "failed" for each in schedule.bad}
    assert (states, bench.entries()) == (wanted, len(wanted))
    ids = bench.ids()
    assert (len(ids), len(set(ids))) == (len(schedule.good),) * 2
    assert len(schedule.told) == len(set(schedule.told))
