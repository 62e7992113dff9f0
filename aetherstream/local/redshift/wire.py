"""Messages of PostgreSQL's wire protocol, version 3: cut out of bytes and put together, and a small client.

The client speaks to the embedded server over its Unix socket, where it is trusted, in simple queries.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aetherstream.local.redshift.errors import StandInError

PROTOCOL = 196608
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
CHUNK = 1 << 16
MAX_MESSAGE = 1 << 30
"""PostgreSQL's own bound of a message."""


class Message(NamedTuple):
    """One message: its letter and what follows the length."""

    code: bytes
    body: bytes

    def packed(self) -> bytes:
        """As it goes over the wire."""
        return self.code + struct.pack("!i", len(self.body) + 4) + self.body


class Cutter:
    """Cuts messages out of bytes that come in pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take `data` and give every message that is complete."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= 5:
                (length,) = struct.unpack_from("!i", self._buffer, start + 1)
                if not 4 <= length <= MAX_MESSAGE:
                    raise StandInError("08P01", f"a message of {length} bytes breaks the protocol")
                end = start + 1 + length
                if len(self._buffer) < end:
                    break
                message = Message(bytes(self._buffer[start : start + 1]), bytes(self._buffer[start + 5 : end]))
                start = end
                yield message
        finally:
            del self._buffer[:start]


def exactly(connection: socket.socket, count: int) -> bytes:
    """The next `count` bytes. Raises `ConnectionError` at the end of the stream."""
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("the other side closed the connection")
        data += piece
    return bytes(data)


def startup(parameters: Mapping[str, str]) -> bytes:
    """A start-up message with these parameters."""
    body = struct.pack("!i", PROTOCOL)
    body += b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters.items()) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def startup_parameters(body: bytes) -> dict[str, str]:
    """The parameters of a start-up message whose length and version are cut off."""
    words = body.decode(errors="replace").split("\0")
    return {name: value for name, value in zip(words[::2], words[1::2], strict=False) if name}


def error_fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse by their letters."""
    return {field[:1].decode(): field[1:].decode(errors="replace") for field in body.split(b"\0") if field}


def error(fields: Mapping[str, str], code: bytes = b"E") -> Message:
    """An ErrorResponse (or, as N, a NoticeResponse) of these fields."""
    return Message(code, b"".join(name.encode() + value.encode() + b"\0" for name, value in fields.items()) + b"\0")


def fatal(error_: StandInError) -> Message:
    """What a client gets that is turned away."""
    return error({"S": "FATAL", "C": error_.code, "M": error_.message})


def query(sql: str) -> Message:
    """A simple query."""
    return Message(b"Q", sql.encode() + b"\0")


def literal(value: str | None) -> str:
    """A string, or NULL, as a literal that no setting reads differently."""
    if value is None:
        return "NULL"
    escaped = value.replace("\0", "").replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def rows_of(body: bytes) -> list[str | None]:
    """The values of a DataRow in text form."""
    (count,) = struct.unpack_from("!h", body)
    values: list[str | None] = []
    offset = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, offset)
        offset += 4
        if length < 0:
            values.append(None)
        else:
            values.append(body[offset : offset + length].decode(errors="replace"))
            offset += length
    return values


Row = Sequence[str | None]


class Wire:
    """The embedded server's side of a session: whole messages, and simple queries of the stand-in's own."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._cutter = Cutter()
        self._waiting: list[Message] = []
        self.status = b"I"
        """Of the transaction, as the server said it last: I none, T open, E failed."""
        self.notices: list[Message] = []

    @classmethod
    def dial(cls, path: Path) -> Wire:
        """A fresh connection, nothing said yet. Raises `OSError`."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            raise
        return cls(connection)

    @classmethod
    def login(cls, path: Path, *, user: str, database: str) -> Wire:
        """A connection of a user who is trusted. Raises `StandInError`, `OSError`."""
        wire = cls.dial(path)
        try:
            wire.socket.sendall(startup({"user": user, "database": database, "client_encoding": "UTF8"}))
            wire.rest()
        except BaseException:
            wire.close()
            raise
        return wire

    def send(self, *messages: Message) -> None:
        """Send messages."""
        self.socket.sendall(b"".join(message.packed() for message in messages))

    def received(self) -> list[Message]:
        """What has come, at least one message. Raises `ConnectionError` at the end."""
        while not self._waiting:
            data = self.socket.recv(CHUNK)
            if not data:
                raise ConnectionError("the server closed the connection")
            for message in self._cutter.feed(data):
                if message.code == b"Z":
                    self.status = message.body
                self._waiting.append(message)
        waiting, self._waiting = self._waiting, []
        return waiting

    @property
    def holds(self) -> bool:
        """Whether messages have come that nobody has taken."""
        return bool(self._waiting)

    def next(self) -> Message:
        """The next message. Raises `ConnectionError` at the end."""
        first, *self._waiting = self.received()
        return first

    def rest(self) -> list[Message]:
        """Messages up to ReadyForQuery, without it. Raises `StandInError` with the first error among them."""
        came: list[Message] = []
        failed: StandInError | None = None
        while (message := self.next()).code != b"Z":
            if message.code == b"E":
                fields = error_fields(message.body)
                failed = failed or StandInError(fields.get("C", "XX000"), fields.get("M", ""), fields.get("D", ""))
                if fields.get("S") == "FATAL":
                    raise failed
            elif message.code == b"N":
                self.notices.append(message)
            came.append(message)
        if failed is not None:
            raise failed
        return came

    def ask(self, sql: str) -> list[Row]:
        """The rows of a simple query, as text. Raises `StandInError`, `ConnectionError`."""
        self.send(query(sql))
        return [rows_of(message.body) for message in self.rest() if message.code == b"D"]

    def close(self) -> None:
        """End it."""
        self.socket.close()
