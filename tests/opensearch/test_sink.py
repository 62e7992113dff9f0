"""The sink against a real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest

from aetherstream.local.opensearch import LocalOpenSearch
from aetherstream.records import Event
from aetherstream.sinks.base import Documents, RecordSink
from aetherstream.sinks.opensearch.client import Client
from aetherstream.sinks.opensearch.requests import Retries
from aetherstream.sinks.opensearch.setup import Setup
from aetherstream.sinks.opensearch.template import IndexSpec
from aetherstream.testing.contract import RecordSinkContract, RecordSubject
from tests.opensearch.proxy import Proxy
from tests.opensearch.server import Server, documents, numbered, sink
from tests.opensearch_fixture import started

pytestmark = pytest.mark.integration


@pytest.fixture
def server(opensearch: str) -> Server:
    return Server(opensearch)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes little at once."""
    settings = {"http.max_content_length": "1mb", "thread_pool.write.queue_size": 1, "node.processors": 1}
    with started(LocalOpenSearch(tmp_path_factory.mktemp("small"), settings=settings)) as made:
        yield Server(made.url)


def reasons(rejected: Mapping[str, Any]) -> dict[str, str]:
    return {document_id: why.reason for document_id, why in rejected.items()}


def test_a_document_that_comes_twice_stays_as_it_came_first(server: Server, index_prefix: str) -> None:
    subject = sink(server.url)
    subject.deliver(documents(index_prefix, x={"n": 1}), 30.0)
    outcome = subject.deliver(documents(index_prefix, x={"n": 2}), 30.0)
    assert (outcome.rejected, outcome.undelivered) == ({}, {})
    assert server.stored(index_prefix) == {"x": {"n": 1}}


def test_a_conflict_with_the_mapping_rejects_one_document_with_opensearchs_reason(
    server: Server, index_prefix: str
) -> None:
    server.make(index_prefix, n="double")
    batch = documents(index_prefix, a={"n": 1}, b={"n": "no number"}, c={"n": 3})
    outcome = sink(server.url).deliver(batch, 30.0)
    assert reasons(outcome.rejected) == {"b": "mapper_parsing_exception: field n of type double"}
    assert "Preview of field's value: 'no number'" in outcome.rejected["b"].message
    assert (outcome.undelivered, server.stored(index_prefix)) == ({}, {"a": {"n": 1}, "c": {"n": 3}})


def test_fields_beyond_the_limit_are_refused_with_the_reason(server: Server, index_prefix: str) -> None:
    server.make(index_prefix, {"mapping.total_fields.limit": 10}, n="long")
    batch = documents(index_prefix, a={"n": 1}, b={f"f{n}": n for n in range(20)})
    outcome = sink(server.url).deliver(batch, 30.0)
    assert reasons(outcome.rejected) == {"b": "illegal_argument_exception: limit of total fields"}
    assert server.stored(index_prefix) == {"a": {"n": 1}}


def test_a_full_write_queue_is_waited_for(small: Server, index_prefix: str) -> None:
    # Each request has a task for each shard, and the queue holds one.
    small.make(index_prefix, {"number_of_shards": 16}, n="long")
    batch = numbered(index_prefix, 200)
    outcome = sink(small.url, documents=100, retries=Retries(first=0.05)).deliver(batch, 60.0)
    assert (outcome.rejected, outcome.undelivered) == ({}, {})
    assert any("rejected_execution_exception" in answer.why for answer in outcome.answers)
    assert small.stored(index_prefix) == {f"s:{n}:0": {"n": n} for n in range(200)}


def test_a_request_that_is_too_large_for_the_server_is_halved(small: Server, index_prefix: str) -> None:
    bodies = {f"s:{n}:0": {"text": "x" * 150_000} for n in range(12)}
    small.make(index_prefix, text="text")
    outcome = sink(small.url).deliver(documents(index_prefix, **bodies, large={"text": "x" * 1_100_000}), 60.0)
    assert (reasons(outcome.rejected), outcome.undelivered) == ({"large": "document is too large"}, {})
    assert small.stored(index_prefix) == bodies


def test_a_flood_stage_block_is_an_outage_and_not_a_refusal(server: Server, index_prefix: str) -> None:
    server.make(index_prefix, n="long")
    server.set(index_prefix, **{"blocks.read_only_allow_delete": True})
    outcome = sink(server.url).deliver(numbered(index_prefix, 1), 30.0)
    assert (outcome.rejected, [answer.refused for answer in outcome.answers]) == ({}, [False, False])
    assert "cluster_block_exception" in outcome.undelivered["s:0:0"]
    server.set(index_prefix, **{"blocks.read_only_allow_delete": None})
    assert sink(server.url).deliver(numbered(index_prefix, 1), 30.0).undelivered == {}


def test_a_closed_index_sets_its_documents_aside_and_the_others_arrive(server: Server, index_prefix: str) -> None:
    server.make(f"{index_prefix}-old", n="long")
    server.ask("POST", f"/{index_prefix}-old/_close")
    places = [f"{index_prefix}-old", f"{index_prefix}-new"]
    outcome = sink(server.url).deliver(Documents(["a", "b"], places, [b'{"n":1}', b'{"n":2}']), 30.0)
    assert reasons(outcome.rejected) == {"a": "configuration: index_closed_exception"}
    assert (outcome.undelivered, server.stored(f"{index_prefix}-new")) == ({}, {"b": {"n": 2}})


def test_an_index_that_takes_no_writes_refuses_the_request(server: Server, index_prefix: str) -> None:
    server.make(index_prefix, n="long")
    server.set(index_prefix, **{"blocks.write": True})
    outcome = sink(server.url).deliver(numbered(index_prefix, 2), 30.0)
    assert (outcome.rejected, list(outcome.undelivered)) == ({}, ["s:0:0", "s:1:0"])
    assert [(answer.documents, answer.failed, answer.refused) for answer in outcome.answers] == [(2, 2, True)]


