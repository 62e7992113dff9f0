"""A connection to the warehouse: statements under a deadline, and errors by what they mean.

The driver is redshift_connector, imported when the first connection is made. It hands out whatever its parser stumbles
over when a connection breaks; here every error of it is either `Refused`, the server's own answer, or `Lost`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aetherstream.loader.failures import Lost, Refused
from aetherstream.loader.ledger import Query

if TYPE_CHECKING:
    from aetherstream.loader.driver import Driver

CONNECT_SECONDS = 15.0
"""Most that a connection, with its TLS and login, may take."""
LIFETIME = 900.0
"""Seconds that a connection is kept: the driver keeps the text of every statement, and logins expire."""
IDLE_SECONDS = 20.0
"""After that a connection is asked whether it still lives. A function's sandbox is frozen between its invocations, and
ways through NAT gateways are dropped then without a word."""
_PROBE_SECONDS = 5.0
_END_SECONDS = 5.0
"""Most that a rollback or a goodbye may take."""
_MARGIN = 1.0
"""Seconds before the deadline at which the server cancels a statement by itself."""

_log = logging.getLogger(__name__)

Row = Sequence[Any]
Clock = Callable[[], float]
_T = TypeVar("_T")


class Connection(Protocol):
    """One connection; used by one thread. Every method raises Lost, and Refused where the server answers so."""

    @property
    def pid(self) -> int | None:
        """Number of its session at the server, as `pg_terminate_backend` takes it; None: not known."""

    @property
    def born(self) -> float:
        """When it was made, by the clock."""

    @property
    def used(self) -> float:
        """When it answered the last time."""

    def allow(self, seconds: float, /) -> None:
        """Give what follows so many seconds: statements are cancelled by the server before, and given up then."""

    def run(self, query: str | Query, /) -> list[Row]:
        """Run a statement in the transaction, which the first one begins."""

    def change(self, query: str | Query, /) -> int:
        """Run an INSERT, UPDATE or DELETE in the transaction; the rows it touched."""

    def alone(self, sql: str, /) -> None:
        """Run a statement outside of a transaction."""

    def commit(self) -> None:
        """Commit. Where it raises Lost, nobody knows whether it was done."""

    def rollback(self) -> None:
        """Take back what the transaction did; nothing to do is no error."""

    def close(self) -> None:
        """Give it up; raises nothing."""


Connect = Callable[[float], Connection]
"""Makes a connection in so many seconds. Raises Lost, Refused, Retryable and ConfigurationError."""


class OutOfTime(Refused):
    """No time is left for a statement, which was not sent."""

    def __init__(self) -> None:
        super().__init__({"C": "57014", "M": "no time left"})


class WarehouseConnection:
    """`Connection` by redshift_connector."""

    def __init__(self, driver: Driver, clock: Clock = time.monotonic) -> None:
        self._driver = driver
        self._clock = clock
        self._due = 0.0
        self._limited: float | None = None
        """When the limit that the server has was set; None: it has none, or nobody knows."""
        self._lost = ""
        self.born = self.used = clock()
        self.pid: int | None = None

    def begin(self) -> None:
        """What a fresh connection is told and asked first, in the time that is allowed."""
        # The ledger's times are UTC, as those of the system views are; a user may have another zone.
        self.alone("SET timezone TO 'UTC'")
        ((pid,),) = self.run("SELECT pg_backend_pid()")
        self.rollback()
        self.pid = int(pid)

    def allow(self, seconds: float, /) -> None:
        """See `Connection.allow`."""
        self._due = self._clock() + seconds
        self._limited = None

    def run(self, query: str | Query, /) -> list[Row]:
        """See `Connection.run`."""
        return self._execute(query)[0]

    def change(self, query: str | Query, /) -> int:
        """See `Connection.change`."""
        return self._execute(query)[1]

    def alone(self, sql: str, /) -> None:
        """See `Connection.alone`."""
        self.rollback()
        self._driver.autocommit = True
        try:
            self._execute(sql)
        finally:
            self._driver.autocommit = False

    def commit(self) -> None:
        """See `Connection.commit`."""
        left = self._left()
        if left <= 0:
            raise OutOfTime
        self._driver.wait(left)
        self._call(self._driver.commit)

    def rollback(self) -> None:
        """See `Connection.rollback`."""
        self._limited = None  # what was set in the transaction is taken back too
        self._driver.wait(_END_SECONDS)
        self._call(self._driver.rollback)

    def close(self) -> None:
        """See `Connection.close`."""
        with suppress(Exception):  # the driver raises many things here
            if not self._lost:
                self._driver.wait(_END_SECONDS)
                self._driver.close()
        self._driver.hang_up()

    def _left(self) -> float:
        return self._due - self._clock()

    def _execute(self, query: str | Query) -> tuple[list[Row], int]:
        self._limit()
        sql, parameters = (query, None) if isinstance(query, str) else (query.sql, query.parameters or None)
        return self._call(lambda: self._ask(sql, parameters))

    def _limit(self) -> None:
        """Let the server cancel what is sent next in time; and wait no longer than there is."""
        left = self._left()
        margin = min(_MARGIN, left / 10)
        if left <= 0:
            raise OutOfTime
        now = self._clock()
        if self._limited is None or now - self._limited > margin / 2:
            self._driver.wait(left)
            milliseconds = max(1, int((left - margin) * 1000))
            self._call(lambda: self._ask(f"SET statement_timeout TO {milliseconds}", None))
            self._limited = now
        self._driver.wait(max(self._left(), 0.001))

    def _ask(self, sql: str, parameters: Mapping[str, str] | None) -> tuple[list[Row], int]:
        with self._driver.cursor() as cursor:
            cursor.paramstyle = "named"
            cursor.execute(sql, parameters)
            rows: list[Row] = list(cursor.fetchall()) if cursor.description else []
            return rows, cursor.rowcount

    def _call(self, work: Callable[[], _T]) -> _T:
        if self._lost:
            raise Lost(self._lost)
        try:
            found = work()
        except Exception as error:
            raise self._told(error) from error
        self.used = self._clock()
        return found

    def _told(self, error: Exception) -> Lost | Refused:
        answer = fields(error)
        if answer is not None and answer.get("S") not in ("FATAL", "PANIC"):
            return Refused(answer)
        # After its last words the server hangs up, and the driver tells of that alone.
        last = answer or fields(getattr(self._driver, "error", None))
        words = Refused(last).text if last else f"{type(error).__name__}: {error}"
        self._lost = f"the connection to the warehouse is lost: {words}"
        return Lost(self._lost)


def fields(error: object) -> Mapping[str, str] | None:
    """The fields of the server's ErrorResponse in an error of the driver, by their letters; None: it has none."""
    first = error.args[0] if isinstance(error, Exception) and error.args else None
    return first if isinstance(first, dict) and "M" in first else None


