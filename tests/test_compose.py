from pathlib import Path

import pytest

from aetherstream.compose import (
    breakers_of,
    buckets_of,
    core_of,
    drain_rates_of,
    opensearch_of,
    placements_of,
    sinks_of,
    spills_of,
    tables_of,
)
from aetherstream.delivery.breaker_item import Rules
from aetherstream.errors import ConfigurationError
from aetherstream.objects import Target
from aetherstream.pipeline import Pipeline, PipelineMistakes
from aetherstream.records import Events
from aetherstream.sinks.opensearch.options import OpenSearchOptions
from aetherstream.sinks.opensearch.template import IndexSpec
from aetherstream.testing.builders import kinesis_records
from aetherstream.testing.events import gz
from tests.pipeline.writing import loaded

SINKS = """\
sinks:
  archive: {s3: {bucket: data-bucket, prefix: a}}
  copy: {s3: {bucket: copies, prefix: c}}
quarantine: {s3: {bucket: data-bucket, prefix: q}}
"""


def pipeline(folder: Path, text: str) -> Pipeline:
    return loaded(folder, f"pipeline: p\n{text}{SINKS}")


def read(uri: str) -> bytes:
    return Path(uri).read_bytes()


def test_steps_that_do_not_compile_are_named_with_their_lines(tmp_path: Path) -> None:
    made = pipeline(tmp_path, "transforms:\n  - filter: distance >\n  - set: {long: lenght(name)}\n")
    with pytest.raises(PipelineMistakes) as raised:
        core_of(made, tables_of(made, read), {})
    assert [(m.file, m.line, m.path) for m in raised.value.mistakes] == [
        (str(made.path), 3, "transforms[0].filter"),
        (str(made.path), 4, "transforms[1].set.long"),
    ]


def test_a_schema_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    made = pipeline(tmp_path, "validate: {schema: {type: nonsense}}\n")
    with pytest.raises(PipelineMistakes) as raised:
        core_of(made, tables_of(made, read), {})
    assert [(m.line, m.path) for m in raised.value.mistakes] == [(2, "validate.schema")]


def test_a_partition_expression_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    part = "partition: [{field: a}, {expr: distance >, as: far}]"
    made = loaded(tmp_path, "pipeline: p\n" + SINKS.replace("prefix: a}", f"prefix: a, {part}}}"))
    with pytest.raises(PipelineMistakes) as raised:
        buckets_of(made)
    assert [(m.line, m.path) for m in raised.value.mistakes] == [(3, "sinks.archive.s3.partition[1].expr")]


def test_a_reference_table_that_lacks_a_column_is_a_mistake_before_any_record(tmp_path: Path) -> None:
    (tmp_path / "airlines.csv").write_text("carrier,name\nUA,United\n")
    made = pipeline(
        tmp_path,
        "tables: {airlines: {file: airlines.csv, key: carrier}}\n"
        "transforms: [{lookup: {table: airlines, field: carrier, take: [country]}}]\n",
    )
    with pytest.raises(ConfigurationError, match="country"):
        core_of(made, tables_of(made, read), {})


def test_every_bucket_is_named_once(tmp_path: Path) -> None:
    assert buckets_of(pipeline(tmp_path, "")) == ["data-bucket", "copies"]


def test_the_parts_of_the_file_are_the_parts_of_the_core(tmp_path: Path) -> None:
    text = """\
source: {max_expanded: 1 KiB}
validate: {schema: {required: [at]}}
event_time: {field: at, not_before: "2013-01-01T00:00:00Z"}
identity: [id]
transforms: [{filter: keep}]
"""
    made = pipeline(tmp_path, text)
    events = [
        {"at": "2013-05-01T10:00:00Z", "id": "a", "keep": True},
        {"id": "no time"},
        {"at": "2013-05-01T10:00:00Z", "id": "dropped", "keep": False},
        {"at": "1970-05-01T10:00:00Z", "id": "too early", "keep": True},
        {"at": "2013-05-01T10:00:00Z", "keep": True},
        gz(b'{"at": "' + b"x" * 2000 + b'"}'),
    ]
    prepared = core_of(made, tables_of(made, read), {}).prepare(kinesis_records(events), 0, len(events))
    assert (prepared.events.keys, prepared.dropped) == (["a"], 1)
    assert [(r.record, r.stage, r.reason) for r in prepared.rejections] == [
        (5, "decode", "expands too far"),
        (1, "validate", "at is missing"),
        (3, "event_time", "event time before its bound"),
        (4, "transform", "identity is missing"),
    ]


SEARCH = """\
  search:
    opensearch:
      endpoint: ${SEARCH:-}
      optional: true
      auth: basic
      username: u
      password: ${PW:-}
      index: flights
      period: month
      mappings: {origin: keyword, at_home: {properties: {city: keyword}}}
      retention: 90d
      refresh: 1500ms
      bulk: {documents: 10, bytes: 1MiB, parallel: 2, compress: true}
      breaker: {failures: 1, share: 1, window: 2m, patience: 3, probe_after: 4s}
      drain: {rate: 5}
      spill: {bucket: spill-bucket}
  blocked:
    opensearch: {endpoint: "https://other", auth: es, region: eu-west-1, on_outage: block, SPECIAL}
"""


def searching(folder: Path, special: str = "alias: logs", head: str = "", **env: str) -> Pipeline:
    text = f"pipeline: p\n{head}{SINKS}".replace("quarantine:", SEARCH.replace("SPECIAL", special) + "quarantine:")
    return loaded(folder, text, {"AETHERSTREAM_BUCKET": "data-bucket", **env})


