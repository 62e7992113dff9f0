"""The proxy that spoils requests does what it writes down, and nothing else."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.faults.wire import Spoil, Wire

BODY = b"0123456789"


class Service:
    """A service that keeps what it is sent, and answers each request with its own body in capitals."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.got: list[tuple[str, str, str | None, bytes]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                service.got.append((self.command, self.path, self.headers["If-None-Match"], body))
                self.send_response(service.status)
                self.send_header("ETag", '"e"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT  # noqa: N815 (the base class's way of naming)

            def do_HEAD(self) -> None:
                self.send_response(service.status)
                self.send_header("Content-Length", "7")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Service:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="service").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


def send(url: str, method: str = "PUT", path: str = "/bucket/key", **headers: str) -> tuple[int, str | None, bytes]:
    """Status, a header and body of the answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, BODY if method != "HEAD" else None, named)
        answer = connection.getresponse()
        return answer.status, answer.headers["ETag"], answer.read()
    finally:
        connection.close()


def what_became(url: str, times: int, **how: str) -> list[str]:
    """How each of so many requests ended for its client."""
    ends = []
    for _ in range(times):
        try:
            send(url, **how)
        except http.client.RemoteDisconnected:
            ends.append("no answer")
        except ConnectionError:  # that one is a ConnectionResetError too, and comes first
            ends.append("reset")
        else:
            ends.append("answered")
    return ends


def test_what_is_not_spoilt_passes_as_it_is(service: Service) -> None:
    with Wire(service.url) as wire:
        assert send(wire.url, path="/bucket/a%20key?x=1", If_None_Match="*") == (200, '"e"', BODY)
    assert service.got == [("PUT", "/bucket/a%20key?x=1", "*", BODY)]


def test_the_length_of_what_a_head_asks_for_passes(service: Service) -> None:
    with Wire(service.url) as wire:
        connection = http.client.HTTPConnection(urlsplit(wire.url).netloc, timeout=10)
        connection.request("HEAD", "/bucket/key")
        assert connection.getresponse().headers["Content-Length"] == "7"
        connection.close()


def test_one_answer_of_three_is_lost_and_its_request_has_its_effect(service: Service) -> None:
    with Wire(service.url, [Spoil("answer", "PutObject", 3)]) as wire:
        ends = what_became(wire.url, 9)
        assert [ends[at : at + 3].count("no answer") for at in (0, 3, 6)] == [1, 1, 1]
        assert [seen.fate for seen in wire.log] == [
            {"answered": "passed", "no answer": "answer lost"}[end] for end in ends
        ]
        assert {seen.status for seen in wire.log} == {200}
        assert wire.spoilt == 3
    assert service.got == [("PUT", "/bucket/key", None, BODY)] * 9


def test_an_answer_that_tells_of_no_effect_is_not_lost() -> None:
    with Service(412) as service, Wire(service.url, [Spoil("answer", "PutObject", 1)]) as wire:
        assert send(wire.url) == (412, '"e"', BODY)
        assert wire.spoilt == 0


def test_one_upload_of_two_is_cut_by_a_reset_and_does_not_get_there(service: Service) -> None:
    with Wire(service.url, [Spoil("upload", "PutObject", 2)]) as wire:
        ends = what_became(wire.url, 8)
        assert sorted(ends) == ["answered"] * 4 + ["reset"] * 4
        assert [(seen.fate, seen.status) for seen in wire.log] == [
            {"answered": ("passed", 200), "reset": ("upload cut", None)}[end] for end in ends
        ]
        assert wire.spoilt == 4
    assert service.got == [("PUT", "/bucket/key", None, BODY)] * 4


def test_the_same_seed_spoils_the_same_requests(service: Service) -> None:
    def ends(seed: int) -> list[str]:
        with Wire(service.url, [Spoil("answer", "PutObject", 4)], seed=seed) as wire:
            return what_became(wire.url, 24)

    assert ends(1) == ends(1) != ends(2)


@pytest.mark.parametrize(
    ("how", "operation"),
    [
        ({"path": "/bucket"}, "PUT"),
        ({"path": "/bucket/key?tagging"}, "PUT"),
        ({"method": "POST", "path": "/", "X_Amz_Target": "DynamoDB_20120810.PutItem"}, "PutItem"),
    ],
)
def test_other_operations_than_the_named_one_pass(service: Service, how: dict[str, str], operation: str) -> None:
    with Wire(service.url, [Spoil("answer", "PutObject", 1), Spoil("upload", "PutObject", 1)]) as wire:
        assert what_became(wire.url, 1, **how) == ["answered"]
        assert [seen.operation for seen in wire.log] == [operation]


def test_the_tries_of_a_call_are_told_by_its_id(service: Service) -> None:
    with Wire(service.url) as wire:
        send(wire.url, amz_sdk_invocation_id="one")
        assert [seen.call for seen in wire.log] == ["one"]


def test_a_service_that_does_not_answer_is_written_down_and_not_counted() -> None:
    with Service() as service:
        gone = service.url
    with Wire(gone, [Spoil("answer", "PutObject", 1)]) as wire:
        assert what_became(wire.url, 1) == ["reset"]
        assert [(seen.fate, seen.status) for seen in wire.log] == [("unanswered", None)]
        assert wire.spoilt == 0
