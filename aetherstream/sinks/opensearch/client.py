"""The wire to a cluster: opensearch-py's connection, with its signing, and one attempt a call.

The connection class is used by itself. The client above it would write the body again, read every answer into objects
and retry by rules of its own.
"""

from __future__ import annotations

import base64
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
import urllib3
from isal import igzip
from opensearchpy.connection import Urllib3HttpConnection
from opensearchpy.exceptions import ConnectionError as NotConnected
from opensearchpy.helpers.signer import Urllib3AWSV4SignerAuth
from urllib3.connection import HTTPConnection, HTTPSConnection

from aetherstream.errors import ConfigurationError
from aetherstream.sinks.opensearch.wire import Response, Unreachable

if TYPE_CHECKING:
    from botocore.credentials import Credentials

Signer = Callable[[str, str, bytes | None], Mapping[str, str]]
"""`(method, URL, body)` to the headers that go with the request."""

_EVERY_STATUS = range(300, 1000)
_CONNECT_SECONDS = 3.0
_RENEW_SECONDS = 60.0
# Load balancers drop connections that were idle for about a minute, some of them without a word.
_IDLE_SECONDS = 45.0


class Client:
    """`Wire` to one cluster."""

    def __init__(
        self,
        endpoint: str,
        *,
        sign: Signer | None = None,
        parallel: int = 4,
        compress: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make the connection; nothing is sent. `clock`: wall clock, which goes on while a function is frozen.

        Raises ConfigurationError for an endpoint that is no http or https URL.
        """
        self.endpoint = endpoint
        self._sign = sign
        self._compress = compress
        self._clock = clock
        self._used = clock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._connection = _connection(endpoint, sign, parallel, self._opened)

    def request(self, method: str, path: str, body: bytes | None, seconds: float, /) -> Response:
        """See `Wire.request`."""
        if seconds <= 0:
            raise Unreachable("no time left")
        headers = {"accept-encoding": "gzip"} if self._compress else {}
        if body is not None and self._compress:
            body = igzip.compress(body, 1)
            headers["content-encoding"] = "gzip"
        if body is not None and path.startswith("/_bulk"):
            headers["content-type"] = "application/x-ndjson"
        # A name may have several addresses, and each is tried for as long.
        timeout: Any = urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds / 3), read=seconds)
        try:
            response = self._send(method, path, body, timeout, headers)
            if response.status == 401 and isinstance(self._sign, SecretUser) and self._sign.renew():
                response = self._send(method, path, body, timeout, headers)
        except NotConnected as error:
            raise Unreachable(_why(error)) from error
        finally:
            self._used = self._clock()
        return response

    def _send(self, method: str, path: str, body: bytes | None, timeout: Any, headers: Mapping[str, str]) -> Response:
        status, _, text = self._connection.perform_request(
            method, path, body=body, timeout=timeout, ignore=_EVERY_STATUS, headers=headers
        )
        return Response(status, text)

    def begin(self) -> None:
        """See `Wire.begin`."""
        if self._clock() - self._used > _IDLE_SECONDS:
            self._connection.close()

    def abort(self) -> None:
        """See `Wire.abort`."""
        with self._lock:
            opened = list(self._sockets)
        for each in opened:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:  # closed already
                continue

    def close(self) -> None:
        """Give up the connections."""
        self._connection.close()

    def _opened(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets.add(opened)


def basic(username: str, password: str) -> Signer:
    """Sign with a user's name and password."""
    word = base64.b64encode(f"{username}:{password}".encode()).decode()
    return lambda method, url, body: {"authorization": f"Basic {word}"}  # noqa: ARG005


class SecretUser:
    """Signs with a user whose name and password stand in a secret, which may be rotated at any time."""

    def __init__(self, fetch: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        """Take the secret from `fetch` (JSON with `username` and `password`) when the first request needs it."""
        self._fetch = fetch
        self._clock = clock
        self._sign: Signer | None = None
        self._fetched = clock()

    def __call__(self, method: str, url: str, body: bytes | None) -> Mapping[str, str]:
        """Make the header of a request."""
        if self._sign is None:
            self._read()
        return self._sign(method, url, body) if self._sign else {}

    def renew(self) -> bool:
        """Read the secret again; False where it was read less than a minute ago."""
        if self._sign is not None and self._clock() - self._fetched < _RENEW_SECONDS:
            return False
        self._read()
        return True

    def _read(self) -> None:
        try:
            found = orjson.loads(self._fetch())
            self._sign = basic(found["username"], found["password"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                "the secret of the OpenSearch user is not the JSON that it has to be:"
                ' {"username": "...", "password": "..."}'
            ) from error
        self._fetched = self._clock()


def sigv4(credentials: Credentials, region: str, service: str) -> Signer:
    """Sign as AWS wants it; `service`: `es` (OpenSearch Service) or `aoss` (Serverless). The credentials may renew."""
    signer: Signer = Urllib3AWSV4SignerAuth(credentials, region, service)
    return signer


class _Connection(Urllib3HttpConnection):
    """opensearch-py's connection without its log lines: the sink tells what failed, once, and not in traces."""

    def log_request_success(self, *args: Any, **kwargs: Any) -> None:
        """Say nothing."""

    def log_request_fail(self, *args: Any, **kwargs: Any) -> None:
        """Say nothing."""

    def _raise_warnings(self, warning_headers: Any) -> None:
        """Say nothing: OpenSearch's deprecations are for whoever runs `aetherstream opensearch setup`."""


def _connection(
    endpoint: str, sign: Signer | None, parallel: int, opened: Callable[[socket.socket], None]
) -> Urllib3HttpConnection:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"OpenSearch endpoint {endpoint!r}: write it as https://host[:port]")
    secure = parts.scheme == "https"
    connection = _Connection(
        host=parts.hostname,
        port=parts.port or (443 if secure else 80),
        use_ssl=secure,
        url_prefix=parts.path.strip("/"),
        http_auth=sign,
        pool_maxsize=parallel,
    )
    make: Any = connection._urllib3_pool_factory
    kind = _noting(HTTPSConnection if secure else HTTPConnection, opened)

    def pool() -> Any:
        made = make()
        made.ConnectionCls = kind
        return made

    connection._urllib3_pool_factory = pool
    connection._create_urllib3_pool()
    return connection


def _noting(kind: Any, opened: Callable[[socket.socket], None]) -> Any:
    """The connection class, telling of each socket: a request that trickles has to be broken from outside."""

    class Noting(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    Noting.__name__ = kind.__name__  # urllib3's messages name it
    return Noting


def _why(error: NotConnected) -> str:
    cause = error.info if isinstance(error.info, Exception) else error
    text = str(cause)
    # urllib3 begins its messages with the address of the object.
    return text.partition(": ")[2] if text.startswith(("<", "HTTP")) and ": " in text else text or type(cause).__name__
