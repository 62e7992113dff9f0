"""Statements under a deadline, and the driver's errors as what they mean, on a driver that does as it is told."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, cast

import pytest
from redshift_connector.error import InterfaceError, ProgrammingError

from aetherstream.loader.connection import OutOfTime, WarehouseConnection
from aetherstream.loader.driver import Driver
from aetherstream.loader.failures import Lost, Refused
from aetherstream.loader.ledger import Query


class Fake:
    """The driver's connection and its cursor."""

    def __init__(self) -> None:
        self.now = 0.0
        self.autocommit = False
        self.said: list[Any] = []
        self.waits: list[float] = []
        self.fails: dict[str, Callable[[], None]] = {}
        self.rows: Sequence[Sequence[Any]] = ()
        self.rowcount = 0
        self.paramstyle = ""

    def cursor(self) -> Fake:
        return self

    @property
    def description(self) -> Sequence[Any]:
        return self.rows

    def execute(self, sql: str, parameters: Any) -> None:
        mode = "alone: " if self.autocommit else ""
        self.said.append(f"{mode}{sql}" if parameters is None else (sql, self.paramstyle, parameters))
        if sql in self.fails:
            self.fails[sql]()

    def fetchall(self) -> Sequence[Sequence[Any]]:
        return self.rows

    def commit(self) -> None:
        self.execute("commit", None)

    def rollback(self) -> None:
        self.execute("rollback", None)

    def wait(self, seconds: float) -> None:
        self.waits.append(round(seconds, 3))

    def close(self) -> None:
        self.said.append("goodbye")

    def hang_up(self) -> None:
        self.said.append("hang up")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""


@pytest.fixture
def driver() -> Fake:
    return Fake()


@pytest.fixture
def connection(driver: Fake) -> WarehouseConnection:
    made = WarehouseConnection(cast("Driver", driver), lambda: driver.now)
    made.allow(60.0)
    return made


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_the_server_is_to_cancel_a_statement_before_its_time_is_over(
    driver: Fake, connection: WarehouseConnection
) -> None:
    connection.run("COPY")
    assert (driver.said, driver.waits) == (["SET statement_timeout TO 59000", "COPY"], [60.0, 60.0])


def test_of_a_short_time_a_tenth_is_kept_back(driver: Fake, connection: WarehouseConnection) -> None:
    connection.allow(2.0)
    connection.run("COPY")
    assert driver.said == ["SET statement_timeout TO 1800", "COPY"]


def test_the_limit_follows_the_time_that_is_left(driver: Fake, connection: WarehouseConnection) -> None:
    connection.run("first")
    driver.now = 0.4
    connection.run("soon")
    driver.now = 30.0
    connection.run("late")
    assert driver.said == [
        "SET statement_timeout TO 59000",
        "first",
        "soon",
        "SET statement_timeout TO 29000",
        "late",
    ]
    assert driver.waits == [60.0, 60.0, 59.6, 30.0, 30.0]


def test_a_limit_that_was_taken_back_is_set_again(driver: Fake, connection: WarehouseConnection) -> None:
    connection.run("first")
    connection.rollback()
    connection.run("second")
    assert driver.said[3:] == ["SET statement_timeout TO 59000", "second"]


@pytest.mark.parametrize("what", ["run", "commit", "alone"])
def test_nothing_is_sent_when_no_time_is_left(driver: Fake, connection: WarehouseConnection, what: str) -> None:
    driver.now = 60.0
    work: dict[str, Callable[[], object]] = {
        "run": lambda: connection.run("x"),
        "commit": connection.commit,
        "alone": lambda: connection.alone("x"),
    }
    with pytest.raises(OutOfTime):
        work[what]()
    assert [said for said in driver.said if said != "rollback"] == []


def test_parameters_are_named(driver: Fake, connection: WarehouseConnection) -> None:
    connection.run(Query("SELECT :a", {"a": "1"}))
    assert driver.said[-1] == ("SELECT :a", "named", {"a": "1"})


def test_a_statement_that_stands_alone_leaves_transactions_as_the_rule(
    driver: Fake, connection: WarehouseConnection
) -> None:
    driver.fails["ALTER"] = raising(ProgrammingError({"S": "ERROR", "C": "42501", "M": "no"}))
    with pytest.raises(Refused):
        connection.alone("ALTER")
    assert driver.said == ["rollback", "alone: SET statement_timeout TO 59000", "alone: ALTER"]
    assert driver.autocommit is False


def test_the_servers_answer_is_a_refusal(driver: Fake, connection: WarehouseConnection) -> None:
    driver.fails["x"] = raising(ProgrammingError({"S": "ERROR", "C": "XX000", "M": "1023", "D": "cycle"}))
    with pytest.raises(Refused, match="1023 cycle") as found:
        connection.run("x")
    assert found.value.kind == "conflict"
    driver.rows = [(1,)]
    assert connection.run("y") == [(1,)]


@pytest.mark.parametrize(
    "error",
    [
        InterfaceError("BrokenPipe: server socket closed."),
        ProgrammingError({"S": "FATAL", "C": "57P01", "M": "terminating connection"}),
        struct.error("unpack requires a buffer of 5 bytes"),
        TimeoutError("timed out"),
        ConnectionResetError(104, "reset"),
        OSError("cannot read from timed out object"),
        KeyError(b"\x00"),
        ValueError("write to closed file"),
        AttributeError("'NoneType' object has no attribute 'read'"),
    ],
)
def test_whatever_else_the_driver_raises_is_a_lost_connection(
    driver: Fake, connection: WarehouseConnection, error: Exception
) -> None:
    driver.fails["x"] = raising(error)
    with pytest.raises(Lost):
        connection.run("x")
    said = len(driver.said)
    # Nobody waits for it again, and nothing is said to it.
    for work in (lambda: connection.run("y"), connection.rollback, connection.commit):
        with pytest.raises(Lost):
            work()
    connection.close()
    assert driver.said[said:] == ["hang up"]


def test_the_last_words_of_a_server_that_hangs_up_are_told(driver: Fake, connection: WarehouseConnection) -> None:
    def fail() -> None:
        driver.error = ProgrammingError({"S": "FATAL", "C": "57P01", "M": "the cluster restarts"})  # type: ignore[attr-defined]
        raise InterfaceError("BrokenPipe: server socket closed.")

    driver.fails["x"] = fail
    with pytest.raises(Lost, match="the cluster restarts"):
        connection.run("x")


def test_goodbye_is_said_to_a_connection_that_lives(driver: Fake, connection: WarehouseConnection) -> None:
    connection.close()
    assert driver.said == ["goodbye", "hang up"]
