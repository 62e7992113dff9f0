from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.sinks.opensearch.setup import Difference, Setup
from aetherstream.sinks.opensearch.template import IndexSpec, index_template, policy
from aetherstream.sinks.opensearch.wire import Response, Unreachable
from tests.sinks.opensearch.fakes import refusal

SPEC = IndexSpec("flights-search", "index", "flights")
TEMPLATE = "/_index_template/flights-search"
POLICY = "/_plugins/_ism/policies/flights-search"


class Cluster:
    """Keeps templates, policies and indices. `wrong` answers in its place."""

    def __init__(self, *, ism: bool = True) -> None:
        self.ism = ism
        self.held: dict[str, Any] = {}
        self.asked: list[str] = []
        self.wrong: Callable[[str, str], Response | None] = lambda *_: None

    def begin(self) -> None:
        raise AssertionError("that is for deliveries")

    def abort(self) -> None:
        raise AssertionError("that is for deliveries")

    def request(self, method: str, path: str, body: bytes | None, seconds: float, /) -> Response:
        self.asked.append(f"{method} {path}")
        if (answer := self.wrong(method, path)) is not None:
            return answer
        if "_ism" in path and not self.ism:
            return Response(400, f'{{"error":"no handler found for uri [{path}] and method [{method}]"}}')
        name, _, query = path.partition("?")
        if method == "PUT":
            return self._put(name, query, orjson.loads(body or b""))
        if name not in self.held:
            return refusal(404, "not_found")
        held = self.held[name]
        return Response(200, orjson.dumps(held).decode())

    def _put(self, name: str, query: str, body: Any) -> Response:
        if query == "create=true" and name in self.held:
            return refusal(400, "illegal_argument_exception", f"index template [{name}] already exists")
        if "_index_template" in name:
            body = {"index_templates": [{"name": "flights-search", "index_template": body}]}
        elif "_ism" in name:
            if name in self.held and query != "if_seq_no=4&if_primary_term=2":
                return refusal(409, "version_conflict_engine_exception")
            body = {"_seq_no": 4, "_primary_term": 2, **body}
        else:
            self.held |= {
                f"/_alias/{alias}": {name[1:]: {"aliases": {alias: each}}} for alias, each in body["aliases"].items()
            }
        self.held[name] = body
        return Response(200, "{}")

    def put(self) -> list[str]:
        return [each for each in self.asked if each.startswith("PUT")]


def states(found: list[Difference]) -> dict[str, str]:
    return {each.what: each.state for each in found}


MANAGED = replace(SPEC, kind="alias", rollover_age="1d", retention="90d")


def test_checking_changes_nothing() -> None:
    cluster = Cluster()
    assert states(Setup(cluster, MANAGED).check()) == {
        "policy flights-search": "missing",
        "index template flights-search": "missing",
        "alias flights": "missing",
    }
    assert (cluster.put(), cluster.held) == ([], {})


def test_applying_puts_everything_there_the_policy_first() -> None:
    cluster = Cluster()
    assert len(Setup(cluster, MANAGED).apply()) == 3
    assert cluster.put() == [f"PUT {POLICY}", f"PUT {TEMPLATE}", "PUT /flights-000001"]
    assert cluster.held["/flights-000001"] == {"aliases": {"flights": {"is_write_index": True}}}
    assert (Setup(cluster, MANAGED).check(), Setup(cluster, MANAGED).apply()) == ([], [])


def test_applying_replaces_what_differs_as_it_was_seen() -> None:
    cluster = Cluster()
    Setup(cluster, MANAGED).apply()
    changed = replace(MANAGED, retention="30d", shards=2)
    found = Setup(cluster, changed).check()
    assert [(each.what, each.state, list(each.lines)) for each in found] == [
        (
            "policy flights-search",
            "differs",
            ["policy.states[0].transitions[0].conditions.min_rollover_age: 90d → 30d"],
        ),
        ("index template flights-search", "differs", ["template.settings.index.number_of_shards: 1 → 2"]),
    ]
    assert Setup(cluster, changed).apply() == found
    assert cluster.put()[-2:] == [f"PUT {POLICY}?if_seq_no=4&if_primary_term=2", f"PUT {TEMPLATE}"]
    assert Setup(cluster, changed).check() == []


def test_a_refusal_to_apply_is_said_with_what_was_refused() -> None:
    cluster = Cluster()
    cluster.wrong = lambda method, _: refusal(403, "security_exception", "no rights") if method == "PUT" else None
    with pytest.raises(ConfigurationError, match="index template flights-search: OpenSearch answered 403"):
        Setup(cluster, SPEC).apply()


def test_a_cluster_that_is_down_is_an_outage() -> None:
    cluster = Cluster()
    cluster.wrong = lambda *_: refusal(503)
    with pytest.raises(Unreachable, match="503"):
        Setup(cluster, SPEC).check()


def test_a_first_run_creates_what_is_missing() -> None:
    cluster = Cluster()
    assert Setup(cluster, MANAGED).first_run(5.0) == []
    assert cluster.put() == [f"PUT {POLICY}", f"PUT {TEMPLATE}?create=true", "PUT /flights-000001"]
    assert Setup(cluster, MANAGED).first_run(5.0) == []


