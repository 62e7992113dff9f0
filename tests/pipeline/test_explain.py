from pathlib import Path

import pytest

from aetherstream.pipeline.explain import explain, warnings
from tests.pipeline.writing import SINKS, loaded

ALL = """\
pipeline: flights
description: Departures
validate: {schema: {type: object, required: [carrier, time]}}
event_time: {field: at, not_before: 2013-01-01, max_ahead: 1h}
identity: [carrier, flight]
tables: {airlines: {file: airlines.csv, key: carrier}}
transforms:
  - select: [carrier, flight, at, d]
  - drop: [x]
  - rename: {d: distance}
  - set: {far: distance > 1000}
  - cast: {flight: str}
  - flatten: {fields: [meta], separator: __}
  - parse_time: {field: at, formats: ['%d/%m/%Y'], timezone: Europe/Berlin}
  - filter: carrier != null
  - split: {field: legs, into: leg}
  - mask: {fields: [phone], keep_last: 4}
  - hash: {fields: [user], key_env: HASH_KEY}
  - lookup: {table: airlines, field: carrier, take: {name: airline}}
  - python: {call: 'steps:f', with: {limit: 3}}
  - route: {cases: [{when: far, to: [archive]}], otherwise: []}
sinks:
  archive:
    s3:
      bucket: data-bucket
      compression: zstd
      level: 3
      partition: [{time: day}, {time: hour, as: h}, {field: carrier}, {expr: distance > 1, as: far}]
"""

PLAN = """\
flights: Departures

  delivery      exactly once (progress in DynamoDB; a retry leaves no duplicates)
  source        JSON: objects, arrays, lines; a record may expand to 32 MiB
  validate      schema in the file; required: carrier, time
  transforms     1. select     keep only carrier, flight, at, d
                 2. drop       remove x
                 3. rename     d → distance
                 4. set        far = distance > 1000
                 5. cast       flight to str
                 6. flatten    lift the fields of meta, joined by '__'
                 7. parse_time at from %d/%m/%Y (zone Europe/Berlin where none is given) to iso8601
                 8. filter     keep where carrier != null; the rest is dropped and counted
                 9. split      one event of each element of legs, as leg; empty: reject
                10. mask       phone but the last 4
                11. hash       user by HMAC-SHA256 with the key of $HASH_KEY
                12. lookup     carrier in table airlines: take name as airline; not found: null
                13. python     steps:f with limit as 3
                14. route      far → archive; otherwise → nowhere (dropped)
  event time    at (iso8601); from 2013-01-01, at most after arrival: 1h; others are quarantined
  identity      carrier + flight
  sink archive  s3://data-bucket/flights/archive/day=2013-01-01/h=00/carrier=<carrier>/far=<distance > 1>/\
shardId-000000000000-<first position>.ndjson.zst
                NDJSON, zstd level 3; at most 200 partitions a batch
  quarantine    s3://data-bucket/flights/quarantine/...

Warnings
  - sinks.archive is partitioned by 'carrier', which looks as if it had many values: many tiny objects, and batches \
that end early at max_partitions
"""


def test_the_plan_says_every_part_in_words(tmp_path: Path) -> None:
    assert explain(loaded(tmp_path, ALL)) == PLAN


def test_a_plan_without_options_says_what_holds_then(tmp_path: Path) -> None:
    assert explain(loaded(tmp_path, f"pipeline: p\ndelivery: at_least_once\n{SINKS}")) == (
        """\
p

  delivery      at least once (a retry may leave duplicates)
  source        JSON: objects, arrays, lines; a record may expand to 32 MiB
  validate      any JSON object
  transforms    none: events go on as they came
  event time    arrival in the stream
  identity      position in the stream
  sink archive  s3://data-bucket/p/archive/day=2026-01-31/shardId-000000000000-<first position>.ndjson.gz
                NDJSON, gzip; at most 200 partitions a batch
  quarantine    s3://data-bucket/p/quarantine/...

Warnings
  - no event_time: time partitions follow the arrival in the stream, so late data lands in later partitions
  - no validate: any JSON object passes on to the transforms
"""
    )


GOOD = "pipeline: p\nvalidate: {schema: {}}\nevent_time: {field: at, max_age: 1d, max_ahead: 1h}\n"


def test_a_sound_pipeline_has_no_warnings(tmp_path: Path) -> None:
    assert list(warnings(loaded(tmp_path, GOOD + SINKS))) == []


@pytest.mark.parametrize(
    ("step", "warned"),
    [
        ("drop: [at]", "drop"),
        ("select: [x]", "select"),
        ("rename: {at: when}", "rename"),
    ],
)
def test_a_step_that_takes_the_event_time_away_is_warned_about(tmp_path: Path, step: str, warned: str) -> None:
    pipeline = loaded(tmp_path, f"{GOOD}transforms: [{{{step}}}]\n{SINKS}")
    assert list(warnings(pipeline)) == [f"event_time reads 'at', which transforms[0].{warned} takes away"]


@pytest.mark.parametrize(
    "step",
    ["rename: {x: at}", "set: {at: x}", "python: 'm:f'", "flatten: {}", "lookup: {table: t, field: x, into: at}"],
)
def test_a_step_behind_that_may_bring_a_field_back_keeps_the_warning_away(tmp_path: Path, step: str) -> None:
    pipeline = loaded(tmp_path, f"{GOOD}transforms: [{{drop: [at]}}, {{{step}}}]\n{SINKS}")
    assert list(warnings(pipeline)) == []


@pytest.mark.parametrize("field", ["device_id", "user.id", "at", "created_at", "uuid"])
def test_a_partition_by_a_field_of_many_values_is_warned_about(tmp_path: Path, field: str) -> None:
    sinks = f"sinks: {{archive: {{s3: {{bucket: data-bucket, partition: [{{field: {field}}}]}}}}}}\n"
    (warning,) = warnings(loaded(tmp_path, GOOD + sinks))
    assert warning.startswith(f"sinks.archive is partitioned by {field!r}, which looks as if it had many values: ")
