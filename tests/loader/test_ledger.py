"""The ledger's statements and rows, and a connection that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.loader.connection import IDLE_SECONDS, LIFETIME, Kept
from aetherstream.loader.failures import Lost
from aetherstream.loader.ledger import MOST_ERROR, Ledger, Query, cut, entry, totals
from aetherstream.loader.parts import Entry, Totals
from tests.warehouse.contracts import flights, upserting
from tests.warehouse.test_sql import ATTACKS, outside_of_quotes


@given(st.lists(st.text() | st.sampled_from(ATTACKS), min_size=1, max_size=3))
def test_nothing_that_is_noted_stands_in_a_statement(texts: list[str]) -> None:
    ledger = Ledger(flights())
    plain, attacked = (
        [
            *ledger.known(found),
            *ledger.forget(found),
            *ledger.add(found[0], [Entry(each, each, "failed", "", 0.0, 1, each) for each in found]),
        ]
        for found in (["x" for _ in texts], [each or "x" for each in texts])
    )
    if all(cut(each) for each in texts):
        assert [query.sql for query in attacked] == [query.sql for query in plain]


def test_many_objects_are_named_in_parts() -> None:
    ledger = Ledger(flights())
    locations = [f"b/{number}" for number in range(1201)]
    queries = list(ledger.known(locations))
    assert [len(query.parameters) - 1 for query in queries] == [500, 500, 201]
    assert [value for query in queries for name, value in query.parameters.items() if name != "target"] == locations


def test_a_table_is_noted_by_what_tells_its_rows_apart() -> None:
    assert (Ledger(flights()).mode, Ledger(upserting()).mode) == ("append", "upsert flight_id by updated_at")
    first, again = Ledger(upserting()).note(again=False), Ledger(upserting()).note(again=True)
    assert outside_of_quotes(first).startswith('INSERT INTO ""."" ("", "", "") SELECT')
    assert again == (
        'UPDATE "analytics"."aetherstream_tables" SET "mode" = \'upsert flight_id by updated_at\''
        " WHERE \"target\" = 'flights'"
    )


def test_rows_are_read() -> None:
    assert entry(("b/k", "e", "failed", "l", 12, 3, "why")) == Entry("b/k", "e", "failed", "l", 12.0, 3, "why")
    assert totals([]) == Totals()
    assert totals([("loaded", 2, 30, 99), ("failed", 1, None, 98)]) == Totals(2, 30, 1, 99.0)


@given(st.text(st.characters(codec=None)))
def test_an_error_is_kept_as_valid_text_of_so_many_bytes(text: str) -> None:
    for found in (cut(text), cut(text * 5000)):
        assert len(found.encode()) <= MOST_ERROR
        assert "\0" not in found


class Fake:
    """A connection that can be told to break."""

    def __init__(self, number: int, now: float) -> None:
        self.pid: int | None = number
        self.born = self.used = now
        self.said: list[str] = []
        self.broken = False

    def allow(self, seconds: float, /) -> None:
        self.said.append(f"allow {seconds:g}")

    def run(self, query: str | Query, /) -> list[Sequence[Any]]:
        self.said.append(str(query))
        if self.broken:
            raise Lost("gone")
        return []

    def change(self, query: str | Query, /) -> int:
        raise NotImplementedError

    def alone(self, sql: str, /) -> None:
        raise NotImplementedError

    def commit(self) -> None:
        raise NotImplementedError

    def rollback(self) -> None:
        self.said.append("rollback")

    def close(self) -> None:
        self.said.append("close")


class World:
    """A clock, and the connections that were made."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made: list[Fake] = []
        self.kept = Kept(self.connect, lambda: self.now)

    def connect(self, seconds: float) -> Fake:
        self.made.append(Fake(len(self.made) + 1, self.now))
        return self.made[-1]


@pytest.fixture
def world() -> World:
    return World()


def test_a_connection_is_kept_and_not_asked_while_it_is_warm(world: World) -> None:
    first = world.kept.get(60)
    world.now = IDLE_SECONDS
    assert world.kept.get(30) is first
    assert world.made[0].said == ["allow 60", "allow 30"]


def test_a_connection_that_was_idle_is_asked_first(world: World) -> None:
    first = world.kept.get(60)
    world.now = IDLE_SECONDS + 1
    assert world.kept.get(30) is first
    assert world.made[0].said == ["allow 60", "allow 5", "SELECT 1", "rollback", "allow 30"]


def test_a_connection_that_does_not_answer_is_replaced(world: World) -> None:
    world.kept.get(60)
    world.made[0].broken = True
    world.now = IDLE_SECONDS + 1
    assert world.kept.get(30) is world.made[1]
    assert world.made[0].said[-1] == "close"
    # Its session was idle: it is left to the server, for its number may be another's by now.
    assert world.made[1].said == ["allow 30"]


def test_an_old_connection_is_replaced(world: World) -> None:
    world.kept.get(60)
    world.now = world.made[0].used = LIFETIME + 1
    assert world.kept.get(30) is world.made[1]
    assert (world.made[0].said[-1], world.made[1].said) == ("close", ["allow 30"])


def test_a_lost_session_is_ended_once(world: World) -> None:
    world.kept.get(60)
    world.kept.lost()
    world.kept.get(60)
    world.kept.get(60)
    assert [said for each in world.made for said in each.said if "terminate" in said] == [
        "SELECT pg_terminate_backend(1)"
    ]