ON = {"SEARCH": "https://host", "PW": "secret"}


def test_a_file_comes_to_the_options_of_its_opensearch_sinks(tmp_path: Path) -> None:
    assert opensearch_of(searching(tmp_path, **ON)) == [
        OpenSearchOptions(
            name="search",
            endpoint="https://host",
            spec=IndexSpec(
                template="p-search",
                kind="index",
                target="flights",
                mappings={"origin": {"type": "keyword"}, "at_home": {"properties": {"city": {"type": "keyword"}}}},
                refresh="1500ms",
                retention="90d",
            ),
            auth="basic",
            username="u",
            password="secret",  # noqa: S106
            documents=10,
            bytes=1024 * 1024,
            parallel=2,
            compress=True,
        ),
        OpenSearchOptions(
            name="blocked",
            endpoint="https://other",
            spec=IndexSpec(template="p-blocked", kind="alias", target="logs"),
            auth="es",
            region="eu-west-1",
        ),
    ]


def blocked_spec(folder: Path, special: str, head: str = "") -> IndexSpec:
    return opensearch_of(searching(folder, special, head, **ON))[1].spec


@pytest.mark.parametrize(
    ("rollover", "age", "size"),
    [
        ("{age: 1d, size: 30GiB}", "1d", "30gb"),
        ("{age: 90m, size: 30GB}", "90m", "29296875kb"),
        ("{age: 36h}", "36h", None),
        ("{size: 512MiB}", None, "512mb"),
        ("{age: 0.0004}", "1ms", None),
    ],
)
def test_times_and_sizes_are_written_as_opensearch_reads_them(
    tmp_path: Path, rollover: str, age: str | None, size: str | None
) -> None:
    spec = blocked_spec(tmp_path, f"alias: logs, rollover: {rollover}")
    assert (spec.rollover_age, spec.rollover_size) == (age, size)


@pytest.mark.parametrize(
    ("format_", "mapping"),
    [
        ("iso8601", {"type": "date"}),
        ("epoch_s", {"type": "date", "format": "epoch_second"}),
        ("epoch_ms", {"type": "date", "format": "epoch_millis"}),
    ],
)
def test_the_time_of_the_events_is_a_date(tmp_path: Path, format_: str, mapping: dict[str, str]) -> None:
    head = f"event_time: {{field: at, format: {format_}}}\n"
    of_stream = blocked_spec(tmp_path, "data_stream: logs", head)
    of_alias = blocked_spec(tmp_path, "alias: logs", head)
    assert (of_stream.mappings, of_stream.timestamp) == ({"at": mapping}, "at")
    assert of_alias.mappings == {"at": {**mapping, "ignore_malformed": True}}


@pytest.mark.parametrize(
    ("field", "format_", "mapped"),
    [
        ("at", "iso8601", "at: {type: date_nanos}"),
        ("meta.at", "iso8601", "meta: {properties: {at: date}}"),
        ("at", "'%d/%m/%Y'", "other: keyword"),
    ],
)
def test_what_the_file_maps_or_opensearch_cannot_read_is_left_alone(
    tmp_path: Path, field: str, format_: str, mapped: str
) -> None:
    head = f"event_time: {{field: {field}, format: {format_}}}\n"
    spec = blocked_spec(tmp_path, f"alias: logs, mappings: {{{mapped}}}", head)
    assert list(spec.mappings) == [mapped.partition(":")[0]]


def test_events_are_placed_by_time_or_under_one_name(tmp_path: Path) -> None:
    by_time, fixed = placements_of(searching(tmp_path, **ON))
    events = Events([{}, {}], [0, 1], [0, 0], [0, 0])
    events.times = [1_359_590_400.0, 1_359_676_800.0]
    assert (by_time.name, by_time.partition(events, [0, 1])) == (
        "search",
        ({"flights-2013.01": [0], "flights-2013.02": [1]}, {}),
    )
    assert (fixed.name, fixed.partition(events, [0, 1])) == ("blocked", ({"logs": [0, 1]}, {}))


def test_a_sink_that_may_spill_has_a_spill_a_breaker_and_a_rate(tmp_path: Path) -> None:
    made = searching(tmp_path, **ON)
    assert {name: spill.target for name, spill in spills_of(made).items()} == {
        "search": Target("spill-bucket", "p/spill/search", "ndjson.gz")
    }
    assert breakers_of(made) == {"search": Rules(failures=1, share=1.0, window=120.0, patience=3.0, probe_after=4.0)}
    assert drain_rates_of(made) == {"search": 5}
    assert buckets_of(made) == ["data-bucket", "copies", "spill-bucket"]


def test_a_sink_that_is_switched_off_has_no_parts(tmp_path: Path) -> None:
    made = searching(tmp_path)
    assert [options.name for options in opensearch_of(made)] == ["blocked"]
    assert [place.name for place in placements_of(made)] == ["blocked"]
    assert (spills_of(made), breakers_of(made), drain_rates_of(made)) == ({}, {}, {})
    assert buckets_of(made) == ["data-bucket", "copies"]
    assert [sink.name for sink in sinks_of(made)] == ["archive", "copy"]


def test_the_core_places_documents_too(tmp_path: Path) -> None:
    made = searching(tmp_path, **ON)
    records = kinesis_records([{"id": 1}])
    prepared = core_of(made, tables_of(made, read), {}).prepare(records, 0, 1)
    assert sorted(prepared.groups) == ["archive", "blocked", "copy", "search"]
    assert prepared.groups["blocked"] == {"logs": [0]}
