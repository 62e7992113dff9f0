from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from aetherstream.loader.deployment import respond, result_of

EVENT = {
    "RequestType": "Create",
    "ResponseURL": "https://s3/answer",
    "StackId": "stack",
    "RequestId": "request",
    "LogicalResourceId": "WarehouseTables",
}
SINK = {"sink": "warehouse", "table": "public.flights", "changes": [], "refusals": [], "notes": [], "done": []}
REFUSAL = {"column": "origin", "reason": "is integer in the table, not char(3)", "way_out": "rename it"}


def result(**sink: object) -> dict[str, str]:
    return result_of(EVENT, {"state": "done", "sinks": [{**SINK, **sink}]}, "flights")


def test_what_was_done_is_told_to_the_stack() -> None:
    assert result(done=["create table public.flights"]) == {
        "Status": "SUCCESS",
        "Reason": "public.flights: create table public.flights",
        "PhysicalResourceId": "flights-tables",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "WarehouseTables",
    }


def test_nothing_to_do_is_a_success() -> None:
    assert (result()["Status"], result()["Reason"]) == ("SUCCESS", "nothing was to be done")


def test_a_refusal_fails_the_deployment_with_its_reason_and_the_way_out() -> None:
    found = result(refusals=[REFUSAL])
    assert (found["Status"], found["Reason"]) == (
        "FAILED",
        "public.flights.origin is integer in the table, not char(3): rename it",
    )


def test_a_warehouse_that_can_t_be_asked_fails_the_deployment() -> None:
    found = result(trouble="no connection")
    assert (found["Status"], found["Reason"]) == ("FAILED", "warehouse: no connection")


def test_a_request_that_failed_fails_the_deployment() -> None:
    found = result_of(EVENT, {"state": "failed", "message": "dry"}, "flights")
    assert (found["Status"], found["Reason"]) == ("FAILED", "dry")


def test_a_resource_keeps_its_id() -> None:
    found = result_of({**EVENT, "PhysicalResourceId": "mine"}, {"state": "done", "sinks": []}, "flights")
    assert found["PhysicalResourceId"] == "mine"


def test_a_response_stays_as_short_as_cloudformation_takes_it() -> None:
    found = result(refusals=[{**REFUSAL, "reason": "é" * 5000}])
    assert len(orjson.dumps(found)) < 4096
    assert found["Reason"].endswith(" ...")


class Server:
    """Takes answers at a URL; fails the first ones."""

    def __init__(self) -> None:
        self.failing = 0
        self.answers: list[tuple[str, str | None, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.failing -= 1
                if server.failing < 0:
                    server.answers.append((self.path, self.headers["Content-Type"], orjson.loads(body)))
                self.send_response(503 if server.failing >= 0 else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/answer?signature=x"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def test_an_answer_is_put_with_an_empty_content_type(server: Server) -> None:
    respond(server.url, {"Status": "SUCCESS"})
    assert server.answers == [("/answer?signature=x", "", {"Status": "SUCCESS"})]


def test_an_answer_is_tried_again(server: Server) -> None:
    server.failing = 2
    respond(server.url, {"Status": "SUCCESS"}, pause=lambda seconds: None)
    assert len(server.answers) == 1


def test_an_answer_that_does_not_get_through_is_an_error(server: Server) -> None:
    server.failing = 10
    with pytest.raises(OSError, match="503"):
        respond(server.url, {"Status": "SUCCESS"}, pause=lambda seconds: None)
    assert server.answers == []
