"""Mistakes of form and of meaning in one file: all are named at once, and none that only follows from another."""

from pathlib import Path

import pytest

from aetherstream.pipeline import PipelineMistakes
from aetherstream.pipeline.compiled import check
from tests.pipeline.writing import ENV, SINKS, mistakes, write

EVERYTHING = """\
pipeline: Flights
descripton: everything is wrong here
delivery: exactly_onc
validate: {schema: {type: nonsense}}
event_time:
  field: ${TIME_FIELD}
  format: iso
  not_before: 2014-01-01
  not_after: 2013-01-01
  max_age: long
tables:
  airlines: {file: a.csv, key: code, relod: 1h}
  airports: {file: airports.txt, key: faa}
  planes: {file: gone.csv, key: tailnum}
transforms:
  - renam: {a: b}
  - drop: a
  - lookup: {table: airline, field: carrier, take: [name]}
  - lookup: {table: airports, field: dest, take: [name]}
  - lookup: {table: airlines, field: carrier, take: [nam], missing: null, found: x}
  - cast: {a: itn, b: int}
  - python: textwrap:dedentt
  - set: {far: distanse >, near: [1]}
  - route:
      cases: [{when: far, to: [cold, nowhere]}]
sinks:
  archive:
    s3:
      bucket: ${NOPE}
      compression: zst
      level: 19
      partition: [{time: dai}, {time: day}, {expr: now(), as: today}, {field: a b}]
  cold:
    s4: {}
  dropped:
    s3: {bucket: data-bucket, level: 9, prefix: /x}
quarantine:
  s3: {prefix: q}
"""


SAID = """\
32 mistakes in p.yaml:
  p.yaml:1:11  pipeline  expected a name of lower-case letters, digits and -, got 'Flights'; for example flights
  p.yaml:2:1  descripton  unknown key (did you mean 'description'?)
  p.yaml:3:11  delivery  'exactly_onc' is not one of at_least_once, exactly_once (did you mean 'exactly_once'?)
  p.yaml:4:12  validate.schema  not a JSON Schema that can be used: "nonsense" is not valid under any of the \
schemas listed in the 'anyOf' keyword
  p.yaml:6:10  event_time.field  the environment has no TIME_FIELD; set it, or give a default: ${TIME_FIELD:-...}
  p.yaml:7:11  event_time.format  'iso' is neither iso8601, epoch_s, epoch_ms nor a strptime pattern (did you \
mean 'iso8601'?)
  p.yaml:9:14  event_time.not_after  '2013-01-01' is not after not_before, '2014-01-01': nothing would pass
  p.yaml:10:12  event_time.max_age  expected a duration, got 'long'; for example 30d
  p.yaml:12:38  tables.airlines.relod  unknown key (did you mean 'reload'?)
  p.yaml:13:20  tables.airports.file  expected a .csv, .json or .ndjson file, or s3://bucket/key of one, got \
'airports.txt'; for example reference/airlines.csv
  p.yaml:14:18  tables.planes.file  gone.csv can't be read: No such file or directory
  p.yaml:16:5  transforms[0].renam  unknown key (did you mean 'rename'?)
  p.yaml:17:11  transforms[1].drop  expected a list, got 'a'; for example ["debug"]
  p.yaml:18:21  transforms[2].lookup.table  there is no table 'airline' (did you mean 'airlines'?)
  p.yaml:20:47  transforms[4].lookup.take  the table airlines has no column 'nam' (did you mean 'name'?)
  p.yaml:20:75  transforms[4].lookup.found  unknown key (there are: field, into, missing, table, take)
  p.yaml:21:15  transforms[5].cast.a  'itn' is not one of bool, float, int, json, str (did you mean 'int'?)
  p.yaml:22:13  transforms[6].python  textwrap has no function 'dedentt' (did you mean 'dedent'?)
  p.yaml:23:16  transforms[7].set.far  not an expression (invalid syntax), at column 1 of `distanse >`
  p.yaml:23:28  transforms[7].set.near  expected text or a whole number or a number or true or false, got a list
  p.yaml:24:5  transforms[8].route  'otherwise' is missing: Sinks of the events that no case takes; an empty \
list drops them.
  p.yaml:25:38  transforms[8].route.cases[0].to[1]  there is no sink 'nowhere' (there are: archive, cold, dropped)
  p.yaml:29:15  sinks.archive.s3.bucket  the environment has no NOPE; set it, or give a default: ${NOPE:-...}
  p.yaml:30:20  sinks.archive.s3.compression  'zst' is not one of gzip, zstd (did you mean 'zstd'?)
  p.yaml:32:26  sinks.archive.s3.partition[0].time  'dai' is not one of day, hour, month, year (did you mean 'day'?)
  p.yaml:32:52  sinks.archive.s3.partition[2].expr  there is no now(): a retry has to give the same result, \
so nothing reads a clock, chance or the environment; the event's own fields are what there is, at column 1 of `now()`
  p.yaml:32:71  sinks.archive.s3.partition[3]  'a b' can't be the name of a partition column; give one of \
letters, digits and _ with `as:`
  p.yaml:34:5  sinks.cold.s4  unknown key (there are: opensearch, redshift, s3)
  p.yaml:35:3  sinks.dropped  'dropped' has a meaning of its own; give the sink another name
  p.yaml:36:38  sinks.dropped.s3.level  gzip has the levels 0 to 3, not 9
  p.yaml:36:49  sinks.dropped.s3.prefix  expected a key prefix without / at its ends, got '/x'; for example \
flights/archive
  p.yaml:38:3  quarantine.s3  'bucket' is missing: Bucket; the template's own is `${AETHERSTREAM_BUCKET}`."""