class Kept:
    """One connection, kept between calls as long as it is good; never in a transaction."""

    def __init__(self, connect: Connect, clock: Clock = time.monotonic) -> None:
        self._connect = connect
        self._clock = clock
        self._connection: Connection | None = None
        self._stray: int | None = None
        """A session that was given up here, and that the server may not have noticed."""

    def get(self, seconds: float) -> Connection:
        """Return a connection that lives, with so many seconds for what follows. Raises as `Connect`."""
        due = self._clock() + seconds
        kept = self._connection
        if kept is not None and not self._is_good(kept, min(_PROBE_SECONDS, seconds)):
            # It held nothing, and by now its number may be another session's.
            self.close()
            kept = None
        if kept is None:
            kept = self._connection = self._connect(min(CONNECT_SECONDS, due - self._clock()))
        kept.allow(due - self._clock())
        if self._stray is not None:
            self._end(kept, self._stray)
        return kept

    def lost(self) -> None:
        """Give the connection up, which may live on at the server: in a transaction that holds the lock.

        Its session is ended before the next one is used. Redshift lets a user end their own.
        """
        if self._connection is not None:
            self._stray = self._connection.pid
        self.close()

    def close(self) -> None:
        """Give the connection up; the next one is made when it is needed."""
        kept, self._connection = self._connection, None
        if kept is not None:
            kept.close()

    def _end(self, kept: Connection, stray: int) -> None:
        self._stray = None
        if stray == kept.pid:
            return
        try:
            kept.run(f"SELECT pg_terminate_backend({int(stray)})")
        except Refused as refused:
            _log.info("the session before, %d, can't be ended: %s", stray, refused)
        kept.rollback()

    def _is_good(self, kept: Connection, seconds: float) -> bool:
        now = self._clock()
        if now - kept.born > LIFETIME:
            return False
        if now - kept.used <= IDLE_SECONDS:
            return True
        try:
            kept.allow(seconds)
            kept.run("SELECT 1")
            kept.rollback()
        except (Lost, Refused):
            return False
        return True
