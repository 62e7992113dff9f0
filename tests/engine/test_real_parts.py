"""The engine with the real decoder and the real steps of a pipeline file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from aetherstream.compose import core_of, tables_of
from aetherstream.core import Core
from aetherstream.delivery.ledger import Ledger
from aetherstream.engine import Engine
from aetherstream.pipeline import load
from aetherstream.producer.aggregate import encode
from aetherstream.producer.model import UserRecord
from aetherstream.quarantine import Quarantine
from aetherstream.records import KinesisRecords
from aetherstream.report import Report
from aetherstream.testing.builders import SHARD, kinesis_records, lines
from aetherstream.testing.sinks import MemoryRecordSink
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from tests.engine.harness import counted

PIPELINE = """
pipeline: orders
event_time: {field: at, format: epoch_s, not_before: 2020-01-01}
transforms:
  - filter: kind != "ping"
  - split: {field: items, into: item, empty: drop}
  - cast: {amount: int}
%s
sinks:
  archive: {s3: {bucket: data, prefix: archive, partition: [{time: day}, {field: item.kind, as: kind}]}}
  large: {s3: {bucket: data, prefix: large, compression: zstd}}
quarantine: {s3: {bucket: data, prefix: quarantine}}
"""
ROUTE = """
  - route:
      cases:
        - {when: item.large == true, to: [archive, large]}
      otherwise: [archive]
"""
DAY_1, DAY_2 = 1_763_712_000, 1_763_798_400


def order(n: int, *kinds: str, at: float = DAY_1, **more: Any) -> dict[str, Any]:
    return {"n": n, "at": at, "amount": "7", "items": [{"kind": kind, "large": kind == "z"} for kind in kinds], **more}


def ndjson(*values: Any) -> bytes:
    return b"\n".join(orjson.dumps(value) for value in values)


PAYLOADS: list[object] = [
    order(1, "a", "b"),
    gzip.compress(ndjson(order(2, "a"), order(3, "z", at=DAY_2))),
    [order(4, "b"), {"kind": "ping"}, order(5)],
    b"\xff\xfe not for us",
    ndjson(order(6, "a", amount="many"), order(7, "z", "z")),
    order(8, "a", at=0),
    encode(UserRecord(orjson.dumps(value), "key", 0) for value in (order(9, "b", at=DAY_2), order(10, "a", at=0))),
]
IDS = ["100:0", "100:0:1", "110:0", "110:1", "120:0", "140:1", "140:1:1", "160:0"]


def compiled(tmp_path: Path, route: str) -> Core:
    path = tmp_path / "orders.yaml"
    path.write_text(PIPELINE % route)
    pipeline = load(path, {})
    return core_of(pipeline, tables_of(pipeline, lambda uri: Path(uri).read_bytes()), {})


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return compiled(tmp_path, ROUTE)


class Run:
    def __init__(self, core: Core, **parts: Any) -> None:
        self.core, self.parts = core, parts
        self.objects, self.progress = MemoryObjects(), MemoryProgress()
        self.processes = 0

    def __call__(self, batch: KinesisRecords) -> Report:
        self.processes += 1
        engine = Engine(
            "orders",
            self.core,
            store=self.objects,
            ledger=Ledger(self.progress, f"p{self.processes}"),
            quarantine=Quarantine(bucket="data", prefix="quarantine", pipeline="orders"),
            executor=InlineExecutor(),
            version=lambda: "v1",
            **self.parts,
        )
        return engine.process(batch, lambda: 900.0)

    def held(self, prefix: str) -> list[str]:
        found = [line for key, stored in self.objects.under("data", f"{prefix}/") for line in lines(stored.body)]
        return sorted((line.get("_event_id") or line["id"]).removeprefix(f"{SHARD}:") for line in found)


def test_every_format_and_step_is_accounted_for(core: Core) -> None:
    run = Run(core)
    report = run(kinesis_records(PAYLOADS))
    assert counted(report) == {"records_in": 12, "passed": 6, "quarantined": 4, "dropped": 2}
    assert {name: count.delivered for name, count in report.sinks.items()} == {"archive": 8, "large": 3}
    assert (run.held("archive"), run.held("large")) == (IDS, ["110:1", "140:1", "140:1:1"])
    assert run.held("quarantine") == ["130", "140:0", "150:0", "160:1"]


def test_partitions_follow_event_time_and_field(core: Core) -> None:
    run = Run(core)
    run(kinesis_records(PAYLOADS))
    places = {key.rpartition("/")[0]: len(lines(stored.body)) for key, stored in run.objects.under("data", "archive/")}
    assert places == {
        "archive/day=2025-11-21/kind=a": 2,
        "archive/day=2025-11-21/kind=b": 2,
        "archive/day=2025-11-21/kind=z": 2,
        "archive/day=2025-11-22/kind=z": 1,
        "archive/day=2025-11-22/kind=b": 1,
    }


@pytest.mark.parametrize("cut", range(1, len(PAYLOADS)))
@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_however_the_batch_is_cut_every_event_stands_once(core: Core, cut: int, overlap: int) -> None:
    run, batch = Run(core), kinesis_records(PAYLOADS)
    reports = [run(batch.part(0, cut)), run(batch.part(max(0, cut - overlap), len(batch)))]
    assert [report.error for report in reports] == [None, None]
    assert (run.held("archive"), run.held("large")) == (IDS, ["110:1", "140:1", "140:1:1"])
    assert run.held("quarantine") == ["130", "140:0", "150:0", "160:1"]


@pytest.mark.parametrize("undelivered", IDS)
def test_a_prefix_by_a_per_record_sink_and_its_retry_leave_every_event_once(tmp_path: Path, undelivered: str) -> None:
    search = MemoryRecordSink(answer=lambda name, _: "429" if name == f"{SHARD}:{undelivered}" else None)
    run, batch = Run(compiled(tmp_path, ""), record_sinks=[search]), kinesis_records(PAYLOADS)
    first = run(batch)
    search.answer = lambda *_: None
    last = run(batch)
    assert (first.failed_from, last.failed_from) == (undelivered.partition(":")[0], None)
    assert (run.held("archive"), sorted(name.removeprefix(f"{SHARD}:") for name in search.documents)) == (IDS, IDS)
    assert run.held("quarantine") == ["130", "140:0", "150:0", "160:1"]
