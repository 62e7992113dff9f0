"""Results against a real server: the contract, and what can be asked of the index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.columns import Columns
from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.aggregates.fold import fold
from aetherstream.aggregates.windows import Tumbling, Window
from aetherstream.compose_aggregates import declarations_of
from aetherstream.compose_results import outlets_of, result_indices_of
from aetherstream.delivery.aggregates.results import Result
from aetherstream.pipeline import load
from aetherstream.results.opensearch import REMEMBERS_REMOVED, OpenSearchOutlet, mappings_of
from aetherstream.results.parts import Outlet, Part, Sent
from aetherstream.results.rows import rows
from aetherstream.sinks.opensearch.client import Client
from aetherstream.sinks.opensearch.connect import setup_of
from aetherstream.sinks.opensearch.setup import Setup
from aetherstream.sinks.opensearch.sink import OpenSearchSink
from aetherstream.sinks.opensearch.template import IndexSpec
from aetherstream.testing.accumulators import place
from aetherstream.testing.results import NEW_YEAR, OutletContract, OutletSubject, row, shown, taken_back
from tests.opensearch.proxy import Proxy
from tests.opensearch.server import QUICK, Server

pytestmark = pytest.mark.integration

OUTPUTS = (
    Output("flights", make("count")),
    Output("delay", make("mean"), "d"),
    Output("note", make("custom", reference="tests.aggregates.support:Longest"), "n"),
    Output("total", make("sum"), "d"),
    Output("latest", make("last"), "n"),
    Output("delays", make("quantiles", at=[0.5, 0.95]), "d"),
    Output("routes", make("top_k", k=2), "n"),
)
HOURS = Declaration(
    Aggregate("hours", (("carrier", "carrier"),), Tumbling(3600), OUTPUTS), emit="close", ranking=Ranking("flights", 2)
)


@pytest.fixture
def server(opensearch: str) -> Server:
    return Server(opensearch)


def spec(index: str, declaration: Declaration = HOURS) -> IndexSpec:
    return IndexSpec(
        index,
        "single",
        index,
        mappings=mappings_of(declaration),
        own={},
        numbers="double",
        replicas=0,
        remembers_removed=REMEMBERS_REMOVED,
    )


def outlet(url: str, index: str, declaration: Declaration = HOURS) -> OpenSearchOutlet:
    client = Client(url)
    prepare = Setup(client, spec(index, declaration)).first_run
    sink = OpenSearchSink("results", client, documents=2, retries=QUICK, prepare=prepare, warn=pytest.fail)
    return OpenSearchOutlet("aggregates.hours.to.search", sink, index)


def found(server: Server, index: str, query: Any) -> list[str]:
    """The carriers of the documents that a query finds, in its order or their own."""
    server.ask("POST", f"/{index}/_refresh")
    hits = server.ask("POST", f"/{index}/_search", query)["hits"]["hits"]
    return [
        hit["_source"]["carrier"] for hit in (hits if "sort" in query else sorted(hits, key=lambda hit: hit["_id"]))
    ]


@dataclass
class Subject:
    outlet: Outlet
    server: Server
    proxy: Proxy
    index: str

    def stored(self) -> Mapping[str, Mapping[str, Any]]:
        if not self.server.exists(self.index):
            return {}
        return self.server.stored(self.index)

    def take_down(self) -> None:
        self.proxy.down()

    def bring_up(self) -> None:
        self.proxy.up()


class TestOpenSearch(OutletContract):
    @pytest.fixture(autouse=True)
    def _parts(self, server: Server, index_prefix: str) -> Iterator[None]:
        with Proxy(server.url) as proxy:
            self._subject = Subject(outlet(proxy.url, index_prefix), server, proxy, index_prefix)
            yield

    def subject(self) -> OutletSubject:
        return self._subject


def test_a_result_that_the_index_can_not_take_is_refused_alone(server: Server, index_prefix: str) -> None:
    subject = outlet(server.url, index_prefix)
    subject.send([row("AA", note={"a": 1})], 60.0)
    sent = subject.send([row("UA", note="a text"), row("DL")], 60.0)
    assert {key: why.reason for key, why in sent.refused.items()} == {
        row("UA").id: "mapper_parsing_exception: field note"
    }
    assert server.stored(index_prefix) == shown(row("AA", note={"a": 1}), row("DL"))


@pytest.mark.parametrize("lost", [1, 3])
def test_rows_whose_answer_is_lost_are_stored_once(server: Server, index_prefix: str, lost: int) -> None:
    with Proxy(server.url) as proxy:
        subject = outlet(proxy.url, index_prefix)
        subject.send([row("AA", 7), row("UA", 7)], 60.0)
        proxy.faults.extend(["lost"] * lost)
        assert subject.send([row("AA", 9), taken_back(row("UA"), 9)], 60.0) == Sent()
    assert server.stored(index_prefix) == shown(row("AA", 9))


def test_a_sum_beyond_64_bits_is_found_by_its_size_and_read_back_exactly(server: Server, index_prefix: str) -> None:
    rows = [row("AA", total=2**64 + 1), row("UA", total=5)]
    assert outlet(server.url, index_prefix).send(rows, 60.0) == Sent()
    assert found(server, index_prefix, {"query": {"range": {"total": {"gt": 2**63}}}}) == ["AA"]
    assert b'"total":%d' % (2**64 + 1) in _source(server, index_prefix, rows[0].id)


def test_what_no_double_can_hold_is_refused_alone(server: Server, index_prefix: str) -> None:
    sent = outlet(server.url, index_prefix).send([row("AA", total=10**400), row("UA", total=5)], 60.0)
    assert {key: why.reason for key, why in sent.refused.items()} == {
        row("AA").id: "mapper_parsing_exception: field total of type double"
    }


def test_scalars_of_any_kind_are_found_as_texts_and_those_that_are_numbers_by_their_size(
    server: Server, index_prefix: str
) -> None:
    rows = [row("AA", latest="N123"), row("UA", latest=7.5), row("DL", latest=True), row("EV", latest=2**70)]
    assert outlet(server.url, index_prefix).send(rows, 60.0) == Sent()
    assert found(server, index_prefix, {"query": {"term": {"latest": "N123"}}}) == ["AA"]
    assert found(server, index_prefix, {"query": {"term": {"latest": "true"}}}) == ["DL"]
    assert found(server, index_prefix, {"query": {"range": {"latest.number": {"gt": 7}}}}) == ["EV", "UA"]


def test_quantiles_are_numbers_whichever_came_first(server: Server, index_prefix: str) -> None:
    rows = [row("AA", delays={"p50": 1, "p95": None}), row("UA", delays={"p50": 1.5, "p95": 61.3})]
    assert outlet(server.url, index_prefix).send(rows, 60.0) == Sent()
    assert found(server, index_prefix, {"query": {"range": {"delays.p50": {"gt": 1.2}}}}) == ["UA"]
    assert found(server, index_prefix, {"sort": [{"delays.p95": "desc"}]}) == ["UA", "AA"]


def test_the_most_frequent_values_are_found_by_value(server: Server, index_prefix: str) -> None:
    rows = [
        row("AA", routes=[{"value": "JFK-LAX", "count": 30}, {"value": 7, "count": 2, "error": 1}]),
        row("UA", routes=[{"value": "EWR-SFO", "count": 9}]),
        row("DL", routes=[]),
    ]
    assert outlet(server.url, index_prefix).send(rows, 60.0) == Sent()
    assert found(server, index_prefix, {"query": {"term": {"routes.value": "JFK-LAX"}}}) == ["AA"]
    assert found(server, index_prefix, {"query": {"term": {"routes.value": "7"}}}) == ["AA"]


def test_numbers_of_a_users_accumulator_are_numbers_whether_the_first_was_whole_or_not(
    server: Server, index_prefix: str
) -> None:
    rows = [row("AA", note={"spread": 1}), row("UA", note={"spread": 1.5}), row("DL", note={"spread": 2**65})]
    assert outlet(server.url, index_prefix).send(rows, 60.0) == Sent()
    assert found(server, index_prefix, {"query": {"range": {"note.spread": {"gt": 1.2}}}}) == ["DL", "UA"]


def test_windows_are_found_by_time_and_outlandish_ones_are_stored_all_the_same(
    server: Server, index_prefix: str
) -> None:
    within = replace(row("UA"), id="a", window=Window(NEW_YEAR + 0.123456, NEW_YEAR + 60.5))
    early = replace(row("DL"), id="b", window=Window(-62_135_600_400, -62_135_596_800))
    late = replace(row("EV"), id="c", window=Window(253_402_297_200, 253_402_300_800))
    assert outlet(server.url, index_prefix).send([row("AA"), within, early, late], 60.0) == Sent()
    year = {"range": {"window_start": {"gte": "2013", "lt": "2014"}}}
    assert found(server, index_prefix, {"query": year, "sort": ["window_start"]}) == ["UA", "AA"]
    assert sorted(server.stored(index_prefix)) == ["a", "b", "c", row("AA").id]


def test_groups_of_any_kind_are_found_by_their_text(server: Server, index_prefix: str) -> None:
    rows = [
        replace(row("AA"), id=f"{number}", group={"carrier": value})
        for number, value in enumerate(["x" * 1024, 7, 1.5, True, None])
    ]
    assert outlet(server.url, index_prefix).send(rows, 60.0) == Sent()
    terms = {"terms": {"carrier": ["x" * 1024, "7", "1.5", "true"]}}
    assert found(server, index_prefix, {"query": terms}) == ["x" * 1024, 7, 1.5, True]


def test_a_ranking_is_read_by_its_ranks(server: Server, index_prefix: str) -> None:
    rows = [replace(row(name), id=f"r{rank}", rank=rank) for rank, name in enumerate(["UA", "AA"], 1)]
    assert outlet(server.url, index_prefix).send(rows, 60.0) == Sent()
    assert found(server, index_prefix, {"sort": ["rank"]}) == ["UA", "AA"]


def test_the_state_of_a_shards_part_is_kept_whatever_its_size(server: Server, index_prefix: str) -> None:
    part = Part("shardId-000000000001", "4959", False, "f:" + "QUJD" * 20_000)
    parts = Declaration(HOURS.aggregate, store="lambda")
    assert outlet(server.url, index_prefix, parts).send([replace(row("AA"), part=part)], 60.0) == Sent()
    assert found(server, index_prefix, {"query": {"term": {"shard": "shardId-000000000001"}}}) == ["AA"]
    (stored,) = server.stored(index_prefix).values()
    assert stored["state"] == part.state


def test_a_removal_is_remembered_for_an_hour(server: Server, index_prefix: str) -> None:
    outlet(server.url, index_prefix).send([taken_back(row("AA"), 9)], 60.0)
    settings = server.ask("GET", f"/{index_prefix}/_settings?flat_settings=true")[index_prefix]["settings"]
    assert settings["index.gc_deletes"] == "1h"


def test_the_template_on_the_cluster_is_what_is_wanted(server: Server, index_prefix: str) -> None:
    outlet(server.url, index_prefix).send([row("AA")], 60.0)
    assert Setup(Client(server.url), spec(index_prefix)).check() == []


PIPELINE = """\
pipeline: PREFIX
event_time: {field: at}
aggregates:
  hours:
    group_by: [carrier]
    window: {tumbling: 1h}
    outputs:
      flights: count
      total: {kind: sum, of: delay}
      mean: {kind: mean, of: delay}
      latest: {kind: last, of: tail}
      tails: {kind: distinct, of: tail}
      delays: {kind: quantiles, of: delay}
      routes: {kind: top_k, of: tail}
    to: {search: {index: hours-PREFIX}}
