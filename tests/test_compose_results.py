"""From the places of a pipeline file to outlets."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from aetherstream.compose import opensearch_of
from aetherstream.compose_aggregates import declarations_of
from aetherstream.compose_results import outlets_of, result_indices_of
from aetherstream.pipeline import Pipeline
from aetherstream.results.opensearch import OpenSearchOutlet, mappings_of
from aetherstream.results.parts import Outlet
from aetherstream.results.redshift import RedshiftOutlet
from aetherstream.results.s3 import S3Outlet
from aetherstream.sinks.opensearch.template import IndexSpec
from aetherstream.testing.results import row
from aetherstream.testing.stores import MemoryObjects
from tests.pipeline.writing import ENV, loaded

SINKS = """\
sinks:
  archive: {s3: {bucket: data, prefix: flights/archive, compression: zstd}}
  search:
    opensearch: {endpoint: ENDPOINT, optional: true, index: flights, period: month, retention: 90d, shards: 3,
                 replicas: 2, refresh: 10s, field_limit: 500, ignore_above: 99, dynamic: strict, auth: basic,
                 username: me, password: "${PASSWORD}", bulk: {documents: 7, parallel: 2}}
  warehouse:
    redshift: {endpoint: "w.example.org/dev", auth: password, username: u, password: "${PASSWORD}",
               table: public.flights, columns: {carrier: varchar(2)}, bucket: data,
               copy_role: "arn:aws:iam::123456789012:role/copy"}
quarantine: {s3: {bucket: data, prefix: q}}
"""
AGGREGATES = """\
aggregates:
  hours:
    group_by: [carrier]
    window: {tumbling: 1h}
    outputs: {flights: count, delay: {kind: mean, of: delay}}
    to:
      search: {index: carrier-hours, fields: [flights]}
      archive: {}
  visits:
    window: {session: 30m}
    outputs: {flights: count}
    to:
      archive: {prefix: flights/visits, fields: [flights]}
      search: {index: visits}
  unseen:
    window: {tumbling: 1h}
    outputs: {flights: count}
"""
SESSION = boto3.Session(region_name="eu-central-1")


def pipeline(folder: Path, endpoint: str = "https://search.example.org", aggregates: str = AGGREGATES) -> Pipeline:
    text = f"pipeline: p\nevent_time: {{field: at}}\n{aggregates}{SINKS.replace('ENDPOINT', repr(endpoint))}"
    return loaded(folder, text, {**ENV, "PASSWORD": "secret"})


def outlets(made: Pipeline, store: MemoryObjects | None = None) -> dict[str, list[Outlet]]:
    return outlets_of(
        made, declarations_of(made), session=SESSION, warn=pytest.fail, s3=MemoryObjects() if store is None else store
    )


def test_results_go_where_the_file_says(tmp_path: Path) -> None:
    found = outlets(pipeline(tmp_path))
    assert {name: [(type(each), each.name) for each in some] for name, some in found.items()} == {
        "hours": [
            (OpenSearchOutlet, "aggregates.hours.to.search"),
            (S3Outlet, "aggregates.hours.to.archive"),
        ],
        "visits": [
            (S3Outlet, "aggregates.visits.to.archive"),
            (OpenSearchOutlet, "aggregates.visits.to.search"),
        ],
        "unseen": [],
    }


def test_a_sink_that_is_switched_off_gets_no_results(tmp_path: Path) -> None:
    found = outlets(pipeline(tmp_path, endpoint=""))
    assert {name: [each.name for each in some] for name, some in found.items()} == {
        "hours": ["aggregates.hours.to.archive"],
        "visits": ["aggregates.visits.to.archive"],
        "unseen": [],
    }


def test_results_by_a_redshift_sink_are_staged(tmp_path: Path) -> None:
    by_warehouse = AGGREGATES.replace("archive: {}", "warehouse: {table: public.carrier_hours}")
    found = outlets(pipeline(tmp_path, aggregates=by_warehouse))["hours"]
    assert [type(each) for each in found] == [OpenSearchOutlet, RedshiftOutlet]


def test_objects_go_to_the_sinks_bucket_in_its_compression_with_the_fields_that_are_asked_for(tmp_path: Path) -> None:
    store = MemoryObjects()
    found = outlets(pipeline(tmp_path), store)
    found["hours"][1].send([row("AA")], 60.0)
    found["visits"][0].send([row("AA")], 60.0)
    assert [(bucket, key[:34], key[-4:]) for bucket, key in sorted(store.objects)] == [
        ("data", "flights/visits/day=2013-01-01/2013", ".zst"),
        ("data", "p/results/hours/archive/day=2013-0", ".zst"),
    ]


def test_the_index_of_results_is_kept_as_the_sink_keeps_its_own_but_for_ever(tmp_path: Path) -> None:
    made = pipeline(tmp_path)
    (declared, *_) = declarations_of(made)
    assert [options.spec for options in result_indices_of(made, [declared])] == [
        IndexSpec(
            template="p-hours.search",
            kind="single",
            target="carrier-hours",
            mappings=mappings_of(declared, ["flights"]),
            own={},
            numbers="double",
            field_limit=500,
            ignore_above=99,
            shards=3,
            replicas=2,
            refresh="10s",
        )
    ]


def test_results_enter_the_cluster_as_events_do(tmp_path: Path) -> None:
    made = pipeline(tmp_path)
    (events,) = opensearch_of(made)
    (found, _) = result_indices_of(made, declarations_of(made))
    shared = ("endpoint", "auth", "username", "password", "documents", "bytes", "parallel", "compress")
    assert [getattr(found, name) for name in shared] == [getattr(events, name) for name in shared]
    assert found.name == "aggregates.hours.to.search"


def test_where_sessions_are_removed_the_index_remembers_it_for_longer(tmp_path: Path) -> None:
    made = pipeline(tmp_path)
    found = result_indices_of(made, declarations_of(made))
    assert {options.name: options.spec.remembers_removed for options in found} == {
        "aggregates.hours.to.search": None,
        "aggregates.visits.to.search": "1h",
    }
