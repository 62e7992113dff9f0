"""A proxy that makes PutRecords fail in part: the service takes some records of a request and refuses the others.

microburst answers or spoils whole calls. Here the refused entries are left out of the request that goes on to the
stack, and the answer says of each of them what Kinesis says.
"""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import orjson

THROTTLED = {
    "ErrorCode": "ProvisionedThroughputExceededException",
    "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream drill under account 000000000000.",
}
FAILED = {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure"}
_DROPPED = {"content-length", "host", "connection", "accept-encoding"}


class PartialFailures:
    """Of each two PutRecords requests the first loses every third record, by turns throttled and failed."""

    def __init__(self, upstream: str) -> None:
        self.refused = 0
        """Records refused so far."""
        self._upstream = urlsplit(upstream).netloc
        self._calls = count()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="partial-failures")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> PartialFailures:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """The status and body for one request."""
        if not headers.get("X-Amz-Target", "").endswith(".PutRecords"):
            return self._forward(headers, body)
        request = orjson.loads(body)
        with self._lock:
            odd = next(self._calls) % 2
            refusals = {} if odd else _refusals(len(request["Records"]))
            self.refused += len(refusals)
        kept = [record for index, record in enumerate(request["Records"]) if index not in refusals]
        stored: list[Any] = []
        if kept:
            status, answered = self._forward(headers, orjson.dumps({**request, "Records": kept}))
            if status != http.HTTPStatus.OK:
                return status, answered
            stored = orjson.loads(answered)["Records"]
        rest = iter(stored)
        records = [refusals.get(index) or next(rest) for index in range(len(request["Records"]))]
        failed = sum("ErrorCode" in record for record in records)
        return http.HTTPStatus.OK, orjson.dumps({"FailedRecordCount": failed, "Records": records})

    def _forward(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() not in _DROPPED}
            connection.request("POST", "/", body, kept)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Answer a call of the Kinesis API."""
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = proxy.answer(dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
                """Say nothing."""

        return Handler


def _refusals(records: int) -> dict[int, dict[str, str]]:
    """What is said of each refused entry, by its index; of a request of one record, that one."""
    refused = range(0, records, 3)
    return {index: THROTTLED if number % 2 == 0 else FAILED for number, index in enumerate(refused)}