def test_a_name_that_opensearch_does_not_take_is_set_aside_as_configuration(server: Server) -> None:
    outcome = sink(server.url).deliver(numbered("UPPER", 1), 30.0)
    assert reasons(outcome.rejected) == {"s:0:0": "configuration: invalid_index_name_exception"}


def test_an_alias_that_is_gone_is_not_made_an_index(server: Server, index_prefix: str) -> None:
    outcome = sink(server.url, require_alias=True).deliver(numbered(index_prefix, 1), 30.0)
    assert reasons(outcome.rejected) == {"s:0:0": "configuration: index_not_found_exception"}
    assert not server.exists(index_prefix)


def test_a_retry_after_a_rollover_stores_a_second_time_behind_an_alias(server: Server, index_prefix: str) -> None:
    """Why the default is an index that is named by the event time."""
    server.ask("PUT", f"/{index_prefix}-000001", {"aliases": {index_prefix: {"is_write_index": True}}})
    with Proxy(server.url) as proxy:
        proxy.faults.append("lost")
        proxy.after = lambda: server.ask("POST", f"/{index_prefix}/_rollover") if len(proxy.requests) == 1 else None
        outcome = sink(proxy.url).deliver(documents(index_prefix, x={"n": 1}), 30.0)
    assert (outcome.rejected, outcome.undelivered) == ({}, {})
    assert server.hits(index_prefix) == [
        (f"{index_prefix}-000001", "x", {"n": 1}),
        (f"{index_prefix}-000002", "x", {"n": 1}),
    ]


def test_a_retry_into_an_index_of_the_event_time_stores_once(server: Server, index_prefix: str) -> None:
    with Proxy(server.url) as proxy:
        proxy.faults.append("lost")
        sink(proxy.url).deliver(documents(f"{index_prefix}-2013.01", x={"n": 1}), 30.0)
    assert server.hits(f"{index_prefix}-*") == [(f"{index_prefix}-2013.01", "x", {"n": 1})]


def test_a_document_of_10_mb_is_stored(server: Server, index_prefix: str) -> None:
    spec = IndexSpec(index_prefix, "index", index_prefix, replicas=0)
    subject = sink(server.url, prepare=Setup(Client(server.url), spec).first_run)
    text = "x" * (10 * 1024 * 1024)
    outcome = subject.deliver(documents(f"{index_prefix}-2013", a={"n": 1}, big={"text": text}, c={"n": 3}), 60.0)
    assert (outcome.rejected, outcome.undelivered) == ({}, {})
    assert server.stored(f"{index_prefix}-2013") == {"a": {"n": 1}, "big": {"text": text}, "c": {"n": 3}}


def test_ids_of_any_text_are_kept(server: Server, index_prefix: str) -> None:
    ids = ["ключ-日本-🛫", 'quote " back \\ slash / % # ?', "tab\tline\nnul\x00del\x7f", "é" * 256]
    batch = Documents(ids, [index_prefix] * len(ids), [b'{"n":1}'] * len(ids))
    for _ in range(2):
        assert sink(server.url).deliver(batch, 30.0).rejected == {}
    assert server.stored(index_prefix) == {each: {"n": 1} for each in ids}


def test_an_upsert_replaces_only_what_is_older(server: Server, index_prefix: str) -> None:
    subject = sink(server.url)
    for n, version in ((1, 5), (2, 7), (3, 6), (4, 7)):
        outcome = subject.upsert(documents(index_prefix, x={"n": n}), [version], 30.0)
        assert (outcome.rejected, outcome.undelivered) == ({}, {})
    assert server.stored(index_prefix) == {"x": {"n": 2}}


class Subject:
    """The contract's levers, pulled on the way: each document's own answer is the real server's."""

    def __init__(self, server: Server, proxy: Proxy, place: str) -> None:
        self.sink: RecordSink = sink(proxy.url, largest=1_000_000)
        self._server, self._proxy, self._place = server, proxy, place
        self._throttled: set[str] = set()
        self._refused: set[str] = set()
        proxy.change = self._change
        server.make(place, n="long")
        server.make(f"{place}-blocked", {"blocks.read_only_allow_delete": True})

    def stored(self) -> Mapping[str, Event]:
        return self._server.stored(self._place)

    def throttle(self, document_id: str) -> None:
        self._throttled.add(document_id)

    def refuse(self, document_id: str) -> None:
        self._refused.add(document_id)

    def take_down(self) -> None:
        self._proxy.down()

    def bring_up(self) -> None:
        self._throttled.clear()

    def oversize(self) -> bytes:
        return orjson.dumps({"text": "x" * 1_000_000})

    def _change(self, body: bytes) -> bytes:
        lines = body.split(b"\n")
        for index in range(0, len(lines) - 1, 2):
            document_id = orjson.loads(lines[index])["create"]["_id"]
            if document_id in self._throttled:
                lines[index] = lines[index].replace(self._place.encode(), f"{self._place}-blocked".encode(), 1)
            if document_id in self._refused:
                lines[index + 1] = b'{"n":"no number"}'
        return b"\n".join(lines)


class TestContract(RecordSinkContract):
    @pytest.fixture(autouse=True)
    def _parts(self, server: Server, index_prefix: str) -> Iterator[None]:
        self.PLACE = index_prefix
        with Proxy(server.url) as proxy:
            self._subject = Subject(server, proxy, index_prefix)
            yield

    def subject(self) -> RecordSubject:
        return self._subject
