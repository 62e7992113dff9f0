from dataclasses import replace
from typing import Any

from aetherstream.sinks.opensearch.template import (
    IndexSpec,
    index_template,
    policy,
    policy_differences,
    template_differences,
)

SPEC = IndexSpec("flights-search", "index", "flights")
DYNAMIC = [{"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": 1024}}}]


def test_the_template_says_all_that_the_pipeline_says() -> None:
    spec = replace(
        SPEC,
        mappings={"origin": "keyword", "where.point": {"type": "geo_point"}, "where.name": "text"},
        dynamic="strict",
        field_limit=200,
        ignore_above=256,
        shards=3,
        replicas=2,
        refresh="10s",
    )
    assert index_template(spec, ism=True) == {
        "index_patterns": ["flights-*"],
        "priority": 107,
        "template": {
            "settings": {
                "index": {
                    "mapping": {"total_fields": {"limit": 200}},
                    "number_of_shards": 3,
                    "number_of_replicas": 2,
                    "refresh_interval": "10s",
                }
            },
            "mappings": {
                "dynamic": "strict",
                "date_detection": False,
                "dynamic_templates": [
                    {
                        "strings": {
                            "match_mapping_type": "string",
                            "mapping": {"type": "keyword", "ignore_above": 256},
                        }
                    }
                ],
                "properties": {
                    "_event_id": {"type": "keyword"},
                    "_identity": {"type": "keyword"},
                    "origin": {"type": "keyword"},
                    "where": {"properties": {"point": {"type": "geo_point"}, "name": {"type": "text"}}},
                },
            },
        },
    }


def test_of_two_patterns_that_overlap_the_longer_name_wins() -> None:
    shorter, longer = (index_template(replace(SPEC, target=name), ism=True)["priority"] for name in ("app", "app-web"))
    assert shorter < longer


def test_a_data_stream_has_its_own_name_as_pattern_and_its_time_as_a_date() -> None:
    made = index_template(replace(SPEC, kind="data_stream", timestamp="at"), ism=True)
    assert (made["index_patterns"], made["data_stream"]) == (["flights"], {"timestamp_field": {"name": "at"}})
    assert made["template"]["mappings"]["properties"]["at"] == {"type": "date"}


def test_one_index_has_its_own_name_as_pattern_and_maps_what_it_is_told() -> None:
    spec = replace(SPEC, kind="single", own={"id": "keyword"}, numbers="double", remembers_removed="1h")
    made = index_template(spec, ism=True)
    assert made["index_patterns"] == ["flights"]
    assert made["template"]["settings"]["index"]["gc_deletes"] == "1h"
    assert made["template"]["mappings"] == {
        "dynamic": True,
        "date_detection": False,
        "dynamic_templates": [
            *DYNAMIC,
            {"integers": {"match_mapping_type": "long", "mapping": {"type": "double"}}},
            {"floats": {"match_mapping_type": "double", "mapping": {"type": "double"}}},
        ],
        "properties": {"id": {"type": "keyword"}},
    }


def test_the_pipelines_own_mapping_of_the_time_counts() -> None:
    written = {"type": "date", "format": "epoch_millis"}
    made = index_template(replace(SPEC, kind="data_stream", timestamp="at", mappings={"at": written}), ism=True)
    assert made["template"]["mappings"]["properties"]["at"] == written


def test_an_alias_that_is_rolled_over_is_named_to_the_policy_where_the_cluster_has_policies() -> None:
    spec = replace(SPEC, kind="alias", rollover_age="1d")
    settings = [index_template(spec, ism=ism)["template"]["settings"]["index"] for ism in (True, False)]
    assert [each.get("plugins") for each in settings] == [
        {"index_state_management": {"rollover_alias": "flights"}},
        None,
    ]


def test_serverless_is_not_told_of_shards() -> None:
    made = index_template(replace(SPEC, refresh="1s"), ism=False, serverless=True)
    assert made["template"]["settings"] == {"index": {"mapping": {"total_fields": {"limit": 1000}}}}


