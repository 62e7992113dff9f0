"""A proxy before the stand-in for Redshift, which breaks the connection where microburst can't.

microburst decides before a statement goes on, and has no word for a server that has done it and whose answer is lost,
nor for a way that is gone while both ends believe in it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from types import TracebackType
from typing import Literal, Self

from aetherstream.local.redshift.wire import exactly

What = Literal["answer", "work", "silence"]
"""`answer`: the statement is done, and its answer lost by a reset; `work`: the client is reset while the server works;
`silence`: from then on nothing comes and nothing is closed, as behind a gateway that forgot the connection."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Cut:
    """Listens from `with` to its end. The first statement that fits `sql` is broken in this way, once."""

    def __init__(self, host: str, port: int, what: What, sql: str) -> None:
        self._upstream = (host, port)
        self._what = what
        self._sql = re.compile(sql)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.fired = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="cut")  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
                for each in (client, server):
                    # Small messages would wait for each other's acknowledgement.
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += [client, server]
                self._start(self._serve, client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Messages of the client, and the server's answers until it is ready again: one after the other."""
        with contextlib.suppress(OSError, struct.error, EOFError):
            (length,) = struct.unpack("!i", head := exactly(client, 4))
            server.sendall(head + exactly(client, length - 4))
            self._answers(client, server)
            sql = ""
            while True:
                code, body = _message(client)
                if code == b"P":
                    sql = body.split(b"\0")[1].decode()
                if code == b"E" and self._sql.search(sql) and not self.fired.is_set():
                    self._fire(client, server, code, body)
                    return
                server.sendall(_packed(code, body))
                if code == b"S":
                    self._answers(client, server)
        with contextlib.suppress(OSError):
            server.close()
            client.close()

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            code, body = _message(server)
            client.sendall(_packed(code, body))
            if code == b"R" and struct.unpack_from("!i", body)[0] == 3:  # it wants the password
                server.sendall(_packed(*_message(client)))
            if code == b"Z":
                return

    def _fire(self, client: socket.socket, server: socket.socket, code: bytes, body: bytes) -> None:
        self.fired.set()
        server.sendall(_packed(code, body) + _packed(b"S", b""))
        if self._what == "answer":
            while _message(server)[0] != b"Z":
                pass
        if self._what != "silence":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            client.close()
        if self._what == "answer":
            server.close()


def _message(wire: socket.socket) -> tuple[bytes, bytes]:
    code, length = struct.unpack("!ci", exactly(wire, 5))
    return code, exactly(wire, length - 4)


def _packed(code: bytes, body: bytes) -> bytes:
    return code + struct.pack("!i", len(body) + 4) + body
