"""What the tests ask a server for beside the sink."""

from __future__ import annotations

from typing import Any

import orjson

from aetherstream.sinks.base import Documents
from aetherstream.sinks.opensearch.client import Client
from aetherstream.sinks.opensearch.requests import Retries
from aetherstream.sinks.opensearch.sink import OpenSearchSink

QUICK = Retries(fruitless=4, stuck=2, first=0.01, longest=0.05)


class Server:
    """A server by its URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = Client(url)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        response = self._client.request(method, path, None if body is None else orjson.dumps(body), 30.0)
        assert response.status in (200, 201), f"{method} {path}: {response.status} {response.text}"
        return orjson.loads(response.text)

    def make(self, index: str, settings: dict[str, Any] | None = None, **fields: str) -> None:
        """Create an index with these fields and settings."""
        properties = {name: {"type": kind} for name, kind in fields.items()}
        wanted = {"number_of_replicas": 0, **(settings or {})}
        self.ask("PUT", f"/{index}", {"settings": {"index": wanted}, "mappings": {"properties": properties}})

    def set(self, index: str, **settings: Any) -> None:
        self.ask("PUT", f"/{index}/_settings", {"index": settings})

    def hits(self, index: str) -> list[tuple[str, str, Any]]:
        """Every document of these indices: index, id, source; ordered."""
        self.ask("POST", f"/{index}/_refresh")
        found = self.ask("POST", f"/{index}/_search", {"size": 10_000})
        return sorted(((hit["_index"], hit["_id"], hit["_source"]) for hit in found["hits"]["hits"]), key=str)

    def stored(self, index: str) -> dict[str, Any]:
        return {document_id: source for _, document_id, source in self.hits(index)}

    def exists(self, index: str) -> bool:
        return self._client.request("HEAD", f"/{index}", None, 30.0).status == 200


def sink(url: str, **options: Any) -> OpenSearchSink:
    return OpenSearchSink("search", Client(url), **{"retries": QUICK, **options})


def documents(place: str, **bodies: Any) -> Documents:
    return Documents(list(bodies), [place] * len(bodies), [orjson.dumps(body) for body in bodies.values()])


def numbered(place: str, count: int) -> Documents:
    return documents(place, **{f"s:{n}:0": {"n": n} for n in range(count)})
