"""Templates and first indices on a real server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aetherstream.sinks.opensearch.client import Client
from aetherstream.sinks.opensearch.setup import Setup
from aetherstream.sinks.opensearch.template import IndexSpec, Kind
from tests.opensearch.server import Server, documents, sink

pytestmark = pytest.mark.integration

FIELDS: dict[str, Any] = {
    "origin": "keyword",
    "where.point": "geo_point",
    "text": {"type": "text", "fields": {"raw": {"type": "keyword", "ignore_above": 256}}},
}


def spec(prefix: str, kind: Kind = "index") -> IndexSpec:
    return IndexSpec(f"{prefix}-t", kind, prefix, mappings=FIELDS, replicas=0, refresh="1s", timestamp="at")


@pytest.mark.parametrize("kind", ["index", "alias", "data_stream"])
@pytest.mark.parametrize("dynamic", [True, False, "strict"])
def test_what_was_applied_is_found_to_be_what_is_wanted(
    opensearch: str, index_prefix: str, kind: Kind, dynamic: bool
) -> None:
    setup = Setup(Client(opensearch), replace(spec(index_prefix, kind), dynamic=dynamic))
    assert len(setup.apply()) == (2 if kind == "alias" else 1)
    assert setup.check() == []


@pytest.mark.parametrize("kind", ["index", "alias", "data_stream"])
def test_a_first_write_finds_its_place_made(opensearch: str, index_prefix: str, kind: Kind) -> None:
    server, wanted = Server(opensearch), spec(index_prefix, kind)
    place = f"{index_prefix}-2013.01" if kind == "index" else index_prefix
    told: list[str] = []
    subject = sink(
        opensearch,
        prepare=Setup(Client(opensearch), wanted).first_run,
        require_alias=kind == "alias",
        warn=told.append,
    )
    body = {"at": "2013-01-01T05:00:00Z", "origin": "EWR", "more": "x", "_event_id": "s:1:0"}
    for _ in range(2):
        assert subject.deliver(documents(place, x=body), 30.0).rejected == {}
    ((index, *stored),) = server.hits(place)
    assert (stored, told) == (["x", body], [])
    fields = server.ask("GET", f"/{index}/_mapping")[index]["mappings"]["properties"]
    assert (fields["_event_id"], fields["origin"], fields["more"]) == (
        {"type": "keyword"},
        {"type": "keyword"},
        {"type": "keyword", "ignore_above": 1024},
    )


def test_a_template_that_differs_is_left_by_the_first_write_and_changed_by_a_person(
    opensearch: str, index_prefix: str
) -> None:
    Setup(Client(opensearch), spec(index_prefix)).apply()
    changed = Setup(Client(opensearch), replace(spec(index_prefix), shards=2, mappings={"origin": "text"}))
    (warning,) = changed.first_run(30.0)
    assert "is left as it is" in warning
    (difference,) = changed.check()
    assert list(difference.lines) == [
        "template.mappings.properties.origin.type: keyword → text",
        "template.mappings.properties.text.fields.raw.ignore_above: 256 → nothing",
        "template.mappings.properties.text.fields.raw.type: keyword → nothing",
        "template.mappings.properties.text.type: text → nothing",
        "template.mappings.properties.where.properties.point.type: geo_point → nothing",
        "template.settings.index.number_of_shards: 1 → 2",
    ]
    changed.apply()
    assert changed.check() == []


def test_a_server_without_index_state_management_is_said_and_no_error(opensearch: str, index_prefix: str) -> None:
    setup = Setup(Client(opensearch), replace(spec(index_prefix, "alias"), retention="90d", rollover_age="1d"))
    (warning,) = setup.first_run(30.0)
    assert "the cluster has no index state management" in warning
    assert [each.state for each in setup.check()] == ["unsupported"]


def test_two_sinks_whose_patterns_overlap_each_have_their_template(opensearch: str, index_prefix: str) -> None:
    server = Server(opensearch)
    for prefix, kind in ((index_prefix, "keyword"), (f"{index_prefix}-web", "long")):
        Setup(Client(opensearch), IndexSpec(f"{prefix}-t", "index", prefix, mappings={"x": kind})).apply()
    for prefix, kind in ((index_prefix, "keyword"), (f"{index_prefix}-web", "long")):
        sink(opensearch).deliver(documents(f"{prefix}-2013", a={"x": 1}), 30.0)
        (found,) = server.ask("GET", f"/{prefix}-2013/_mapping").values()
        assert found["mappings"]["properties"]["x"] == {"type": kind}
