# ruff: noqa: S608 - names of the tests' own
"""Loads whose connection breaks: at every statement, on the wire, at the server; and loads at once. Each row once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest
from boto3 import Session

from aetherstream.errors import Retryable
from aetherstream.loader.connection import Connection
from aetherstream.loader.entry import APPLICATION, connector
from aetherstream.loader.parts import Loaded
from aetherstream.local.redshift import LocalRedshift
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.sql import Style
from tests.loader.cut import Cut, What
from tests.loader.microburst import Microburst
from tests.loader.sql_bench import SECONDS, Bench, Breaks, Row, event, summary
from tests.redshift_fixture import Objects
from tests.warehouse.contracts import flights, upserting

pytestmark = pytest.mark.integration


LONGER = (1.5, 3.0, 6.0, 12.0, 24.0)
"""Seconds of a call that is to come as far as to what hangs, also on a slow machine."""


def soon(_: float) -> None:
    """A pause that is none."""


def kept_by(how: str, schema: str) -> tuple[Contract, Style]:
    if how == "append":
        return flights(schema=schema), "merge"
    return upserting(schema=schema), "merge" if how == "merge" else "delete_insert"


def three(number: int) -> list[Row]:
    """Events of their own: two of one key, one of another."""
    a, b = f"{number}a", f"{number}b"
    return [event(10 * number + 1, a, 1), event(10 * number + 2, b, 1), event(10 * number + 3, a, 2)]


def ids_of(how: str, numbers: int) -> list[str]:
    wanted = [found["_event_id"] for number in range(1, numbers + 1) for found in three(number)[how != "append" :]]
    return sorted(wanted)


@pytest.mark.parametrize("how", ["append", "merge", "delete_insert"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_load_that_breaks_at_any_statement_is_done_once_by_the_next(
    bench: Bench, when: Literal["before", "after"], how: str
) -> None:
    contract, style = kept_by(how, bench.schema)
    healthy = bench.ready(contract, style=style)
    target = bench.target(contract, style=style)
    number, broke = 0, True
    while broke:
        number += 1
        staged = bench.stage(three(number), contract)
        breaks = Breaks(number, when)
        broken = bench.warehouse(target, breaks.over(connector(target.warehouse, Session())), tries=1)
        try:
            broken.load(bench.load(staged), SECONDS)
        except Retryable:
            assert breaks.broke
        else:
            broke = False
        again = healthy.load(bench.load(staged), SECONDS)
        assert again.fresh | set(again.known) == {staged.location}
        assert bench.ids() == ids_of(how, number)
        counted = bench.run(f'SELECT COUNT(*), COUNT(DISTINCT object) FROM "{bench.schema}".aetherstream_loads')
        assert counted == [[number, number]]
    assert number > 10


def test_a_manifest_that_can_not_be_written_leaves_nothing_behind(bench: Bench) -> None:
    warehouse = bench.ready()
    staged = bench.stage([event(1)], name="a")

    def put() -> None:
        raise Retryable("S3 is away")

    with pytest.raises(Retryable, match="S3 is away"):
        warehouse.load(bench.load(staged, put=put), SECONDS)
    # The lock is free, for others too.
    assert summary(bench.warehouse().load(bench.load(staged), 5.0)) == (["a"], [], 1)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_load_that_breaks_at_any_statement_is_finished_in_the_same_call(
    bench: Bench, when: Literal["before", "after"]
) -> None:
    contract, style = kept_by("merge", bench.schema)
    bench.ready(contract, style=style)
    target = bench.target(contract, style=style)
    number, broke = 0, True
    while broke:
        number += 1
        staged = bench.stage(three(number), contract, name=f"o{number}")
        breaks = Breaks(number, when)
        warehouse = bench.warehouse(target, breaks.over(connector(target.warehouse, Session())), sleep=soon)
        # Also where the commit was done and its answer lost: it was loaded now.
        assert summary(warehouse.load(bench.load(staged), SECONDS)) == ([f"o{number}"], [], 3)
        broke = breaks.broke
    assert bench.ids() == ids_of("merge", number)


@pytest.mark.parametrize("what", ["answer", "work"])
@pytest.mark.parametrize("sql", ["^COPY", "^commit", "^MERGE", "^LOCK", "aetherstream_loads"])
def test_a_connection_that_breaks_on_the_wire_leaves_each_row_once(bench: Bench, what: What, sql: str) -> None:
    contract, style = kept_by("merge", bench.schema)
    bench.ready(contract, style=style)
    staged = bench.stage(three(1), contract, name="a")
    with Cut(bench.server.host, bench.server.port, what, sql) as cut:
        warehouse = bench.warehouse(bench.target(contract, port=cut.port), sleep=soon)
        assert summary(warehouse.load(bench.load(staged), SECONDS)) == (["a"], [], 3)
        assert cut.fired.is_set()
    assert bench.ids() == ids_of("merge", 1)


@pytest.mark.parametrize("sql", ["^COPY", "^commit"])
def test_a_way_that_goes_without_a_word_costs_the_time_of_one_call(bench: Bench, sql: str) -> None:
    contract, style = kept_by("merge", bench.schema)
    bench.ready(contract, style=style)
    staged = bench.stage(three(1), contract, name="a")
    with Cut(bench.server.host, bench.server.port, "silence", sql) as cut:
        warehouse = bench.warehouse(bench.target(contract, port=cut.port), sleep=soon)
        for seconds in LONGER:
            with pytest.raises(Retryable):
                warehouse.load(bench.load(staged), seconds)
            if cut.fired.is_set():
                break
        assert cut.fired.is_set()
        loaded = warehouse.load(bench.load(staged), SECONDS)
    assert loaded.fresh | set(loaded.known) == {staged.location}
    assert bench.ids() == ids_of("merge", 1)


def test_a_session_that_lives_on_at_the_server_does_not_hold_up_the_next_attempt(bench: Bench) -> None:
    contract, style = kept_by("append", bench.schema)
    bench.ready(contract, style=style)
    staged = bench.stage(three(1), contract, name="a")
    # The server goes on with its transaction, which holds the lock, and nobody will ever end it.
    with Cut(bench.server.host, bench.server.port, "work", "^COPY") as cut:
        warehouse = bench.warehouse(bench.target(contract, port=cut.port), sleep=soon)
        assert summary(warehouse.load(bench.load(staged), 20.0)) == (["a"], [], 3)
    assert bench.ids() == ids_of("append", 1)


RULES: dict[str, dict[str, Any]] = {
    "reset at the commit": {"sql": "^commit", "reset": True},
    "killed in COPY": {
        "sql": "^COPY",
        "error": {"sqlstate": "57P01", "severity": "FATAL", "message": "terminating connection"},
    },
    "hanging COPY": {"sql": "^COPY", "timeout": True},
    "conflict at the commit": {
        "sql": "^commit",
        "error": {"sqlstate": "57P02", "severity": "PANIC", "message": "the server crashed"},
    },
    "too many connections": {
        "operation": "startup",
        "error": {"sqlstate": "53300", "severity": "FATAL", "message": "too many connections"},
    },
}


@pytest.mark.parametrize("fault", RULES)
def test_what_microburst_does_to_a_load_leaves_each_row_once(bench: Bench, fault: str) -> None:
    contract, style = kept_by("append", bench.schema)
    bench.ready(contract, style=style)
    staged = bench.stage(three(1), contract, name="a")
    with Microburst(bench.server.host, bench.server.port) as proxy:
        proxy.obey({"service": "postgres", **RULES[fault]})
        warehouse = bench.warehouse(bench.target(contract, port=proxy.port), tries=2, sleep=soon)
        for seconds in LONGER:
            with pytest.raises(Retryable):
                warehouse.load(bench.load(staged), seconds)
            if proxy.fired():
                break
        assert proxy.fired() != []
        assert bench.ids() == []
        proxy.obey()
        assert summary(warehouse.load(bench.load(staged), SECONDS)) == (["a"], [], 3)
    assert bench.ids() == ids_of("append", 1)


def test_a_server_that_ends_the_session_in_a_load_is_asked_again(bench: Bench) -> None:
    contract, style = kept_by("append", bench.schema)
    warehouse = bench.ready(contract, style=style, sleep=soon)
    staged = bench.stage(three(1), contract, name="a")
    kills = iter([True, True, False])

    def kill() -> None:
        if next(kills):
            ended = bench.run(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{APPLICATION}'"
                f" AND state = 'idle in transaction' AND query LIKE '%{bench.schema}%'"
            )
            assert [True] in ended

    assert summary(warehouse.load(bench.load(staged, put=kill), SECONDS)) == (["a"], [], 3)
    assert bench.ids() == ids_of("append", 1)
    assert next(kills, None) is None


@pytest.mark.parametrize("how", ["append", "merge"])
def test_loads_at_once_of_the_same_objects_bring_each_row_once(bench: Bench, how: str) -> None:
    load_at_once(bench, how)


def load_at_once(bench: Bench, how: str) -> None:
    contract, style = kept_by(how, bench.schema)
    bench.ready(contract, style=style)
    staged = [bench.stage(three(number), contract) for number in range(1, 9)]
    start = threading.Barrier(4)

    def work(first: int) -> frozenset[str]:
        warehouse = bench.warehouse(bench.target(contract, style=style))
        start.wait()
        fresh: frozenset[str] = frozenset()
        for part in (staged[first : first + 3], staged[first + 1 : first + 5]):
            fresh |= warehouse.load(bench.load(*part), SECONDS).fresh
        return fresh

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    assert sorted(where for fresh in found for where in fresh) == sorted(each.location for each in staged)
    assert bench.ids() == ids_of(how, 8)
    assert bench.run(f'SELECT COUNT(*) FROM "{bench.schema}".aetherstream_loads') == [[8]]


class Early:
    """A connection whose transactions have their snapshot before the lock; and another load is done between the two."""

    def __init__(self, connection: Connection, between: Iterator[Callable[[], object]]) -> None:
        self._connection = connection
        self._between = between

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def run(self, query: Any, /) -> Any:
        if getattr(query, "sql", "").startswith("LOCK"):
            self._connection.run("SELECT 1")
            for work in self._between:
                work()
                break
        return self._connection.run(query)


def test_a_load_whose_snapshot_is_older_than_its_lock_conflicts_by_its_turn(bench: Bench) -> None:
    contract, style = kept_by("append", bench.schema)
    other = bench.ready(contract, style=style)
    target = bench.target(contract)
    staged = [bench.stage(three(number), contract, name=f"o{number}") for number in range(1, 5)]
    connect = connector(target.warehouse, Session())
    others: list[Loaded] = []
    pauses: list[float] = []

    def between() -> Iterator[Callable[[], object]]:
        yield lambda: others.append(other.load(bench.load(*staged[:2]), SECONDS))

    once = between()
    warehouse = bench.warehouse(target, lambda seconds: Early(connect(seconds), once), sleep=pauses.append)
    assert summary(warehouse.load(bench.load(*staged[1:]), SECONDS)) == (["o3", "o4"], ["o2"], 6)
    assert [summary(found) for found in others] == [(["o1", "o2"], [], 6)]
    assert len(pauses) == 1
    assert bench.ids() == ids_of("append", 4)


@pytest.mark.parametrize("how", ["append", "merge"])
def test_loads_at_once_are_exact_under_serializable_isolation_too(
    tmp_path: Path, bucket: tuple[str, str], objects: Objects, how: str
) -> None:
    with LocalRedshift(tmp_path, s3_endpoint=bucket[0], isolation="serializable") as server:
        bench = Bench(server, objects, f"serial_{how}", server.login)
        bench.run(f"CREATE SCHEMA {bench.schema}")
        load_at_once(bench, how)
        bench.close()


def test_a_load_waits_no_longer_than_it_may_for_the_one_before(bench: Bench) -> None:
    warehouse = bench.ready()
    staged = bench.stage([event(1)], name="a")
    waiting = bench.warehouse()
    waiting.known(["x"], SECONDS)
    found: list[str] = []

    def wait() -> None:
        with pytest.raises(Retryable, match=r"wait for the load before.*cancelled because no time was left") as error:
            waiting.load(bench.load(staged), 1.0)
        found.append(str(error.value))

    assert summary(warehouse.load(bench.load(staged, put=wait), SECONDS)) == (["a"], [], 1)
    assert len(found) == 1
    # Its connection is as good as before.
    assert summary(waiting.load(bench.load(staged), SECONDS)) == ([], ["a"], 0)
