"""A sink that stages rows is looked into, redriven and filled as the archive is; its rows are no events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aetherstream.compose import quarantine_of
from aetherstream.core import Core
from aetherstream.records import KinesisRecords
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.redrive_report import RedriveCount, RedriveReport
from aetherstream.recovery.replay import Replayed
from aetherstream.testing.builders import SHARD, kinesis_records, written
from aetherstream.testing.stores import InlineExecutor
from tests.recovery.test_replay import DAY, World, event

SMALL = """\
pipeline: p
event_time: {field: t}
identity: [n]
transforms:
  - split: {field: parts}
sinks:
  archive: {s3: {bucket: data}}
quarantine: {s3: {bucket: data}}
"""
WAREHOUSE = """\
  warehouse:
    redshift:
      endpoint: host/dev
      secret: s
      bucket: data
      partition: []
      table: t
      columns: {kind: {type: char(1), null: false}, number: {type: smallint, from: n}, rest: super}
      unknown: rest
"""
BOTH = SMALL.replace("quarantine:", f"{WAREHOUSE}quarantine:")
PAYLOADS = [event(1), event(2, parts=[{"x": 1}, {"x": 2}]), event(3, kind="too long"), event(4, kind="b")]
IDS = ["100:0", "110:0", "110:0:1", "130:0"]
ROWS = [
    {"_event_id": f"{SHARD}:100:0", "kind": "a", "number": 1, "rest": {"t": DAY, "parts": {}}},
    {"_event_id": f"{SHARD}:110:0", "kind": "a", "number": 2, "rest": {"t": DAY, "parts": {"x": 1}}},
    {"_event_id": f"{SHARD}:110:0:1", "kind": "a", "number": 2, "rest": {"t": DAY, "parts": {"x": 2}}},
    {"_event_id": f"{SHARD}:130:0", "kind": "b", "number": 4, "rest": {"t": DAY, "parts": {}}},
]


@dataclass
class Staging(World):
    """A world whose units can be redriven too."""

    def redrive(self, text: str, unit: KinesisRecords, **options: Any) -> RedriveReport:
        pipeline, core = self.pipeline(text)
        return self._redriver(core, quarantine_of(pipeline)).redrive(unit, **options)

    def _redriver(self, core: Core, quarantine: Any) -> Redriver:
        return Redriver(
            "p",
            core,
            quarantine=quarantine,
            store=self.objects,
            archive=self.objects,
            progress=self.progress,
            executor=InlineExecutor(),
            clock=lambda: 1_763_800_000.0,
            owner="me",
            version=lambda: "v2",
        )

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What is staged, by event id, repeats included."""
        found = written(self.objects, "data", "p/staging/warehouse").values()
        return sorted((row for held in found for row in held), key=lambda row: str(row["_event_id"]))

    @property
    def refused(self) -> list[str]:
        held = written(self.objects, "data", "p/quarantine").values()
        return sorted(line["id"].removeprefix(f"{SHARD}:") for lines in held for line in lines)


@pytest.fixture
def world(tmp_path: Path) -> Staging:
    return Staging(tmp_path)


def unit(*changed: Any) -> KinesisRecords:
    return kinesis_records([*PAYLOADS, *changed])


def share(done: Replayed | RedriveReport, sink: str = "warehouse") -> RedriveCount:
    return (done.report if isinstance(done, Replayed) else done).sinks[sink]


def test_a_batch_is_staged_beside_the_archive(world: Staging) -> None:
    world.process(BOTH, unit())
    assert (world.ids("archive"), world.rows, world.refused) == (IDS, ROWS, ["120:0"])


def test_a_dead_letter_is_staged_too_and_once(world: Staging) -> None:
    first, second = world.redrive(BOTH, unit()), world.redrive(BOTH, unit())
    assert (world.ids("archive"), world.rows, world.refused) == (IDS, ROWS, ["120:0"])
    assert (share(first), share(second)) == (RedriveCount(events=4, delivered=4), RedriveCount(events=4, held=4))


def test_what_a_redrive_stages_says_how_many_rows_it_holds(world: Staging) -> None:
    world.redrive(BOTH, unit())
    stored = world.objects.objects["data", f"p/staging/warehouse/{SHARD}-redrive-000000001.ndjson.gz"]
    assert stored.metadata["aether-count"] == "4"


def test_rows_that_are_staged_already_are_found_and_only_the_archive_is_filled(world: Staging) -> None:
    only_staged = BOTH.replace("  archive: {s3: {bucket: data}}\n", "")
    world.process(only_staged, unit())
    done = world.redrive(BOTH, unit())
    assert (world.ids("archive"), world.rows) == (IDS, ROWS)
    assert (share(done), share(done, "archive")) == (
        RedriveCount(events=4, held=4),
        RedriveCount(events=4, delivered=4),
    )


def test_a_part_that_is_staged_already_is_completed(world: Staging) -> None:
    world.process(BOTH, unit().part(0, 1))
    done = world.redrive(BOTH, unit())
    assert (world.rows, share(done)) == (ROWS, RedriveCount(events=4, held=1, delivered=3))


def test_what_the_table_refused_goes_everywhere_once_it_is_mended(world: Staging) -> None:
    world.process(BOTH, unit())
    mended = kinesis_records([event(3, kind="c")], first=120)
    world.redrive(BOTH, mended, origin="quarantine")
    row = {"_event_id": f"{SHARD}:120:0", "kind": "c", "number": 3, "rest": {"t": DAY, "parts": {}}}
    assert world.rows == [*ROWS[:3], row, ROWS[3]]
    assert world.ids("archive") == [*IDS[:3], "120:0", IDS[3]]


def test_a_new_table_is_filled_from_the_stream_once(world: Staging) -> None:
    world.process(SMALL, unit())
    first = world.replay(BOTH, unit(), into=["warehouse"])
    second = world.replay(BOTH, unit(), into=["warehouse"])
    assert (world.rows, world.ids("archive")) == (ROWS, sorted([*IDS, "120:0"]))
    assert (share(first), share(second)) == (RedriveCount(events=4, delivered=4), RedriveCount(events=4, held=4))


def test_what_a_new_table_refuses_of_the_archive_is_told(world: Staging) -> None:
    world.process(SMALL, unit())
    report = world.replay(BOTH, unit(), into=["warehouse"]).report
    assert (report.held, report.held_refused, report.quarantined) == (1, 1, 0)
    assert report.reasons == {"partition: column kind is longer than 1 bytes": 1}


def test_a_new_table_is_filled_from_the_archive_once(world: Staging) -> None:
    world.process(SMALL, unit())
    (archived,) = world.archived()
    first = world.replay(BOTH, archived, source="archive", into=["warehouse"])
    second = world.replay(BOTH, archived, source="archive", into=["warehouse"])
    assert (world.rows, world.refused) == (ROWS, [])
    assert (share(first), share(second)) == (RedriveCount(events=4, delivered=4), RedriveCount(events=4, held=4))
    assert list(first.refused) == [f"{SHARD}:120:0"]


def test_where_rows_are_staged_hangs_on_no_time_that_the_archive_has_lost(world: Staging) -> None:
    arrival = BOTH.replace("event_time: {field: t}\n", "").replace("      partition: []\n", "")
    world.process(arrival.replace(WAREHOUSE, ""), unit())
    (archived,) = world.archived()
    world.replay(arrival, archived, source="archive", into=["warehouse"])
    assert world.rows == ROWS
