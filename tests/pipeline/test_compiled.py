from pathlib import Path

import pytest

from aetherstream.pipeline import PipelineMistakes, load
from aetherstream.pipeline.compiled import check, transform_of
from tests.pipeline.writing import ENV, SINKS, write

STEPS = """\
from aetherstream.errors import Reject

LIMIT = 3


def refuse(event):
    raise Reject("no")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of steps, from where commands are called."""
    write(tmp_path, STEPS, "own_steps.py")
    write(tmp_path, "code,name\nUA,United\n", "reference/airlines.csv")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def said(folder: Path, text: str) -> list[str]:
    with pytest.raises(PipelineMistakes) as raised:
        check(write(folder, text), ENV)
    return [f"{m.line}:{m.column} {m.path}: {m.message}" for m in raised.value.mistakes]


def test_every_part_is_tried_and_every_mistake_named(folder: Path) -> None:
    text = """\
    pipeline: p
    validate: {schema: {type: nonsense}}
    tables:
      airlines: {file: reference/airlines.csv, key: carrier}
      gone: {file: reference/gone.csv, key: a}
    transforms:
      - filter: distanse >
      - lookup: {table: airline, field: carrier, take: [name]}
      - python: own_steps:refuze
      - python: own_step:refuse
      - python: own_steps:LIMIT
      - set: {long: lenght(name) > 3}
      - route:
          cases: [{when: a == 1, to: [archives]}]
          otherwise: []
    sinks:
      archive:
        s3:
          bucket: data-bucket
          partition: [{expr: now(), as: today}, {expr: distance >, as: far}]
    """
    found = said(folder, text)
    assert [line.partition(": ")[0] for line in found] == [
        "2:12 validate.schema",
        "4:3 tables.airlines",
        "5:16 tables.gone.file",
        "7:13 transforms[0].filter",
        "8:21 transforms[1].lookup.table",
        "9:13 transforms[2].python",
        "10:13 transforms[3].python",
        "11:13 transforms[4].python",
        "12:17 transforms[5].set.long",
        "14:35 transforms[6].route.cases[0].to[0]",
        "20:26 sinks.archive.s3.partition[0].expr",
        "20:52 sinks.archive.s3.partition[1].expr",
    ]
    assert "did you mean 'airlines'?" in found[4]
    assert "did you mean 'refuse'?" in found[5]
    assert "did you mean 'archive'?" in found[9]


def test_an_expression_that_asks_for_the_time_is_told_why_there_is_none(folder: Path) -> None:
    (message,) = said(
        folder,
        "pipeline: p\nsinks: {archive: {s3: {bucket: data-bucket, partition: [{expr: now(), as: today}]}}}\n",
    )
    assert "there is no now(): " in message


def test_a_table_in_s3_is_not_read_and_its_columns_are_taken_on_trust(folder: Path) -> None:
    text = f"""\
pipeline: p
tables: {{airlines: {{file: 's3://bucket/airlines.csv', key: code}}}}
transforms:
  - lookup: {{table: airlines, field: carrier, take: [name]}}
{SINKS}"""
    assert check(write(folder, text), ENV).table_uri("airlines") == "s3://bucket/airlines.csv"


def test_a_secret_key_need_not_be_there_to_check(folder: Path) -> None:
    text = f"pipeline: p\ntransforms:\n  - hash: {{fields: [user], key_env: HASH_KEY}}\n{SINKS}"
    assert check(write(folder, text), ENV).name == "p"


def test_steps_that_do_not_compile_are_placed_in_the_file(folder: Path) -> None:
    pipeline = load(write(folder, f"pipeline: p\ntransforms:\n  - filter: a >\n{SINKS}"), ENV)
    with pytest.raises(PipelineMistakes) as raised:
        transform_of(pipeline, {}, {})
    assert [(m.line, m.path) for m in raised.value.mistakes] == [(3, "transforms[0].filter")]
