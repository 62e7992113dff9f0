"""What happens to requests on the way to a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aetherstream.sinks.opensearch.client import Client
from aetherstream.sinks.opensearch.setup import Setup
from aetherstream.sinks.opensearch.template import IndexSpec
from tests.opensearch.proxy import Fault, Proxy
from tests.opensearch.server import Server, documents, numbered, sink

pytestmark = pytest.mark.integration


@pytest.fixture
def proxy(opensearch: str) -> Iterator[Proxy]:
    with Proxy(opensearch) as made:
        yield made


@pytest.mark.parametrize("fault", ["reset", "lost", "cut", "short"])
def test_a_request_that_is_lost_on_the_way_is_sent_again_and_stored_once(
    opensearch: str, proxy: Proxy, index_prefix: str, fault: Fault
) -> None:
    server = Server(opensearch)
    proxy.faults.extend([fault, fault])
    outcome = sink(proxy.url).deliver(numbered(index_prefix, 20), 30.0)
    assert (outcome.rejected, outcome.undelivered) == ({}, {})
    assert [answer.failed for answer in outcome.answers] == [20, 20, 0]
    assert server.stored(index_prefix) == {f"s:{n}:0": {"n": n} for n in range(20)}
    assert server.ask("GET", f"/{index_prefix}/_doc/s:3:0")["_version"] == 1


def test_requests_in_parallel_fail_and_come_again_each_for_itself(
    opensearch: str, proxy: Proxy, index_prefix: str
) -> None:
    proxy.faults.extend(["reset", "none", "lost", "cut", "none", "short", "lost"])
    outcome = sink(proxy.url, documents=10).deliver(numbered(index_prefix, 100), 60.0)
    assert (outcome.rejected, outcome.undelivered) == ({}, {})
    assert Server(opensearch).stored(index_prefix) == {f"s:{n}:0": {"n": n} for n in range(100)}


@pytest.mark.parametrize("fault", ["mute", "trickle"])
def test_a_server_that_does_not_finish_its_answer_is_left_in_time_with_nothing_under_way(
    proxy: Proxy, index_prefix: str, fault: Fault
) -> None:
    proxy.always = fault
    outcome = sink(proxy.url).deliver(numbered(index_prefix, 3), 1.0)
    assert (list(outcome.undelivered), outcome.rejected) == (["s:0:0", "s:1:0", "s:2:0"], {})
    assert [(answer.documents, answer.failed, answer.refused) for answer in outcome.answers] == [(3, 3, False)]
    assert proxy.broken.wait(30)


def test_a_server_that_does_not_finish_to_be_prepared_is_left_in_time(proxy: Proxy, index_prefix: str) -> None:
    proxy.always = "trickle"
    spec = IndexSpec(index_prefix, "index", index_prefix)
    outcome = sink(proxy.url, prepare=Setup(Client(proxy.url), spec).first_run).deliver(numbered(index_prefix, 1), 1.0)
    assert (list(outcome.undelivered), len(outcome.answers)) == (["s:0:0"], 1)


def test_a_server_that_is_gone_leaves_every_document_with_the_reason(proxy: Proxy, index_prefix: str) -> None:
    proxy.down()
    outcome = sink(proxy.url).deliver(numbered(index_prefix, 2), 30.0)
    assert list(outcome.undelivered) == ["s:0:0", "s:1:0"]
    assert "refused" in outcome.undelivered["s:0:0"]


def test_a_name_that_is_not_found_is_said(index_prefix: str) -> None:
    outcome = sink("http://nowhere.invalid:9200").deliver(numbered(index_prefix, 1), 30.0)
    assert "resolve" in outcome.undelivered["s:0:0"]


def test_a_request_is_compressed_on_request(opensearch: str, index_prefix: str) -> None:
    subject = sink(opensearch)
    subject = type(subject)("search", Client(opensearch, compress=True))
    assert subject.deliver(documents(index_prefix, x={"text": "a" * 1000}), 30.0).undelivered == {}
    assert Server(opensearch).stored(index_prefix) == {"x": {"text": "a" * 1000}}
