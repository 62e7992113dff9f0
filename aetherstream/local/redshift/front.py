"""The TCP side of the stand-in: takes clients on loopback, gives each a session, passes requests to cancel on."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading

from aetherstream.local.environment import LOOPBACK
from aetherstream.local.redshift import wire
from aetherstream.local.redshift.carry import Carrier
from aetherstream.local.redshift.errors import StandInError
from aetherstream.local.redshift.postgres import Postgres
from aetherstream.local.redshift.session import Session, connect
from aetherstream.local.redshift.wire import exactly

_LINGER = 2.0
"""Seconds that a client has to close its half."""
_MAX_STARTUP = 10_000
"""PostgreSQL's own bound of a start-up message."""
_log = logging.getLogger(__name__)


class Front:
    """Serves clients from `start` to `stop`, each in a thread of its own."""

    def __init__(self, postgres: Postgres, carrier: Carrier) -> None:
        self._postgres = postgres
        self._carrier = carrier
        self._listener: socket.socket | None = None
        self._sessions: dict[bytes, Session] = {}
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()

    def start(self, port: int) -> int:
        """Listen on `port` of loopback, or on a free one for 0; tell which. Raises `OSError` when it is taken."""
        self._listener = socket.create_server((LOOPBACK, port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True, name="redshift-front").start()
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        """Take nobody any more and end every session."""
        if self._listener is not None:
            self._listener.close()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._client, args=(client,), daemon=True, name="redshift-session").start()

    def _client(self, client: socket.socket) -> None:
        with self._lock:
            self._clients.add(client)
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._greet(client)
        except OSError as error:
            _log.info("a client or its server is gone: %s", error)
        except StandInError as error:
            with contextlib.suppress(OSError):
                client.sendall(wire.fatal(error).packed())
        except Exception:
            _log.exception("a session broke")
            raise
        finally:
            _let_go(client)
            with self._lock:
                self._clients.discard(client)
            client.close()

    def _greet(self, client: socket.socket) -> None:
        while True:
            (length,) = struct.unpack("!i", exactly(client, 4))
            if not 8 <= length <= _MAX_STARTUP:
                raise StandInError("08P01", "invalid length of startup packet")
            (code,) = struct.unpack("!i", exactly(client, 4))
            body = exactly(client, length - 8)
            if code in (wire.SSL_REQUEST, wire.GSS_REQUEST):
                client.sendall(b"N")  # no TLS: it would need a certificate that clients trust
                continue
            if code == wire.CANCEL_REQUEST:
                self._cancel(body)
                return
            if code != wire.PROTOCOL:
                raise StandInError("0A000", "only version 3.0 of the protocol is spoken here")
            self._serve(client, wire.startup_parameters(body))
            return

    def _serve(self, client: socket.socket, parameters: dict[str, str]) -> None:
        if not parameters.get("user"):
            raise StandInError("28000", "no user name specified in startup packet")
        try:
            server = connect(self._postgres.socket, parameters)
        except OSError as error:
            raise StandInError("57P03", f"the embedded server does not answer: {error}") from error
        keys: list[bytes] = []

        def known(key: bytes) -> None:
            keys.append(key)
            with self._lock:
                self._sessions[key] = session

        session = Session(client, server, self._carrier, known)
        try:
            session.serve()
        finally:
            server.close()
            with self._lock:
                for key in keys:
                    self._sessions.pop(key, None)

    def _cancel(self, key: bytes) -> None:
        with self._lock:
            session = self._sessions.get(key)
        if session is None:
            return
        session.cancelled.set()
        with contextlib.suppress(OSError):
            server = wire.Wire.dial(self._postgres.socket)
            server.socket.sendall(struct.pack("!ii", 8 + len(key), wire.CANCEL_REQUEST) + key)
            # The server closes the connection when it has done it.
            server.socket.recv(1)
            server.close()


def _let_go(client: socket.socket) -> None:
    """End our half, and read what the client still sends: closing before would take our last words from it."""
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        client.settimeout(_LINGER)
        while client.recv(_MAX_STARTUP):
            pass
