"""A replay gives sinks what they lack, and nothing twice, from the stream or from the archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aetherstream.compose import core_of, quarantine_of, tables_of
from aetherstream.core import Core
from aetherstream.delivery.ledger import Ledger
from aetherstream.engine import Engine
from aetherstream.errors import UsageError
from aetherstream.objects import lines_of
from aetherstream.pipeline import Pipeline, load
from aetherstream.records import KinesisRecords
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.replay import ArchivedUnits, NotOurs, Replayed, Replayer, as_json, from_json
from aetherstream.testing.builders import SHARD, STREAM, event_ids_of, kinesis_records, written
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress

ONE_SINK = """\
pipeline: p
event_time: {field: t}
transforms:
  - filter: n != 0
  - split: {field: parts}
sinks:
  archive: {s3: {bucket: data, partition: [{time: day}]}}
quarantine: {s3: {bucket: data}}
"""
SECOND = "  second: {s3: {bucket: data, compression: zstd, partition: [{field: kind}]}}\n"
TWO_SINKS = ONE_SINK.replace("quarantine:", f"{SECOND}quarantine:")
DAY = "2025-11-21T00:00:00Z"


def event(n: int, **more: object) -> dict[str, object]:
    return {"n": n, "t": DAY, "kind": "a", "parts": [{}], **more}


@dataclass
class World:
    """One shard's stores, and functions of changing pipelines over them."""

    folder: Path
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    progress: MemoryProgress = field(default_factory=MemoryProgress)
    processes: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def pipeline(self, text: str) -> tuple[Pipeline, Core]:
        path = self.folder / "p.yaml"
        path.write_text(text)
        pipeline = load(path, {})
        return pipeline, core_of(pipeline, tables_of(pipeline, lambda uri: Path(uri).read_bytes()), {})

    def process(self, text: str, unit: KinesisRecords) -> None:
        pipeline, core = self.pipeline(text)
        engine = Engine(
            "p",
            core,
            store=self.objects,
            ledger=Ledger(self.progress, f"p{next(self.processes)}"),
            quarantine=quarantine_of(pipeline),
            executor=InlineExecutor(),
            version=lambda: "v1",
        )
        report = engine.process(unit, lambda: 900.0)
        assert report.error is None

    def replay(self, text: str, unit: KinesisRecords, **options: Any) -> Replayed:
        pipeline, core = self.pipeline(text)

        def redriver(owner: str, core: Core) -> Redriver:
            return Redriver(
                "p",
                core,
                quarantine=quarantine_of(pipeline),
                store=self.objects,
                archive=self.objects,
                progress=self.progress,
                executor=InlineExecutor(),
                clock=lambda: 1_763_800_000.0,
                owner=owner,
                version=lambda: "v2",
            )

        replayer = Replayer(pipeline, core, redriver=redriver, progress=self.progress)
        return replayer.replay(unit, owner="me", **options)

    def ids(self, sink: str) -> list[str]:
        """Event ids in a sink, without the shard, sorted, repeats included."""
        return [found.removeprefix(f"{SHARD}:") for found in event_ids_of(written(self.objects, "data", f"p/{sink}"))]

    def lines(self, sink: str) -> list[bytes]:
        return [line for key, stored in self.objects.under("data", f"p/{sink}/") for line in lines_of(key, stored.body)]

    def archived(self, *, lines: int = 1000, sink: str = "archive") -> list[KinesisRecords]:
        collected = ArchivedUnits(STREAM, lines=lines, characters=1_000_000)
        return [*collected.add("s3://data/x", self.lines(sink)), *collected.rest()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def unit() -> KinesisRecords:
    return kinesis_records([event(1), event(0), event(2, parts=[{"x": 1}, {"x": 2}]), event(3, t="never")])


def counts(done: Replayed, sink: str) -> tuple[int, int, int]:
    count = done.report.sinks[sink]
    return count.events, count.held, count.delivered


def test_a_replay_of_what_was_delivered_writes_nothing(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    before = dict(world.objects.objects)
    done = world.replay(ONE_SINK, unit)
    assert (counts(done, "archive"), done.report.objects, done.report.still_quarantined) == ((3, 3, 0), [], 1)
    assert world.objects.objects == before


def test_a_new_sink_is_filled_from_the_stream_and_the_old_one_left_as_it_is(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    done = world.replay(TWO_SINKS, unit)
    assert (counts(done, "archive"), counts(done, "second")) == ((3, 3, 0), (3, 0, 3))
    assert world.ids("second") == world.ids("archive") == ["100:0", "120:0", "120:0:1"]


def test_a_replay_done_twice_comes_to_the_same(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    world.replay(TWO_SINKS, unit)
    done = world.replay(TWO_SINKS, unit)
    assert (counts(done, "second"), world.ids("second")) == ((3, 3, 0), ["100:0", "120:0", "120:0:1"])


def test_a_change_that_lets_more_pass_adds_what_was_dropped(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    world.replay(ONE_SINK.replace("n != 0", "n < 9"), unit)
    assert world.ids("archive") == ["100:0", "110:0", "120:0", "120:0:1"]


def test_only_the_chosen_sinks_get_something(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    world.replay(TWO_SINKS.replace("n != 0", "n < 9"), unit, into=["second"])
    assert (world.ids("archive"), world.ids("second")) == (
        ["100:0", "120:0", "120:0:1"],
        ["100:0", "110:0", "120:0", "120:0:1"],
    )


def test_a_record_that_a_sink_holds_is_not_quarantined_by_a_later_version(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    stricter = TWO_SINKS.replace("event_time: {field: t}", "event_time: {field: t, not_before: 2026-01-01}")
    done = world.replay(stricter, unit, into=["second"])
    assert (done.report.quarantined, world.ids("second")) == (0, [])


def test_what_the_stream_function_has_not_settled_is_left_to_it(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit.part(0, 1))
    done = world.replay(TWO_SINKS, unit)
    assert (done.not_settled, world.ids("second")) == (3, ["100:0"])


def test_a_shard_without_progress_is_left_to_the_stream_function(world: World, unit: KinesisRecords) -> None:
    done = world.replay(TWO_SINKS, unit)
    assert (done.not_settled, done.report.records, world.objects.objects) == (4, 0, {})


def test_a_dry_run_says_what_would_be_put_and_puts_nothing(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    objects, items = dict(world.objects.objects), dict(world.progress.items)
    done = world.replay(TWO_SINKS, unit, dry_run=True)
    assert (counts(done, "second"), len(done.report.objects)) == ((3, 0, 3), 1)
    assert (world.objects.objects, world.progress.items) == (objects, items)


def test_a_sink_that_is_not_there_is_named_with_the_nearest(world: World, unit: KinesisRecords) -> None:
    with pytest.raises(UsageError, match=r"no sink 'secnd' \(did you mean 'second'\?\); its sinks are archive, second"):
        world.replay(TWO_SINKS, unit, into=["secnd"])


def test_a_new_sink_is_filled_from_the_archive_with_the_same_lines(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    (archived,) = world.archived()
    done = world.replay(TWO_SINKS, archived, source="archive", into=["second"])
    assert (counts(done, "second"), done.report.records) == ((3, 0, 3), 2)
    assert world.lines("second") == world.lines("archive")


def test_events_of_the_archive_are_not_transformed_again(world: World) -> None:
    world.process(ONE_SINK, kinesis_records([event(1)]))
    changed = TWO_SINKS.replace("filter: n != 0", "filter: n > 99")
    world.replay(changed, world.archived()[0], source="archive", into=["second"])
    assert world.lines("second") == world.lines("archive")


def test_archive_and_stream_know_each_others_events(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    world.replay(TWO_SINKS, unit.part(0, 1), into=["second"])
    done = world.replay(TWO_SINKS, world.archived()[0], source="archive", into=["second"])
    assert (counts(done, "second"), world.ids("second")) == ((3, 1, 2), ["100:0", "120:0", "120:0:1"])


def test_a_record_whose_events_come_in_several_units_is_delivered_whole(world: World, unit: KinesisRecords) -> None:
    world.process(ONE_SINK, unit)
    for archived in world.archived(lines=2):
        world.replay(TWO_SINKS, archived, source="archive", into=["second"])
    assert world.ids("second") == ["100:0", "120:0", "120:0:1"]


def test_an_event_without_a_place_in_the_sink_is_told_and_not_quarantined(world: World) -> None:
    world.process(ONE_SINK, kinesis_records([event(1, kind=[1]), event(2)]))
    done = world.replay(TWO_SINKS, world.archived()[0], source="archive", into=["second"])
    assert done.refused == {f"{SHARD}:100:0": "partition value [1] is not a scalar"}
    assert (world.ids("second"), world.lines("quarantine")) == (["110:0"], [])


def test_partitions_by_arrival_can_not_be_had_from_the_archive(world: World) -> None:
    text = TWO_SINKS.replace("event_time: {field: t}\n", "")
    world.process(text.replace(SECOND, ""), kinesis_records([event(1)]))
    with pytest.raises(UsageError, match="the sink 'archive' is partitioned by time and the pipeline names no"):
        world.replay(text, world.archived()[0], source="archive")
    world.replay(text, world.archived()[0], source="archive", into=["second"])
    assert world.ids("second") == ["100:0"]


def test_the_identity_of_the_data_goes_along(world: World) -> None:
    text = ONE_SINK.replace("event_time:", "identity: [n]\nevent_time:")
    world.process(text, kinesis_records([event(7)]))
    world.replay(text.replace("quarantine:", f"{SECOND}quarantine:"), world.archived()[0], source="archive")
    assert world.lines("second") == world.lines("archive")


def test_units_of_the_archive_hold_one_shard_in_the_order_of_the_stream() -> None:
    def line(shard: int, place: str) -> bytes:
        return b'{"_event_id":"shardId-%d:%s"}' % (shard, place.encode())

    collected = ArchivedUnits(STREAM, lines=3, characters=1_000_000)
    units = list(
        collected.add("x", [line(1, "99:0"), line(2, "5:0"), line(1, "100:1"), line(1, "9:0"), line(1, "7:0")])
    )
    units += collected.rest()
    assert [(unit.shard, unit.sequences) for unit in units] == [
        ("shardId-1", ["9", "99", "100"]),
        ("shardId-1", ["7"]),
        ("shardId-2", ["5"]),
    ]


@pytest.mark.parametrize("line", [b"not JSON", b'{"n":1}', b'{"_event_id":"x"}', b'{"_event_id":"a:b:c"}'])
def test_a_foreign_line_is_named_with_its_object(line: bytes) -> None:
    with pytest.raises(NotOurs, match="s3://data/k holds a line that is no event of the archive"):
        list(ArchivedUnits(STREAM, lines=3, characters=100).add("s3://data/k", [line]))


def test_a_unit_travels_as_json(unit: KinesisRecords) -> None:
    assert from_json(as_json(unit)) == unit


def test_a_request_without_a_unit_is_refused() -> None:
    with pytest.raises(UsageError, match="the request holds no unit of records"):
        from_json({"stream": STREAM})