def test_old_indices_are_removed_by_their_age() -> None:
    assert policy(replace(SPEC, retention="90d")) == {
        "policy": {
            "description": "aetherstream: flights-search",
            "default_state": "live",
            "states": [
                {
                    "name": "live",
                    "actions": [],
                    "transitions": [{"state_name": "remove", "conditions": {"min_index_age": "90d"}}],
                },
                {"name": "remove", "actions": [{"delete": {}}], "transitions": []},
            ],
            "ism_template": [{"index_patterns": ["flights-*"], "priority": 107}],
        }
    }


def test_behind_an_alias_the_age_counts_from_the_rollover() -> None:
    spec = replace(SPEC, kind="alias", rollover_age="1d", rollover_size="30gb", retention="90d")
    live = policy(spec)["policy"]["states"][0]
    assert live["actions"] == [{"rollover": {"min_index_age": "1d", "min_size": "30gb"}}]
    assert live["transitions"] == [{"state_name": "remove", "conditions": {"min_rollover_age": "90d"}}]


def test_without_retention_nothing_is_removed() -> None:
    states = policy(replace(SPEC, kind="alias", rollover_age="1d"))["policy"]["states"]
    assert states == [{"name": "live", "actions": [{"rollover": {"min_index_age": "1d"}}], "transitions": []}]


def live_template() -> dict[str, Any]:
    """As OpenSearch 3.8 answered for SPEC."""
    return {
        "index_patterns": ["flights-*"],
        "template": {
            "settings": {
                "index": {
                    "mapping": {"total_fields": {"limit": "1000"}},
                    "number_of_shards": "1",
                    "number_of_replicas": "1",
                }
            },
            "mappings": {
                "dynamic": True,
                "dynamic_templates": DYNAMIC,
                "date_detection": False,
                "properties": {"_identity": {"type": "keyword"}, "_event_id": {"type": "keyword"}},
            },
        },
        "composed_of": [],
        "priority": 107,
    }


def test_what_opensearch_writes_otherwise_is_no_difference() -> None:
    assert template_differences(index_template(SPEC, ism=True), live_template()) == []


def test_each_difference_of_a_template_is_a_line() -> None:
    live = live_template()
    live["template"]["settings"]["index"]["number_of_shards"] = "3"
    live["template"]["mappings"]["properties"]["old"] = {"type": "text"}
    wanted = index_template(replace(SPEC, mappings={"new": "long"}, dynamic=False), ism=True)
    assert template_differences(wanted, live) == [
        "template.mappings.dynamic: true → false",
        "template.mappings.properties.new.type: nothing → long",
        "template.mappings.properties.old.type: text → nothing",
        "template.settings.index.number_of_shards: 3 → 1",
    ]


def live_policy(**changes: Any) -> dict[str, Any]:
    """The form in which OpenSearch's documentation shows a stored policy."""
    retry = {"count": 3, "backoff": "exponential", "delay": "1m"}
    return {
        "_id": "flights-search",
        "_version": 1,
        "_seq_no": 7,
        "_primary_term": 1,
        "policy": {
            "policy_id": "flights-search",
            "description": "aetherstream: flights-search",
            "last_updated_time": 1577990761311,
            "schema_version": 21,
            "error_notification": None,
            "default_state": "live",
            "states": [
                {
                    "name": "live",
                    "actions": [],
                    "transitions": [{"state_name": "remove", "conditions": {"min_index_age": "90d"}}],
                },
                {"name": "remove", "actions": [{"retry": retry, "delete": {}}], "transitions": []},
            ],
            "ism_template": [{"index_patterns": ["flights-*"], "priority": 107, "last_updated_time": 1577990761311}],
            **changes,
        },
    }


def test_what_opensearch_adds_to_a_policy_is_no_difference() -> None:
    assert policy_differences(policy(replace(SPEC, retention="90d")), live_policy()) == []


def test_each_difference_of_a_policy_is_a_line() -> None:
    assert policy_differences(policy(replace(SPEC, retention="30d")), live_policy(ism_template=[])) == [
        "policy.ism_template (entries): 0 → 1",
        "policy.ism_template[0].index_patterns (entries): nothing → 1",
        "policy.ism_template[0].index_patterns[0]: nothing → flights-*",
        "policy.ism_template[0].priority: nothing → 107",
        "policy.states[0].transitions[0].conditions.min_index_age: 90d → 30d",
    ]
