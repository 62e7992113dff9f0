"""Requests to the recovery function of a pipeline with aggregates."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aetherstream.aggregates.partials import results
from aetherstream.aggregation import Aggregation
from aetherstream.app import engine_of
from aetherstream.compose import tables_of
from aetherstream.compose_aggregates import aggregation_of, declarations_of
from aetherstream.compose_states import commits_for
from aetherstream.decode import read_batch
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.results import merged
from aetherstream.delivery.ledger import Ledger
from aetherstream.objects import lines_of
from aetherstream.pipeline import Pipeline, load
from aetherstream.recovery.replay import as_json
from aetherstream.recovery.service import Service
from aetherstream.recovery_app import service_of
from aetherstream.settings import from_environment
from aetherstream.testing.events import SHARD, STREAM, kinesis_event
from aetherstream.testing.states import MemoryStates, MemoryWindows
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from tests.pipeline.writing import write
from tests.recovery.letters import KEY, letter_of

STRICT = """\
pipeline: p
event_time: {field: t, format: epoch_s}
sinks: {archive: {s3: {bucket: data, prefix: p/archive}}}
quarantine: {s3: {bucket: data, prefix: p/quarantine}}
aggregates:
  sums:
    window: {tumbling: 1h}
    max_ahead: 100d
    outputs:
      events: count
      total: {kind: sum, of: n, unusable: reject}
"""
LENIENT = STRICT + "transforms: [{set: {n: '1'}}]\n"
EVENT = kinesis_event([{"t": 1, "n": 5}, {"t": 2, "n": "x"}])
REFUSED = f"{SHARD}:{EVENT['Records'][1]['kinesis']['sequenceNumber']}:0"


@dataclass
class World:
    """A pipeline with its stores."""

    folder: Path
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    progress: MemoryProgress = field(default_factory=MemoryProgress)
    stores: Stores = field(default_factory=lambda: Stores(MemoryStates(), MemoryWindows()))

    def process(self, event: dict[str, Any]) -> None:
        """Deliver a batch as the stream function does."""
        pipeline = self.deployed(STRICT)
        engine = engine_of(
            pipeline,
            tables_of(pipeline, lambda _: b""),
            store=self.objects,
            ledger=Ledger(self.progress, "live"),
            executor=InlineExecutor(),
            aggregation=self.aggregation(pipeline),
            secrets={},
        )
        assert engine.process(read_batch(event), lambda: 900.0).failed_from is None

    def deployed(self, text: str) -> Pipeline:
        return load(write(self.folder, text), {})

    def aggregation(self, pipeline: Pipeline) -> Aggregation:
        declarations = declarations_of(pipeline)
        commits = commits_for(pipeline, declarations, self.stores, self.objects, self.objects, lambda: 1e9)
        return aggregation_of(pipeline, declarations, commits)

    def service(self, text: str) -> Service:
        pipeline = self.deployed(text)
        environ = {
            "AETHERSTREAM_PIPELINE": str(pipeline.path),
            "AETHERSTREAM_STREAM": STREAM,
            "AETHERSTREAM_DEAD_LETTERS": "dead",
        }
        return service_of(
            pipeline,
            tables_of(pipeline, lambda _: b""),
            from_environment(environ),
            store=self.objects,
            reader=self.objects,
            progress=self.progress,
            executor=InlineExecutor(),
            reread=lambda letter: letter.records(),
            aggregation=self.aggregation(pipeline),
        )

    def replay(self, text: str, **more: Any) -> dict[str, Any]:
        found = [{"key": key} for key, _ in self.objects.under("data", "p/quarantine/")]
        return self.service(text).handle({"do": "quarantine replay", "objects": found, **more})

    def marks(self) -> list[bytes]:
        return [
            line for _, stored in self.objects.under("data", "p/audit/quarantine/") for line in stored.body.splitlines()
        ]

    @property
    def result(self) -> Any:
        """What the only group of the only window has."""
        [declared] = declarations_of(self.deployed(STRICT))
        states: Any = self.stores.states
        [place] = {item.place for item in states.items.values()}
        [found] = merged(declared.aggregate, self.stores.states.group(place))
        return results(declared.aggregate, found.accs)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_dead_letter_is_folded_with_its_delivery(world: World) -> None:
    world.objects.overwrite("dead", KEY, json.dumps(letter_of(EVENT)).encode(), {})
    answer = world.service(STRICT).handle({"do": "dlq redrive", "key": KEY})
    assert (answer["state"], answer["report"]["aggregates"]["sums"]["folded"], world.result) == (
        "redriven",
        1,
        {"events": 1, "total": 5},
    )


def test_what_a_mended_pipeline_folds_is_marked_and_not_taken_again(world: World) -> None:
    world.process(EVENT)
    before = world.result
    answer = world.replay(LENIENT)
    assert (answer["state"], answer["finished"], before, world.result) == (
        "replayed",
        1,
        {"events": 1, "total": 5},
        {"events": 2, "total": 6},
    )
    assert (world.replay(LENIENT)["envelopes"], len(world.marks())) == (0, 1)


def test_what_is_refused_again_is_not_marked(world: World) -> None:
    world.process(EVENT)
    answer = world.replay(STRICT)
    assert (answer["state"], answer["finished"], world.marks()) == ("partial", 0, [])


@pytest.mark.parametrize(("more", "events"), [({}, 2), ({"skip_aggregates": True}, 1)])
def test_a_replay_into_a_new_prefix_folds_what_no_object_tells_of_unless_it_is_told_not_to(
    world: World, more: dict[str, Any], events: int
) -> None:
    world.process(EVENT)
    moved = STRICT.replace("p/archive", "p/moved")
    unit = as_json(read_batch(EVENT).part(0, 1))
    for _ in range(2):
        answer = world.service(moved).handle({"do": "replay", "unit": unit, **more})
    assert (answer["state"], world.result["events"]) == ("replayed", events)


def test_patched_bytes_are_folded_and_noted_and_the_archive_keeps_what_came(world: World) -> None:
    world.process(EVENT)
    world.replay(STRICT, patched={REFUSED: base64.b64encode(b'{"t": 2, "n": 7}').decode()})
    assert world.result == {"events": 2, "total": 12}
    [(key, stored)] = world.objects.under("data", "p/refolded/")
    assert b'"n":7' in lines_of(key, stored.body)[0]
    archived = [
        line for key, stored in world.objects.under("data", "p/archive/") for line in lines_of(key, stored.body)
    ]
    assert b'"n":"x"' in b"".join(archived)
