"""One client's session: messages go both ways as they are, but statements are translated and COPY is carried out here.

A statement that the embedded server is not to see is prepared there as an empty one. So preparing, describing and
binding keep the protocol's order, and the empty answer to its execution tells that everything before it has been
delivered.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from aetherstream.local.redshift import wire
from aetherstream.local.redshift.errors import NotSupported, StandInError, as_redshift
from aetherstream.local.redshift.translate import Statement, translate
from aetherstream.local.redshift.wire import CHUNK, Cutter, Message, Wire

PARAMETERS = {"user", "database", "application_name", "client_encoding", "options", "replication"}
"""What of a start-up message goes on to PostgreSQL. Drivers of Redshift send more, which it would refuse."""
JSONB, SUPER = 3802, 4000
"""The type's number in PostgreSQL, and that by which Redshift and its drivers know SUPER."""

Carry = Callable[["Session", Statement], None]
"""Carries a COPY out on the session's own connection; raises `StandInError`."""


class Session:
    """One client and its connection to the embedded server. Served by one thread.

    `known` is told the key by which a request to cancel names this session; `cancelled` is set by such a request.
    """

    def __init__(
        self, client: socket.socket, server: Wire, carry_copy: Carry, known: Callable[[bytes], None] = lambda _: None
    ) -> None:
        self.client = client
        self.server = server
        self._known = known
        self.pid = 0
        """Of the server's process, once it has said it."""
        self.cancelled = threading.Event()
        self._carry_copy = carry_copy
        self._cutter = Cutter()
        self._statements: dict[bytes, Statement] = {}
        self._portals: dict[bytes, Statement] = {}
        self._skipping = False

    def serve(self) -> None:
        """Until either side ends. Raises `OSError` when it ends roughly."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.client, selectors.EVENT_READ)
            selector.register(self.server.socket, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self.server.socket:
                        self._answer(self.server.received())
                        continue
                    data = self.client.recv(CHUNK)
                    if not data:
                        return
                    try:
                        for message in self._cutter.feed(data):
                            self._take(message)
                    except OSError:
                        # The server has ended the session; why is still to be read.
                        self._answer(self.server.received())
                        raise
                if self.server.holds:
                    self._answer(self.server.received())

    def told(self, message: Message) -> Message:
        """A message of the server as the client gets it."""
        if message.code == b"E":
            return wire.error(as_redshift(wire.error_fields(message.body)))
        if message.code == b"T":
            return Message(b"T", _super(message.body))
        if message.code == b"K":
            (self.pid,) = struct.unpack_from("!i", message.body)
            self._known(message.body)
        return message

    def _answer(self, messages: list[Message]) -> None:
        self.client.sendall(b"".join(self.told(message).packed() for message in messages))

    def _take(self, message: Message) -> None:
        code, body = message
        if self._skipping:
            # After an error the protocol passes over everything up to Sync.
            if code not in b"SX":
                return
            self._skipping = False
        if code == b"Q":
            self._query(body)
        elif code == b"P":
            self._parse(body)
        elif code == b"B":
            self._bind(body)
        elif code == b"E" and (statement := self._portals.get(_until_zero(body, 0)[0])):
            self._execute(message, statement)
        elif code == b"C":
            held = self._statements if body[:1] == b"S" else self._portals
            held.pop(_until_zero(body, 1)[0], None)
            self.server.send(message)
        elif code == b"F":
            self._run(Statement(refused=NotSupported("a function call of the protocol")))
            self._answer([Message(b"Z", self.server.status)])
        else:
            self.server.send(message)

    def _query(self, body: bytes) -> None:
        statements = translate(body[:-1].decode(errors="replace"))
        if all(statement.passed_on for statement in statements) and (
            len(statements) < 2 or not any("/*redshift:" in statement.sql for statement in statements)
        ):
            self.server.send(wire.query("; ".join(statement.sql for statement in statements)))
            return
        if len(statements) > 1:
            refused = next((statement for statement in statements if statement.refused), None)
            alone = Statement(
                refused=NotSupported("COPY or DDL with other statements in one query: send it alone; this")
            )
            statements = [refused or alone]
        self._run(statements[0])
        self._answer([Message(b"Z", self.server.status)])

    def _parse(self, body: bytes) -> None:
        name, at = _until_zero(body, 0)
        sql, end = _until_zero(body, at)
        statements = translate(sql.decode(errors="replace"))
        self._statements.pop(name, None)
        if len(statements) > 1:
            statements = [
                Statement(refused=StandInError("42601", "cannot insert multiple commands into a prepared statement"))
            ]
        if statements and not statements[0].passed_on:
            self._statements[name] = statements[0]
            self.server.send(Message(b"P", name + b"\0\0\0\0"))
            return
        fresh = statements[0].sql.encode() if statements else b""
        self.server.send(Message(b"P", name + b"\0" + fresh + b"\0" + body[end:]))

    def _bind(self, body: bytes) -> None:
        portal, at = _until_zero(body, 0)
        name, _ = _until_zero(body, at)
        statement = self._statements.get(name)
        if statement is None:
            self._portals.pop(portal, None)
            self.server.send(Message(b"B", body))
            return
        self._portals[portal] = statement
        # The empty statement takes no parameters.
        self.server.send(Message(b"B", portal + b"\0" + name + b"\0" + struct.pack("!hhh", 0, 0, 0)))

    def _execute(self, message: Message, statement: Statement) -> None:
        self.server.send(message, Message(b"H", b""))
        while (came := self.server.next()).code != b"I":
            self._answer([came])
            if came.code == b"E":
                return  # something before it failed: the server itself skips to Sync
        if not self._run(statement):
            self._skipping = True

    def _run(self, statement: Statement) -> bool:
        """Carry out what the server does not get as it came; give the client all but ReadyForQuery."""
        self.cancelled.clear()
        try:
            self._carry_out(statement)
        except StandInError as error:
            self._fail(error)
            return False
        return True

    def _carry_out(self, statement: Statement) -> None:
        if statement.refused is not None:
            raise statement.refused
        if statement.alone and self.server.status != b"I":
            raise StandInError("25001", statement.alone)
        if statement.copy is None:
            self.server.send(wire.query(statement.sql))
            self._answer(self.server.rest())
        else:
            self._carry_copy(self, statement)

    def _fail(self, error: StandInError) -> None:
        """Tell the client, and let the transaction fail as it would have by the server's own error."""
        fields = {"S": "ERROR", "C": error.code, "M": error.message}
        if error.detail:
            fields["D"] = error.detail
        self._answer([wire.error(as_redshift(fields))])
        if self.server.status == b"T":
            self.server.send(wire.query("DO $$ BEGIN RAISE EXCEPTION 'refused by the stand-in'; END $$"))
            while self.server.next().code != b"Z":
                pass


def _until_zero(body: bytes, start: int) -> tuple[bytes, int]:
    """A string of a message, and where the next field begins."""
    end = body.index(b"\0", start)
    return body[start:end], end + 1


def _super(body: bytes) -> bytes:
    """A RowDescription in which jsonb is SUPER."""
    told = bytearray(body)
    (count,) = struct.unpack_from("!h", body)
    at = 2
    for _ in range(count):
        at = body.index(b"\0", at) + 1
        if struct.unpack_from("!i", body, at + 6)[0] == JSONB:
            struct.pack_into("!i", told, at + 6, SUPER)
        at += 18
    return bytes(told)


def connect(path: Path, parameters: dict[str, str]) -> Wire:
    """A connection to the embedded server with what of the client's start-up it understands. Raises `OSError`."""
    server = Wire.dial(path)
    server.socket.sendall(wire.startup({name: value for name, value in parameters.items() if name in PARAMETERS}))
    return server
