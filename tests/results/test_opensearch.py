"""Results as documents: what the sink is asked, what its answers mean, and how the index is mapped."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.aggregates.windows import Tumbling
from aetherstream.errors import ConfigurationError, Rejected, Retryable
from aetherstream.results.opensearch import OpenSearchOutlet, mappings_of
from aetherstream.results.parts import Sent
from aetherstream.results.rows import document
from aetherstream.sinks.base import Answer, Documents, Outcome
from aetherstream.testing.results import row, taken_back

AA, UA = 'hours/2013-01-01T10:00:00Z/["AA"]', 'hours/2013-01-01T10:00:00Z/["UA"]'


class Cluster:
    """Answers each request with the outcome that it is given, and remembers it."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        self._outcome = outcome or Outcome()
        self.asked: list[tuple[str, str, bytes, int]] = []
        self.seconds: float | None = None

    def upsert(self, documents: Documents, versions: Sequence[int], seconds: float, /) -> Outcome:
        self.asked += zip(documents.places, documents.ids, documents.bodies, versions, strict=True)
        self.seconds = seconds
        return self._outcome


def outlet(cluster: Cluster, fields: Sequence[str] | None = None) -> OpenSearchOutlet:
    return OpenSearchOutlet("aggregates.hours.to.search", cluster, "carrier-hours", fields)


def test_every_row_is_for_opensearch() -> None:
    assert not outlet(Cluster()).final_only


def test_a_row_goes_to_its_index_under_its_id_with_its_version() -> None:
    cluster = Cluster()
    assert outlet(cluster).send([row("AA", 7)], 12.5) == Sent()
    assert cluster.asked == [("carrier-hours", AA, orjson.dumps(document(row("AA", 7))), 7)]
    assert cluster.seconds == 12.5


def test_only_the_outputs_that_are_asked_for_are_sent() -> None:
    cluster = Cluster()
    outlet(cluster, ["delay"]).send([row("AA", 7)], 60.0)
    assert orjson.loads(cluster.asked[0][2]) == document(row("AA", 7), ["delay"])


def test_a_removed_row_is_a_document_without_a_body() -> None:
    cluster = Cluster()
    outlet(cluster).send([taken_back(row("AA"), 9)], 60.0)
    assert cluster.asked == [("carrier-hours", AA, b"", 9)]


def test_of_rows_with_one_id_only_the_newest_is_sent() -> None:
    cluster = Cluster()
    outlet(cluster).send([row("AA", 7), row("AA", 9), taken_back(row("AA"), 8)], 60.0)
    assert [(document_id, version) for _, document_id, _, version in cluster.asked] == [(AA, 9)]


def test_what_opensearch_refuses_is_refused_with_its_reason() -> None:
    why = Rejected("mapper_parsing_exception: field note", "field [note] ...")
    assert outlet(Cluster(Outcome(rejected={AA: why}))).send([row("AA"), row("UA")], 60.0) == Sent({AA: why})


def test_what_can_not_be_written_is_refused_without_asking() -> None:
    cluster = Cluster()
    sent = outlet(cluster).send([row("AA", note=object()), row("UA")], 60.0)
    assert {key: why.reason for key, why in sent.refused.items()} == {AA: "can't be written as JSON"}
    assert [document_id for _, document_id, _, _ in cluster.asked] == [UA]


def test_what_may_work_later_is_retryable_and_says_how_many_rows_and_why() -> None:
    cluster = Cluster(Outcome(undelivered={AA: "503"}, answers=[Answer(2, 1, "503")]))
    with pytest.raises(Retryable, match=r"^aggregates\.hours\.to\.search: 1 of 2 results are not stored: 503$"):
        outlet(cluster).send([row("AA"), row("UA")], 60.0)


def test_a_cluster_that_refuses_requests_needs_somebody() -> None:
    outcome = Outcome(undelivered={AA: "later"}, answers=[Answer(1, 1, "403 forbidden", refused=True)])
    with pytest.raises(ConfigurationError, match=r"^aggregates\.hours\.to\.search: 403 forbidden$"):
        outlet(Cluster(outcome)).send([row("AA")], 60.0)


def test_an_index_that_takes_nothing_needs_somebody() -> None:
    why = Rejected("configuration: index_closed_exception", "index_closed_exception: closed")
    with pytest.raises(ConfigurationError, match=r"^aggregates\.hours\.to\.search: index carrier-hours: index_closed"):
        outlet(Cluster(Outcome(rejected={AA: why}))).send([row("AA")], 60.0)


KINDS = (
    Output("flights", make("count")),
    Output("total", make("sum"), "v"),
    Output("latest", make("last"), "v"),
    Output("tails", make("distinct"), "v"),
    Output("delays", make("quantiles", at=[0.5, 0.999]), "v"),
    Output("routes", make("top_k", k=3), "v"),
    Output("mine", make("custom", reference="tests.aggregates.support:Longest"), "v"),
)
DATE = {"type": "date", "format": "strict_date_optional_time", "ignore_malformed": True}
NUMBER = {"type": "double"}


def declaration(outputs: Sequence[Output] = KINDS, ranking: Ranking | None = None) -> Declaration:
    aggregate = Aggregate("hours", (("carrier", "carrier"),), Tumbling(3600), tuple(outputs))
    return Declaration(aggregate, ranking=ranking)


def test_every_field_of_a_row_is_mapped_but_what_an_accumulator_of_the_users_gives() -> None:
    assert mappings_of(declaration()) == {
        "id": "keyword",
        "aggregate": "keyword",
        "window_start": DATE,
        "window_end": DATE,
        "version": "long",
        "final": "boolean",
        "carrier": "keyword",
        "flights": "long",
        "total": "double",
        "latest": {"type": "keyword", "fields": {"number": {"type": "double", "ignore_malformed": True}}},
        "tails": "long",
        "delays": {"properties": {"p50": NUMBER, "p99_9": NUMBER}},
        "routes": {"properties": {"value": {"type": "keyword"}, "count": {"type": "long"}, "error": {"type": "long"}}},
    }


def test_outputs_that_are_not_sent_are_not_mapped() -> None:
    assert mappings_of(declaration(), ["flights"]).keys() - mappings_of(declaration(), []).keys() == {"flights"}


def test_a_ranking_has_its_rank() -> None:
    assert mappings_of(declaration(ranking=Ranking("flights", 5)))["rank"] == "integer"


def test_what_is_a_shards_part_has_its_place_and_its_state_is_only_kept() -> None:
    part = Declaration(declaration().aggregate, store="lambda")
    found = mappings_of(part)
    assert {name: found[name] for name in found.keys() - mappings_of(declaration()).keys()} == {
        "shard": "keyword",
        "part": "keyword",
        "early": "boolean",
        "state": {"type": "keyword", "index": False, "doc_values": False},
    }
