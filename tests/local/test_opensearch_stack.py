"""The deployed pipeline with a real OpenSearch behind it, also while that is down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import orjson
import pytest
from opensearchpy import OpenSearch

from aetherstream.delivery.breaker_item import PREFIX
from aetherstream.delivery.dynamodb import from_item
from aetherstream.local.stack import Stack
from aetherstream.objects import lines_of
from aetherstream.producer.producer import Producer
from demo.traffic import traffic
from tests.integration.ground import until
from tests.opensearch_fixture import go_without
from tests.stack_fixture import ROOT

pytestmark = pytest.mark.integration

FLIGHTS = 400


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The repository's template with the flights' pipeline, and the OpenSearch that this asks for."""
    running = Stack(
        ROOT / "template.yaml",
        state=tmp_path_factory.mktemp("stack"),
        stack_name="aetherstream-search",
        parameters={"MaximumBatchingWindowInSeconds": "1"},
    )
    with running:
        if running.opensearch_missing:
            go_without(running.opensearch_missing)
        if running.opensearch is None:
            pytest.skip("the server of OPENSEARCH_URL is not ours to stop")
        yield running


def send(stack: Stack) -> None:
    with Producer(stack.outputs["StreamName"], client=stack.clients.kinesis) as producer:
        for transmission in traffic(FLIGHTS):
            producer.put(transmission.data, transmission.partition_key)
    stack.drain(300)


def counters(stack: Stack) -> Counter[str]:
    totals: Counter[str] = Counter()
    for item in stack.clients.get("dynamodb").scan(TableName=stack.outputs["ProgressTableName"])["Items"]:
        if not item["pk"]["S"].startswith(PREFIX):
            totals.update(from_item(dict(item)).counters)
    return totals


def archived(stack: Stack) -> Counter[str]:
    """The event ids in the archive."""
    folder = stack.object_files(stack.outputs["BucketName"]) / "flights" / "archive"
    lines = (line for file in folder.glob("*/*.ndjson.gz") for line in lines_of(file.name, file.read_bytes()))
    return Counter(orjson.loads(line)["_event_id"] for line in lines)


def indexed(client: OpenSearch) -> Counter[str]:
    """The ids of the documents."""
    client.indices.refresh(index="flights-*")
    hits = client.search(index="flights-*", body={"size": 10_000, "_source": False})["hits"]["hits"]
    return Counter(hit["_id"] for hit in hits)


def test_documents_are_those_of_the_archive_also_after_an_outage(stack: Stack) -> None:
    server = stack.opensearch
    assert server is not None
    client = OpenSearch(server.url)
    send(stack)
    delivered = counters(stack)
    assert delivered["search.events"] == delivered["search.delivered"] == delivered["archive.events"] > 0
    assert indexed(client) == archived(stack)

    server.kill()
    send(stack)
    away = counters(stack)
    assert away["search.delivered"] == delivered["search.delivered"]
    assert away["search.spilled"] == away["archive.delivered"] - delivered["archive.delivered"] > 0

    server.start()
    function = stack.outputs["DrainFunctionName"]

    def brought() -> bool:
        stack.clients.lambda_.invoke(FunctionName=function, Payload=b"{}")
        return len(indexed(client)) >= away["search.events"]

    until(brought, "the spill is drained", 240)
    assert indexed(client) == archived(stack)
