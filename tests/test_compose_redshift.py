"""What the Redshift sinks of a pipeline file come to: their staging, and what their loads are made from."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from aetherstream.compose import buckets_of, core_of, sinks_of, tables_of
from aetherstream.compose_loads import load_targets_of
from aetherstream.objects import Target
from aetherstream.pipeline import Pipeline
from aetherstream.sinks.redshift import RedshiftStaging
from aetherstream.testing.builders import kinesis_records
from aetherstream.warehouse.contract import Column, Contract, Distribution
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions
from aetherstream.warehouse.types import ColumnType
from tests.pipeline.writing import ENV, loaded

SINKS = """\
pipeline: p
event_time: {field: at}
sinks:
  archive: {s3: {bucket: data-bucket, prefix: a}}
  small:
    redshift:
      endpoint: ${WAREHOUSE:-}
      optional: true
      secret: s
      bucket: staging-bucket
      table: flights
      columns: {origin: char(3)}
  large:
    redshift:
      endpoint: ${WAREHOUSE:-}
      optional: true
      auth: iam
      cluster: big
      username: loader
      region: eu-west-1
      copy_role: arn:aws:iam::123456789012:role/load
      bucket: data-bucket
      bucket_region: us-east-1
      prefix: rows
      compression: zstd
      partition: [{field: origin}, {expr: distance > 1000, as: far}]
      max_partitions: 7
      table: analytics.flights
      mode: upsert
      key: [id]
      version: seen
      columns:
        id: {type: bigint, null: false}
        seen: {type: timestamptz, null: false, from: meta.at}
        rest: super
      unknown: rest
      distribution: {style: key, column: id}
      sort: [seen]
      changes: check
      load: {through: data_api, style: delete_insert, objects: 10}
"""
SMALL = Contract(table="flights", columns=(Column("origin", ColumnType("char", length=3)),))
LARGE = Contract(
    table="flights",
    schema="analytics",
    columns=(
        Column("id", ColumnType("bigint"), nullable=False),
        Column("seen", ColumnType("timestamptz"), nullable=False, path="meta.at"),
        Column("rest", ColumnType("super")),
    ),
    mode="upsert",
    key=("id",),
    version="seen",
    unknown="rest",
    distribution=Distribution("key", "id"),
    sort=("seen",),
)


def pipeline(folder: Path, **env: str) -> Pipeline:
    return loaded(folder, SINKS, {**ENV, **env})


ON = {"WAREHOUSE": "host:5440/dev"}


def test_a_file_comes_to_the_targets_of_its_loads(tmp_path: Path) -> None:
    assert load_targets_of(pipeline(tmp_path, **ON)) == [
        LoadTarget(
            sink="small",
            contract=SMALL,
            staging=Target("staging-bucket", "p/staging/small", "ndjson.gz"),
            warehouse=WarehouseOptions(host="host", port=5440, database="dev", auth="secret", secret="s"),  # noqa: S106
        ),
        LoadTarget(
            sink="large",
            contract=LARGE,
            staging=Target("data-bucket", "rows", "ndjson.zst"),
            warehouse=WarehouseOptions(
                host="host",
                port=5440,
                database="dev",
                auth="iam",
                username="loader",
                cluster="big",
                region="eu-west-1",
            ),
            compression="zstd",
            copy_role="arn:aws:iam::123456789012:role/load",
            bucket_region="us-east-1",
            style="delete_insert",
            through="data_api",
            changes="check",
            objects=10,
        ),
    ]


RESULTS = """\
aggregates:
  hours:
    group_by: [carrier]
    window: {tumbling: 1h}
    outputs: {flights: count}
    to:
      large: {table: analytics.hours, columns: {carrier: char(2)}}
      small: {table: hours, prefix: results}