sinks:
  archive: {s3: {bucket: data}}
  search: {opensearch: {endpoint: "URL", index: PREFIX, replicas: 0, dynamic: strict}}
quarantine: {s3: {bucket: data}}
"""


def test_results_of_events_reach_the_index_that_the_file_names(
    server: Server, index_prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("PREFIX", index_prefix).replace("URL", server.url))
    pipeline = load(tmp_path / "p.yaml", {})
    declarations = declarations_of(pipeline)
    (aggregate,) = (each.aggregate for each in declarations)
    columns: dict[str, list[Any]] = {
        "carrier": ["AA", "UA", "AA"],
        "delay": [2**63, 1.5, 2**63],
        "tail": ["N1", None, 7],
    }
    times = [NEW_YEAR, NEW_YEAR + 1, NEW_YEAR + 2]
    folded = fold(aggregate, Columns(columns, times, [place(n) for n in range(3)], times))
    made = rows(
        aggregate,
        [Result(key, key.window, partial, 3) for key, partial in folded.partials.items() if key.window],
        final=False,
    )
    session = boto3.Session(region_name="eu-central-1")
    (outlet,) = outlets_of(pipeline, declarations, session=session, warn=pytest.fail)["hours"]
    assert outlet.send(made, 60.0) == Sent()
    assert server.stored(f"hours-{index_prefix}") == shown(*made)
    assert [each.values["total"] for each in made] == [2**64, 1.5]
    (options,) = result_indices_of(pipeline, declarations)
    assert setup_of(options, session).check() == []


def _source(server: Server, index: str, document_id: str) -> bytes:
    return (
        Client(server.url).request("GET", f"/{index}/_source/{quote(document_id, safe='')}", None, 30.0).text.encode()
    )
