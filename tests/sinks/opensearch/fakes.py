"""A cluster in memory behind the sink's `Wire`, which fails on request, and a clock that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from aetherstream.sinks.base import Documents
from aetherstream.sinks.opensearch.requests import Retries
from aetherstream.sinks.opensearch.sink import OpenSearchSink
from aetherstream.sinks.opensearch.wire import Response, Unreachable
from aetherstream.testing.stores import InlineExecutor

Failure = Response | Exception | None
Item = dict[str, Any]


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Cluster:
    """Creates documents as OpenSearch does. `wrong` answers a request in its place, `item` one document."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Any] = {}
        self.requests: list[list[str]] = []
        self.seconds: list[float] = []
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.begun = 0
        self.wrong: Callable[[list[str]], Failure] = lambda _: None
        self.item: Callable[[str], Item | None] = lambda _: None

    def request(self, method: str, path: str, body: bytes | None, seconds: float, /) -> Response:
        assert (method, path.partition("?")[0]) == ("POST", "/_bulk")
        lines = (body or b"").split(b"\n")
        assert lines.pop() == b""
        actions = [(next(iter(each.items())), orjson.loads(line)) for each, line in self._pairs(lines)]
        ids = [action["_id"] for (_, action), _ in actions]
        self.requests.append(ids)
        self.seconds.append(seconds)
        self.paths.append(path)
        self.bodies.append(body or b"")
        if isinstance(failure := self.wrong(ids), Exception):
            raise failure
        if failure is not None:
            return failure
        items = [{operation: self._write(operation, action, body)} for (operation, action), body in actions]
        errors = any("error" in item for each in items for item in each.values())
        return Response(200, orjson.dumps({"errors": errors, "items": items}).decode())

    def begin(self) -> None:
        self.begun += 1

    def abort(self) -> None:
        raise AssertionError("nothing is under way")

    def _pairs(self, lines: list[bytes]) -> list[tuple[dict[str, Any], bytes]]:
        return [(orjson.loads(action), body) for action, body in zip(lines[::2], lines[1::2], strict=True)]

    def _write(self, operation: str, action: dict[str, Any], body: Any) -> Item:
        key = (action["_index"], action["_id"])
        if (found := self.item(action["_id"])) is not None:
            return found
        if operation == "create" and key in self.documents:
            return error(409, "version_conflict_engine_exception", "document already exists")
        self.documents[key] = body
        return {"status": 201}


def error(status: int, kind: str, reason: str = "", **more: Any) -> Item:
    return {"status": status, "error": {"type": kind, "reason": reason, **more}}


def refusal(status: int, kind: str = "", reason: str = "") -> Response:
    """An answer that refuses a request as a whole."""
    return Response(status, orjson.dumps({"error": {"type": kind, "reason": reason}}).decode() if kind else "")


def times(count: int, failure: Failure) -> Callable[[list[str]], Failure]:
    """Fail so many requests, then none."""
    left = [failure] * count
    return lambda _: left.pop() if left else None


def busy(document_id: str, count: int, answer: Item) -> Callable[[str], Item | None]:
    """Put off one document so many times."""
    left = [answer] * count
    return lambda each: left.pop() if each == document_id and left else None


def documents(*ids: str, place: str = "flights-2013.01") -> Documents:
    return Documents(list(ids), [place] * len(ids), [orjson.dumps({"id": each}) for each in ids])


def sink(cluster: Cluster, clock: Clock | None = None, **options: Any) -> OpenSearchSink:
    clock = clock or Clock()
    return OpenSearchSink(
        "search", cluster, clock=clock, sleep=clock.sleep, random=lambda: 1.0, executor=InlineExecutor(), **options
    )


def stored(cluster: Cluster) -> Sequence[str]:
    return [document_id for _, document_id in cluster.documents]


REFUSED = Unreachable("connection refused")
QUICK = Retries(fruitless=3, stuck=2, first=1.0, longest=4.0)