def test_a_first_run_leaves_what_differs_and_says_so() -> None:
    cluster = Cluster()
    Setup(cluster, SPEC).apply()
    del cluster.asked[:]
    (told,) = Setup(cluster, replace(SPEC, shards=2)).first_run(5.0)
    assert told == (
        "index template flights-search is not what the pipeline wants and is left as it is:"
        " `aetherstream opensearch setup` shows the differences and can apply them"
    )
    assert cluster.put() == []


def test_a_first_run_that_another_process_was_quicker_than_goes_on() -> None:
    cluster = Cluster()
    hidden = True

    def hide(method: str, path: str) -> Response | None:
        return refusal(404) if method == "GET" and hidden else None

    Setup(cluster, MANAGED).apply()
    cluster.wrong = lambda method, path: (
        refusal(400, "resource_already_exists_exception")
        if method == "PUT" and path == "/flights-000001"
        else hide(method, path)
    )
    assert Setup(cluster, replace(MANAGED, retention="1d")).first_run(5.0) == []


def test_a_first_run_without_rights_on_templates_goes_on_into_plain_indices() -> None:
    cluster = Cluster()
    cluster.wrong = lambda *_: refusal(403, "security_exception", "no rights")
    assert Setup(cluster, SPEC).first_run(5.0) == [
        "index template flights-search: forbidden (OpenSearch answered 403: security_exception: no rights)"
    ]


@pytest.mark.parametrize("kind", ["alias", "data_stream"])
def test_a_first_run_that_can_not_make_an_alias_or_data_stream_refuses_to_write_an_index_of_its_name(kind: Any) -> None:
    cluster = Cluster()
    cluster.wrong = lambda method, _: refusal(403, "security_exception") if method == "PUT" else None
    with pytest.raises(ConfigurationError, match="is missing and can't be created"):
        Setup(cluster, replace(SPEC, kind=kind)).first_run(5.0)


def test_an_index_in_the_alias_s_way_is_refused() -> None:
    cluster = Cluster()
    cluster.held["/flights"] = {}
    setup = Setup(cluster, replace(SPEC, kind="alias"))
    assert setup.check()[1:] == [Difference("alias flights", "blocked", ["an index of the name flights is in its way"])]
    with pytest.raises(ConfigurationError, match="an index of the name flights is in its way"):
        setup.first_run(5.0)


def test_an_alias_of_several_indices_needs_a_write_index() -> None:
    cluster = Cluster()
    cluster.held["/_alias/flights"] = {name: {"aliases": {"flights": {}}} for name in ("a", "b")}
    assert Setup(cluster, replace(SPEC, kind="alias")).check()[1:] == [
        Difference("alias flights", "blocked", ["none of a, b is its write index"])
    ]


def test_a_cluster_without_policies_is_said_and_no_error() -> None:
    cluster = Cluster(ism=False)
    (told,) = Setup(cluster, MANAGED).first_run(5.0)
    assert told == (
        "policy flights-search: unsupported (the cluster has no index state management: nothing is rolled over or"
        " removed by itself)"
    )
    template = cluster.held[TEMPLATE]["index_templates"][0]["index_template"]
    assert template == index_template(MANAGED, ism=False)


def test_a_sink_that_wants_no_policy_asks_for_none() -> None:
    cluster = Cluster(ism=False)
    Setup(cluster, SPEC).check()
    assert cluster.asked == [f"GET {TEMPLATE}"]


def test_serverless_is_not_asked_for_policies() -> None:
    cluster = Cluster()
    setup = Setup(cluster, MANAGED, lambda: "SEARCH")
    assert states(setup.check())["policy flights-search"] == "unsupported"
    assert all("_ism" not in each for each in cluster.asked)
    setup.apply()
    assert cluster.held[TEMPLATE]["index_templates"][0]["index_template"] == index_template(
        MANAGED, ism=False, serverless=True
    )


@pytest.mark.parametrize("kind", ["TIMESERIES", "VECTORSEARCH"])
def test_a_collection_that_takes_no_ids_is_refused_before_anything_is_asked(kind: str) -> None:
    cluster = Cluster()
    with pytest.raises(ConfigurationError, match=f"type {kind}, which takes no ids"):
        Setup(cluster, SPEC, lambda: kind).first_run(5.0)
    assert cluster.asked == []


def test_a_first_run_ends_with_the_time_that_it_was_given() -> None:
    cluster, now = Cluster(), [0.0]

    def slow(method: str, path: str) -> None:
        now[0] += 2.0

    cluster.wrong = slow
    with pytest.raises(Unreachable, match="no time left to prepare the cluster"):
        Setup(cluster, MANAGED, clock=lambda: now[0]).first_run(3.0)
    assert cluster.asked == [f"GET {POLICY}", f"GET {TEMPLATE}"]


def test_a_collection_whose_type_may_not_be_asked_is_tried() -> None:
    assert Setup(Cluster(), SPEC, lambda: None).first_run(5.0) == []


def test_a_policy_is_compared_with_what_is_stored() -> None:
    cluster = Cluster()
    spec = replace(SPEC, retention="90d")
    Setup(cluster, spec).apply()
    assert cluster.held[POLICY] == {"_seq_no": 4, "_primary_term": 2, **policy(spec)}
