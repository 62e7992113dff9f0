"""Statements of the Data API: taken, run one after the other in a thread of their own, and kept for a day.

Each request is one session and, where it has several statements, one transaction; the real driver runs it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redshift_connector
from redshift_connector.core import Connection

from aetherstream.local.redshift.errors import StandInError
from aetherstream.local.redshift.results import Results, error_text, results_of, sql_state
from aetherstream.local.redshift.wire import CANCEL_REQUEST

KEPT_SECONDS = 24 * 3600.0
"""AWS: statements and their results are kept for 24 hours."""
DONE = ("FINISHED", "FAILED", "ABORTED")
_CANCELLED = "57014"
_CANCEL_TRIES = 10


@dataclass(slots=True)
class Sub:
    """One statement of a request."""

    text: str
    """As it came."""
    sql: str
    """With its parameters."""
    status: str = "SUBMITTED"
    error: str = ""
    results: Results | None = None
    rows: int = -1
    query: int = 0
    """What Redshift calls a query's id; told of a COPY."""
    started: float = 0.0
    ended: float = 0.0


@dataclass(slots=True)
class Request:
    """What was asked to be run, and how it stands."""

    id: str
    database: str
    subs: list[Sub]
    batch: bool
    said: Mapping[str, Any]
    """What answers repeat of the request."""
    name: str = ""
    parameters: Sequence[Mapping[str, str]] = ()
    status: str = "SUBMITTED"
    error: str = ""
    pid: int = 0
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    unwanted: bool = False

    @property
    def done(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in DONE


class Statements:
    """Runs requests. Thread-safe.

    `login` is asked for each session (what `redshift_connector.connect` takes).
    """

    def __init__(self, login: Callable[[], Mapping[str, Any]]) -> None:
        self._login = login
        self._changed = threading.Condition()
        self._requests: dict[str, Request] = {}
        self._connections: dict[str, Connection] = {}
        self._threads: list[threading.Thread] = []

    def start(self, request: Request) -> None:
        """Run a request in the background."""
        with self._changed:
            self._requests[request.id] = request
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(target=self._run, args=(request,), daemon=True, name="data-api-statement")
            self._threads.append(thread)
            thread.start()

    def find(self, identifier: str) -> Request | None:
        """The request of an id; None: there is none, or no more."""
        with self._changed:
            self._forget_old()
            return self._requests.get(identifier)

    def every(self) -> list[Request]:
        """All requests, the latest first."""
        with self._changed:
            self._forget_old()
            return sorted(self._requests.values(), key=lambda request: request.created, reverse=True)

    def active(self) -> int:
        """How many run, or wait for it."""
        with self._changed:
            return sum(not request.done for request in self._requests.values())

    def wait(self, request: Request, seconds: float) -> None:
        """Until it is done, or as long."""
        with self._changed:
            self._changed.wait_for(lambda: request.done, seconds)

    def cancel(self, request: Request) -> None:
        """Have it end; it may be done before."""
        with self._changed:
            request.unwanted = True
            connection = self._connections.get(request.id)
        # Between two statements there is nothing to be cancelled, and PostgreSQL takes no notice.
        for _ in range(_CANCEL_TRIES):
            if connection is None or request.done:
                return
            _cancel(self._login(), connection)
            self.wait(request, 0.2)

    def stop(self) -> None:
        """End everything that runs."""
        for request in self.every():
            if not request.done:
                self.cancel(request)
        for thread in self._threads:
            thread.join(10)

    def _forget_old(self) -> None:
        now = time.time()
        for identifier, request in list(self._requests.items()):
            if request.done and now - request.updated > KEPT_SECONDS:
                del self._requests[identifier]

    def _becomes(self, request: Request, status: str, error: str = "") -> None:
        with self._changed:
            request.status, request.error, request.updated = status, error, time.time()
            self._changed.notify_all()

    def _run(self, request: Request) -> None:
        try:
            self._becomes(request, "PICKED")
            self._carry_out(request)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this statement's end)
            words = error_text(error)
            failed = next((number for number, sub in enumerate(request.subs, 1) if sub.error), 0)
            if request.batch and failed:
                words = f"Query #{failed} failed with {words}"
            for sub in request.subs:
                if sub.status not in DONE:
                    sub.status = "ABORTED"
            stopped = request.unwanted and sql_state(error) in (_CANCELLED, "")
            self._becomes(request, "ABORTED" if stopped else "FAILED", words)
        else:
            self._becomes(request, "FINISHED")
        finally:
            with self._changed:
                connection = self._connections.pop(request.id, None)
            if connection is not None:
                with contextlib.suppress(Exception):  # it may be what broke
                    connection.close()

    def _carry_out(self, request: Request) -> None:
        login = self._login()
        if request.database != login["database"]:
            raise StandInError("3D000", f'database "{request.database}" does not exist')
        connection = redshift_connector.connect(**login)
        with self._changed:
            self._connections[request.id] = connection
        (request.pid,) = struct.unpack_from("!i", _key(connection))
        # AWS: a batch is one transaction; a statement that stands alone commits by itself.
        connection.autocommit = not request.batch
        self._becomes(request, "STARTED")
        for sub in request.subs:
            if request.unwanted:
                raise StandInError(_CANCELLED, "Query cancelled on user's request")
            _run_one(connection, sub)
        if request.batch:
            connection.commit()


def new_id() -> str:
    """An id of a request."""
    return str(uuid.uuid4())


def _run_one(connection: Connection, sub: Sub) -> None:
    sub.status, sub.started = "STARTED", time.time()
    with connection.cursor() as cursor:
        # Without parameters, and a question mark outside of a literal is no SQL of Redshift.
        cursor.paramstyle = "qmark"
        try:
            cursor.execute(sub.sql)
            if cursor.description:
                sub.results = results_of(cursor.description, cursor.fetchall())
            sub.rows = len(sub.results.records) if sub.results else cursor.rowcount
        except Exception as error:
            sub.status, sub.error = "FAILED", error_text(error)
            with contextlib.suppress(Exception):  # the connection may be gone
                connection.rollback()
            raise
        else:
            sub.status = "FINISHED"
        finally:
            sub.ended = time.time()
            if sub.sql.lstrip()[:4].lower() == "copy":
                sub.query = _last_copy(connection)


def _last_copy(connection: Connection) -> int:
    """The id of the session's last COPY; 0 where the connection is gone."""
    with contextlib.suppress(Exception), connection.cursor() as cursor:
        cursor.execute("SELECT pg_last_copy_id()")
        ((number,),) = cursor.fetchall()
        return int(number)
    return 0


def _cancel(login: Mapping[str, Any], connection: Connection) -> None:
    key = _key(connection)
    with contextlib.suppress(OSError), socket.create_connection((login["host"], login["port"]), 5) as asking:
        asking.sendall(struct.pack("!ii", 8 + len(key), CANCEL_REQUEST) + key)
        asking.recv(1)  # the server closes the connection when it has done it


def _key(connection: Connection) -> bytes:
    """By which a request to cancel names the session; it begins with the number of its process."""
    return connection._backend_key_data or bytes(8)
