"""A proxy between a client of AWS and the stack, of which each kind decides what becomes of a request.

It listens on loopback. A request goes on in a connection of its own, so nothing that befalls one touches another.
"""

from __future__ import annotations

import http.client
import socket
import struct
import sys
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

_SECONDS = 60.0
_ONE_CONNECTIONS = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect", "host"}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Exchange(BaseHTTPRequestHandler):
    """A request, and its client who waits."""

    protocol_version = "HTTP/1.1"
    proxy: ClassVar[Proxy]

    @property
    def operation(self) -> str:
        """The name of the operation where it is known: of services that name it, and PutObject; else the method."""
        if target := self.headers.get("X-Amz-Target"):
            return str(target).rpartition(".")[2]
        way = urlsplit(self.path)
        is_object = "/" in way.path.strip("/")
        return "PutObject" if self.command == "PUT" and is_object and not way.query else self.command

    @property
    def length(self) -> int:
        """Bytes of the request's body."""
        assert "Transfer-Encoding" not in self.headers, "clients of AWS that send bytes say how many"
        return int(self.headers.get("Content-Length", 0))

    def read(self, size: int) -> bytes:
        """Bytes of the request's body."""
        return self.rfile.read(size)

    def forward(self, body: bytes) -> Answer:
        """Send the request on with this body, and read the whole answer. Raises OSError or HTTPException."""
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=_SECONDS)
        try:
            connection.putrequest(self.command, self.path, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _ONE_CONNECTIONS:
                    connection.putheader(name, value)
            if body or "Content-Length" in self.headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, tuple(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def reply(self, answer: Answer) -> None:
        """Give the client an answer."""
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in _ONE_CONNECTIONS or (name.lower() == "content-length" and self.command == "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def hang_up(self) -> None:
        """Close the client's connection in order (FIN), without a word more."""
        self.close_connection = True

    def reset(self) -> None:
        """Close the client's connection with a reset (RST)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close_connection = True

    def handle_one_request(self) -> None:
        """Read one request, and let the proxy decide."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self.proxy.handle(self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def shutdown_request(self, request: Any) -> None:
        # The base class ends the connection in order before it closes it: a reset would not be one.
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that are killed hang up, and so does a stack that is restarted.
        if not isinstance(sys.exception(), OSError | http.client.HTTPException):
            super().handle_error(request, client_address)


class Proxy(ABC):
    """Listens from `with` to its end. What it does to a request is `handle`."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        """Host and port that requests go on to."""
        self._server = _Server(("127.0.0.1", 0), type("Bound", (Exchange,), {"proxy": self}))
        # It looks so often, in seconds, whether it is to end.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name=type(self).__name__)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @abstractmethod
    def handle(self, exchange: Exchange, /) -> None:
        """Answer a request, or don't. Called by a thread of its own for each connection."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
