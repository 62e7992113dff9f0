"""How often and how long a load is tried, by a clock of the test's own; nothing is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from aetherstream.errors import ConfigurationError, Retryable
from aetherstream.loader.connection import Connection
from aetherstream.loader.failures import Lost, Refused
from aetherstream.loader.ledger import Query
from aetherstream.loader.sql_warehouse import SqlWarehouse
from aetherstream.objects import Target
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions
from tests.warehouse.contracts import flights

TARGET = LoadTarget("w", flights(), Target("b", "p", "ndjson.gz"), WarehouseOptions("127.0.0.1", "dev"))
CONFLICT = Refused({"C": "XX000", "M": "1023", "D": "Serializable isolation violation on table"})


class Fake:
    """A connection on which a statement costs a second, and ends as it is told."""

    pid: int | None = None

    def __init__(self, world: World) -> None:
        self._world = world
        self._due = 0.0
        self.born = self.used = world.now

    def allow(self, seconds: float, /) -> None:
        self._world.allowed.append(seconds)
        self._due = self._world.now + seconds

    def run(self, query: str | Query, /) -> list[Sequence[Any]]:
        self._world.now = min(self._world.now + 1.0, self._due)
        self.used = self._world.now
        end = self._world.ends()
        if end is not None:
            raise end
        return []

    def change(self, query: str | Query, /) -> int:
        self.run(query)
        return 1

    def alone(self, sql: str, /) -> None:
        self.run(sql)

    def commit(self) -> None:
        self.run("commit")

    def rollback(self) -> None:
        self._world.rollbacks += 1

    def close(self) -> None:
        self._world.closed += 1


class World:
    """Time, and what was done in it."""

    def __init__(self, *ends: Exception | None, random: float = 1.0) -> None:
        left = iter(ends)
        self.ends: Callable[[], Exception | None] = lambda: next(left, None)
        self.now = 0.0
        self.rollbacks = self.closed = self.opened = 0
        self.allowed: list[float] = []
        self.pauses: list[float] = []
        self.warehouse = SqlWarehouse(
            TARGET, self.connect, clock=lambda: self.now, sleep=self.sleep, random=lambda: random
        )

    def connect(self, seconds: float) -> Connection:
        self.opened += 1
        return Fake(self)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_a_conflict_is_tried_again_on_the_same_connection_after_growing_pauses() -> None:
    world = World(CONFLICT, CONFLICT, CONFLICT)
    assert world.warehouse.known(["x"], 60.0) == {}
    assert (world.opened, world.closed, world.rollbacks) == (1, 0, 4)
    assert world.pauses == [0.2, 0.4, 0.8]


def test_pauses_are_at_random_up_to_their_length() -> None:
    world = World(CONFLICT, CONFLICT, random=0.25)
    world.warehouse.known(["x"], 60.0)
    assert world.pauses == [0.05, 0.1]


def test_a_lost_connection_is_replaced() -> None:
    world = World(Lost("gone"), Lost("gone"))
    assert world.warehouse.known(["x"], 60.0) == {}
    assert (world.opened, world.closed) == (3, 2)


@pytest.mark.parametrize("end", [CONFLICT, Lost("gone")])
def test_it_is_given_up_after_six_times(end: Exception) -> None:
    world = World(*[end] * 99)
    with pytest.raises(Retryable):
        world.warehouse.known(["x"], 600.0)
    assert world.pauses == [0.2, 0.4, 0.8, 1.6, 3.2]


def test_it_is_given_up_before_the_time_is_over() -> None:
    world = World(*[Lost("gone")] * 99)
    with pytest.raises(Retryable, match="gone"):
        world.warehouse.known(["x"], 3.0)
    assert world.now <= 3.0
    assert world.allowed == pytest.approx([3.0, 1.8, 0.4])


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("42501", "permission denied for relation x", ConfigurationError),
        ("53300", "too many connections", Retryable),
        ("57014", "cancelled", Retryable),
    ],
)
def test_anything_else_is_not_tried_again(code: str, message: str, kind: type[Exception]) -> None:
    world = World(Refused({"C": code, "M": message}))
    with pytest.raises(kind, match=f"read the ledger: {message}"):
        world.warehouse.known(["x"], 60.0)
    assert (world.pauses, world.rollbacks) == ([], 1)


def test_no_time_is_no_attempt() -> None:
    world = World()
    with pytest.raises(Retryable, match="no time is left"):
        world.warehouse.known(["x"], 0.0)
    assert world.opened == 0
