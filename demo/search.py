"""What the run left in OpenSearch: counted, searched, aggregated."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from opensearchpy import OpenSearch

from aetherstream.local.stack import Stack

INDICES: Final = "flights-*"
RESULTS: Final = "carrier-hours"
SETTLE_SECONDS: Final = 300
SEARCH: Final[dict[str, Any]] = {
    "size": 3,
    "query": {"bool": {"filter": [{"term": {"origin": "JFK"}}, {"range": {"dep_delay": {"gte": 60}}}]}},
    "sort": [{"dep_delay": "desc"}],
}
AGGREGATION: Final[dict[str, Any]] = {
    "size": 0,
    "aggs": {"origin": {"terms": {"field": "origin"}, "aggs": {"mean_delay": {"avg": {"field": "dep_delay"}}}}},
}


@dataclass(frozen=True, slots=True)
class Searched:
    """What OpenSearch said."""

    documents: int
    """Those of this run."""
    indices: int
    late: int
    """How many flights left JFK an hour late or more."""
    latest: list[tuple[str, str, str, float]]
    """The latest of them: day, flight, destination, minutes."""
    by_origin: list[tuple[str, int, float]]
    """Airport, its flights, and their mean delay at departure in minutes."""


class Index:
    """The flights' indices of one server."""

    def __init__(self, url: str) -> None:
        self._client = OpenSearch(url, timeout=60)
        self._before = self._count()

    def look(self) -> Searched:
        """Count, search and aggregate what has come since this object was made, and what stood there before."""
        documents = self._count() - self._before
        latest = self._client.search(index=INDICES, body=SEARCH)
        means = self._client.search(index=INDICES, body=AGGREGATION)
        return Searched(
            documents,
            len(self._client.indices.get(index=INDICES)),
            latest["hits"]["total"]["value"],
            [_line(hit["_source"]) for hit in latest["hits"]["hits"]],
            [
                (bucket["key"], bucket["doc_count"], round(bucket["mean_delay"]["value"] or 0.0, 1))
                for bucket in means["aggregations"]["origin"]["buckets"]
            ],
        )

    def settle(self, stack: Stack, events: int) -> None:
        """Have the drain function bring what was spilled, if OpenSearch could not keep up; it runs each minute anyway.

        `events` is how many documents there are to be in the end; what is missing after five minutes shows in `look`.
        """
        until = time.monotonic() + SETTLE_SECONDS
        while self._count() - self._before < events and time.monotonic() < until:
            stack.clients.lambda_.invoke(FunctionName=stack.outputs["DrainFunctionName"], Payload=b"{}")
            time.sleep(1)

    def results(self) -> int:
        """How many final results of `carrier_hours` there are."""
        self._client.indices.refresh(index=RESULTS)
        return int(self._client.count(index=RESULTS, body={"query": {"term": {"final": True}}})["count"])

    def _count(self) -> int:
        self._client.indices.refresh(index=INDICES)
        return int(self._client.count(index=INDICES)["count"])


def _line(flight: dict[str, Any]) -> tuple[str, str, str, float]:
    return (
        flight["time_hour"][:10],
        f"{flight['carrier']} {flight['flight']}",
        flight["destination"],
        flight["dep_delay"],
    )