"""


def test_results_are_loaded_where_the_sinks_that_they_go_by_load(tmp_path: Path) -> None:
    made = loaded(tmp_path, SINKS + RESULTS, {**ENV, **ON})
    small, large, *results = load_targets_of(made)
    contracts = [each.contract for each in results]
    assert results == [
        replace(
            large,
            sink="aggregates.hours.to.large",
            contract=contracts[0],
            staging=Target("data-bucket", "rows.results/hours", "ndjson.zst"),
            final_at_once=True,
        ),
        replace(
            small,
            sink="aggregates.hours.to.small",
            contract=contracts[1],
            staging=Target("staging-bucket", "results", "ndjson.gz"),
            final_at_once=True,
        ),
    ]
    assert [(each.schema, each.table, each.mode) for each in contracts] == [
        ("analytics", "hours", "upsert"),
        ("public", "hours", "upsert"),
    ]
    assert [each.columns[4].type for each in contracts] == [
        ColumnType("char", length=2),
        ColumnType("varchar", length=1024),
    ]


def test_results_by_a_sink_that_is_switched_off_have_no_targets(tmp_path: Path) -> None:
    assert load_targets_of(loaded(tmp_path, SINKS + RESULTS, ENV)) == []


def test_a_server_on_this_machine_is_entered_with_a_password_and_without_encryption(tmp_path: Path) -> None:
    lines = SINKS.replace(
        "      secret: s\n", "      auth: password\n      username: u\n      password: ${PW:-}\n      tls: off\n"
    )
    made = loaded(tmp_path, lines, {**ENV, "WAREHOUSE": "127.0.0.1/dev", "PW": "sesame"})
    assert load_targets_of(made)[0].warehouse == WarehouseOptions(
        host="127.0.0.1",
        database="dev",
        auth="password",
        username="u",
        password="sesame",  # noqa: S106
        tls=False,
    )


def test_rows_are_staged_beside_the_archive(tmp_path: Path) -> None:
    made = pipeline(tmp_path, **ON)
    sinks = sinks_of(made)
    assert [(sink.name, sink.target, sink.max_partitions) for sink in sinks] == [
        ("archive", Target("data-bucket", "a", "ndjson.gz"), 200),
        ("small", Target("staging-bucket", "p/staging/small", "ndjson.gz"), 200),
        ("large", Target("data-bucket", "rows", "ndjson.zst"), 7),
    ]
    assert [sink.contract for sink in sinks if isinstance(sink, RedshiftStaging)] == [SMALL, LARGE]
    assert buckets_of(made) == ["data-bucket", "staging-bucket"]


def test_the_core_refuses_what_a_table_would_not_take(tmp_path: Path) -> None:
    made = pipeline(tmp_path, **ON)
    at = "2013-01-31T10:00:00Z"
    events = [
        {"at": at, "meta": {"at": at}, "id": 1, "origin": "JFK", "distance": 2000},
        {"at": at, "meta": {"at": at}, "id": 2, "origin": "Kennedy", "distance": 2000},
        {"at": at, "id": 3, "origin": "EWR", "distance": 100},
    ]
    prepared = core_of(made, tables_of(made, lambda uri: b""), {}).prepare(kinesis_records(events), 0, 3)
    assert prepared.groups == {
        "archive": {"day=2013-01-31": [0]},
        "small": {"day=2013-01-31": [0]},
        "large": {"origin=JFK/far=true": [0]},
    }
    assert [(found.record, found.where, found.reason) for found in prepared.rejections] == [
        (1, "sinks.small.partition", "column origin is longer than 3 bytes"),
        (2, "sinks.large.partition", "column seen is null or missing, and may not be"),
    ]


def test_a_sink_that_is_switched_off_has_no_parts(tmp_path: Path) -> None:
    made = pipeline(tmp_path)
    assert ([sink.name for sink in sinks_of(made)], load_targets_of(made)) == (["archive"], [])
    assert buckets_of(made) == ["data-bucket"]


def test_a_start_without_such_a_sink_imports_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("pipeline: p\nsinks: {archive: {s3: {bucket: data-bucket}}}\n")
    program = """
import sys
from pathlib import Path
from aetherstream.compose import core_of, tables_of
from aetherstream.pipeline import load
made = load(Path(sys.argv[1]), {"AETHERSTREAM_BUCKET": "data-bucket"})
core_of(made, tables_of(made, None), {})
print([name for name in sys.modules if "warehouse" in name or "redshift" in name])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "p.yaml")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['aetherstream.pipeline.model_redshift']\n"
