from __future__ import annotations

from typing import Any

import pytest
from opensearchpy import OpenSearch

from demo.search import Index, Searched
from tests.opensearch_fixture import ServerFactory

pytestmark = pytest.mark.integration


def flight(number: int, origin: str, delay: float | None, month: str = "2013-01") -> dict[str, Any]:
    return {
        "time_hour": f"{month}-01T10:00:00Z",
        "carrier": "UA",
        "flight": number,
        "origin": origin,
        "destination": "IAH",
        "dep_delay": delay,
    }


def put(client: OpenSearch, *documents: dict[str, Any]) -> None:
    for document in documents:
        client.index(index=f"flights-{document['time_hour'][:7].replace('-', '.')}", body=document)


def test_a_run_is_counted_searched_and_aggregated(opensearch_server: ServerFactory) -> None:
    url = opensearch_server().url
    client = OpenSearch(url)
    properties = {"origin": {"type": "keyword"}, "dep_delay": {"type": "double"}}
    template = {"index_patterns": ["flights-*"], "template": {"mappings": {"properties": properties}}}
    client.indices.put_index_template(name="flights", body=template)
    first = Index(url)
    put(client, flight(1, "JFK", 60), flight(2, "JFK", 10), flight(3, "EWR", None), flight(4, "JFK", 75.5, "2013-02"))
    assert first.look() == Searched(
        documents=4,
        indices=2,
        late=2,
        latest=[("2013-02-01", "UA 4", "IAH", 75.5), ("2013-01-01", "UA 1", "IAH", 60)],
        by_origin=[("JFK", 3, 48.5), ("EWR", 1, 0.0)],
    )
    second = Index(url)
    put(client, flight(5, "LGA", 0))
    assert second.look().documents == 1
