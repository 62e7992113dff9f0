"""A proxy on the way to a server that does to requests what networks do, and that can be told to change them."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Literal, Self
from urllib.parse import urlsplit

Fault = Literal["none", "reset", "lost", "cut", "short", "mute", "trickle"]
"""reset: breaks the connection instead of passing the request on. The others pass it on. lost: breaks instead of
answering. cut: breaks in the middle of the answer. short: answers with half of the text as if it were all. mute: never
answers. trickle: answers byte by byte and never ends."""


class Proxy:
    """Listens on a free loopback port. `faults` are done to the requests to come, one each, then `always`."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self.faults: deque[Fault] = deque()
        self.always: Fault = "none"
        self.change: Callable[[bytes], bytes] = lambda body: body
        self.after: Callable[[], object] = lambda: None
        """Called behind each request that was passed on, before the answer."""
        self.connections = 0
        self.requests: list[tuple[str, bytes]] = []
        """Of each that arrived whole: the first line, and the body."""
        self.broken = threading.Event()
        """Whether the client gave up a request that was answered in trickles or not at all."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        for thread in self._threads:
            thread.join()

    def down(self) -> None:
        """Refuse connections, and break those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def up(self) -> None:
        """Listen again, on the same port."""
        self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        self._start(self._accept, listener)
        return listener

    def _start(self, work: Callable[[socket.socket], None], subject: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(subject,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, accepted)

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        try:
            with client, client.makefile("rb") as stream:
                while self._one(client, stream):
                    pass
        except OSError:
            return
        finally:
            with self._lock:
                self._open.discard(client)

    def _one(self, client: socket.socket, stream: BinaryIO) -> bool:
        line: bytes = stream.readline()
        if not line:
            return False
        headers = http.client.parse_headers(stream)
        body: bytes = stream.read(int(headers.get("content-length", 0)))
        self.requests.append((line.decode().strip(), body))
        fault = self.faults.popleft() if self.faults else self.always
        if fault == "reset":
            return _break(client)
        method, path, _ = line.decode().split(" ")
        server = http.client.HTTPConnection(*self._upstream)
        try:
            server.request(method, path, self.change(body), {"content-type": headers.get("content-type", "")})
            answered = server.getresponse()
            text = answered.read()
        finally:
            server.close()
        self.after()
        if fault == "lost":
            return _break(client)
        if fault == "mute":
            client.recv(1)
            self.broken.set()
            return False
        if fault == "short":
            text = text[: len(text) // 2]
        head = f"HTTP/1.1 {answered.status} X\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
        if fault == "trickle":
            return self._trickle(client, head.encode())
        client.sendall(head.encode())
        if fault == "cut":
            client.sendall(text[: len(text) // 2])
            return _break(client)
        if method != "HEAD":
            client.sendall(text)
        return True

    def _trickle(self, client: socket.socket, head: bytes) -> bool:
        client.sendall(head.partition(b"content-length")[0])
        client.settimeout(0.02)
        while True:
            try:
                client.sendall(b"x-more: 1\r\n")
                if not client.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.broken.set()
        return False


def _break(client: socket.socket) -> bool:
    # Closed with nothing lingering, TCP sends a reset.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    return False
