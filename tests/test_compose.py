from pathlib import Path

import pytest

from aetherstream.compose import buckets_of, core_of, tables_of
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline import Pipeline, PipelineMistakes
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