def said(folder: Path, text: str) -> list[str]:
    with pytest.raises(PipelineMistakes) as raised:
        check(write(folder, text), ENV)
    return [f"{m.line}:{m.column} {m.path}: {m.message}" for m in raised.value.mistakes]


def test_a_file_with_mistakes_of_every_kind_names_them_all(tmp_path: Path) -> None:
    write(tmp_path, "code,name\nUA,United\n", "a.csv")
    path = write(tmp_path, EVERYTHING)
    with pytest.raises(PipelineMistakes) as raised:
        check(path, ENV)
    assert str(raised.value).replace(f"{tmp_path}/", "") == SAID


def test_loading_names_the_mistakes_of_both_kinds_too(tmp_path: Path) -> None:
    text = f"pipeline: P\nevent_time: {{field: t, format: iso, max_age: x}}\nvalidate: {{schema: s.json}}\n{SINKS}"
    assert [(place, path) for place, path, _ in mistakes(tmp_path, text)] == [
        ("1:11", "pipeline"),
        ("2:32", "event_time.format"),
        ("2:46", "event_time.max_age"),
        ("3:20", "validate.schema"),
    ]


@pytest.mark.parametrize(
    ("text", "only"),
    [
        pytest.param("sinks: {a: {s3: {buckt: data-bucket}}, B: {}, c: 3}", ["a", "B", "c"], id="wrong sinks"),
        pytest.param("sinks: 3", ["a"], id="sinks that are none"),
        pytest.param("sink: {a: {s3: {bucket: data-bucket}}}", ["a"], id="a section by a wrong name"),
        pytest.param("", ["a", "b"], id="no sinks at all"),
        pytest.param("sinks: {a: {s3: {bucket: b-1}}}\nsinks: {b: {s3: {bucket: b-2}}}", ["a", "b"], id="a second key"),
    ],
)
def test_a_route_to_a_sink_that_is_wrong_itself_is_no_mistake(tmp_path: Path, text: str, only: list[str]) -> None:
    route = f"transforms: [{{route: {{cases: [{{when: a, to: {only}}}], otherwise: {only}}}}}]"
    found = said(tmp_path, f"pipeline: p\n{route}\n{text}\n")
    assert found
    assert [line for line in found if "route" in line] == []


def test_a_route_to_no_sink_is_a_mistake_where_the_only_sink_is_wrong(tmp_path: Path) -> None:
    text = "pipeline: p\ntransforms: [{route: {cases: [{when: a, to: [b]}], otherwise: []}}]\nsinks: {a: {s4: {}}}\n"
    assert said(tmp_path, text) == [
        "2:46 transforms[0].route.cases[0].to[0]: there is no sink 'b' (there are: a)",
        "3:13 sinks.a.s4: unknown key (there are: opensearch, redshift, s3)",
    ]


@pytest.mark.parametrize(
    "tables",
    [
        "tables: {a: {file: a.txt, key: k}}",
        "tables: {a: {key: k}}",
        "tables: {a: 3}",
        "tables: [a]",
        "table: {a: {file: a.csv, key: k}}",
    ],
)
def test_a_lookup_in_a_table_that_is_wrong_itself_is_no_mistake(tmp_path: Path, tables: str) -> None:
    found = said(
        tmp_path, f"pipeline: p\n{tables}\ntransforms: [{{lookup: {{table: a, field: f, take: [x]}}}}]\n{SINKS}"
    )
    assert len(found) == 1
    assert " table" in found[0].partition(": ")[0]


def test_a_lookup_in_no_table_is_a_mistake_beside_an_unknown_key(tmp_path: Path) -> None:
    text = f"pipeline: p\ncolour: red\ntransforms: [{{lookup: {{table: a, field: f, take: [x]}}}}]\n{SINKS}"
    assert [line.partition(": ")[0] for line in said(tmp_path, text)] == [
        "2:1 colour",
        "3:31 transforms[0].lookup.table",
    ]


def test_steps_behind_one_that_is_wrong_keep_their_places(tmp_path: Path) -> None:
    text = f"pipeline: p\ntransforms:\n  - drop: 1\n  - {{}}\n  - filter: a >\n  - nothing: 1\n  - filter: b >\n{SINKS}"
    assert [line.partition(": ")[0] for line in said(tmp_path, text)] == [
        "3:11 transforms[0].drop",
        "4:5 transforms[1]",
        "5:13 transforms[2].filter",
        "6:5 transforms[3].nothing",
        "7:13 transforms[4].filter",
    ]


def test_an_option_that_is_spelt_wrong_is_not_missed_as_well(tmp_path: Path) -> None:
    text = """\
    pipeline: p
    tables: {a: {file: 's3://bucket/a.csv', key: k}}
    transforms:
      - lookup: {table: a, field: f, taek: [x]}
      - mask: {fields: [f], emial: true}
      - python: {call: 'operator:eq', wiht: {b: 1}}
    sinks:
      one:
        s3: {bucket: data-bucket, prefx: x, compresion: zstd, level: 19, partition: [{time: daily}, {time: hour}]}
      two:
        s3: {bucket: data-bucket, prefix: p/one, partition: [{expr: a, sa: b}]}
    """
    assert [line.partition(": ")[0] for line in said(tmp_path, text)] == [
        "4:34 transforms[0].lookup.taek",
        "5:25 transforms[1].mask.emial",
        "6:35 transforms[2].python.wiht",
        "9:31 sinks.one.s3.prefx",
        "9:41 sinks.one.s3.compresion",
        "9:89 sinks.one.s3.partition[0].time",
        "11:68 sinks.two.s3.partition[0].sa",
    ]


def test_a_quarantine_that_is_wrong_is_not_missed_as_well(tmp_path: Path) -> None:
    text = f"pipeline: p\nquarantin: {{s3: {{bucket: data-bucket}}}}\n{SINKS}"
    assert mistakes(tmp_path, text, {}) == [("2:1", "quarantin", "unknown key (did you mean 'quarantine'?)")]


def test_a_missing_quarantine_is_a_mistake_beside_others(tmp_path: Path) -> None:
    assert [path for _, path, _ in mistakes(tmp_path, f"pipeline: P\n{SINKS}", {})] == ["", "pipeline"]


def test_a_variable_that_is_not_set_does_not_hide_its_neighbours(tmp_path: Path) -> None:
    text = """\
    pipeline: p
    transforms: [{filter: 'a == ${NOPE}'}, {filter: a ==}]
    sinks: {a: {s3: {bucket: '${NOPE}', level: 9}}}
    """
    assert [line.partition(": ")[0] for line in said(tmp_path, text)] == [
        "2:23 transforms[0].filter",
        "2:49 transforms[1].filter",
        "3:26 sinks.a.s3.bucket",
        "3:44 sinks.a.s3.level",
    ]


def test_a_mistake_inside_one_of_two_forms_is_named_where_it_stands(tmp_path: Path) -> None:
    text = f"""\
pipeline: p
transforms:
  - python: {{call: '${{NOPE}}', with: {{a: 1}}}}
  - lookup: {{table: a, field: f, take: [x, 1]}}
{SINKS}"""
    assert said(tmp_path, text) == [
        "3:20 transforms[0].python.call: the environment has no NOPE; set it, or give a default: ${NOPE:-...}",
        "4:21 transforms[1].lookup.table: there is no table 'a'",
        "4:44 transforms[1].lookup.take[1]: expected text, got the number 1; put quotes around it to make it text",
    ]


def test_an_hour_beside_a_partition_that_is_none_is_no_mistake(tmp_path: Path) -> None:
    text = "pipeline: p\nsinks: {a: {s3: {bucket: data-bucket, partition: [[1], {}, {time: hour}]}}}\n"
    assert said(tmp_path, text) == [
        "2:51 sinks.a.s3.partition[0]: expected a mapping, got a list",
        "2:56 sinks.a.s3.partition[1]: needs exactly one of: time, field, expr",
    ]
