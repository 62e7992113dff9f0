"""A rejected user record takes its own bytes to the quarantine, not those of its neighbours."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from aetherstream.core import Core
from aetherstream.decode import Decoder
from aetherstream.delivery.ledger import Unledgered
from aetherstream.engine import Engine
from aetherstream.errors import Rejected
from aetherstream.quarantine import Quarantine
from aetherstream.records import KinesisRecords, Rejection
from aetherstream.sinks.s3 import by_field
from aetherstream.testing.builders import kinesis_records, written
from aetherstream.testing.events import gz, kpl, ndjson
from aetherstream.testing.sinks import MemoryRecordSink
from aetherstream.testing.stores import InlineExecutor, MemoryObjects
from aetherstream.transforms.validation import compile_validation
from tests.engine.harness import Bench, Steps, archive, process

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
GOOD, INVALID, REFUSED = {"p": "a", "n": 1}, {"n": "x"}, {"do": "reject"}
UNPLACED, UNIDENTIFIED = {"p": {}, "n": 2}, {"p": "a", "t": None}


class Opens(Decoder):
    """Counts how often single Kinesis records are opened again."""

    opened: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.opened = []

    def payloads(self, records: KinesisRecords, index: int) -> list[bytes] | None:
        self.opened.append(index)
        return super().payloads(records, index)


def bench(**changes: Any) -> Bench:
    return Bench(decoder=Opens(), core={"validate": compile_validation(SCHEMA)}, **changes)


def quarantined(held: Bench) -> list[tuple[str, bool, bytes]]:
    return [(line["stage"], line["alone"], base64.b64decode(line["data"])) for line in held.quarantined]


def test_each_stage_that_refuses_a_user_record_quarantines_its_bytes_alone() -> None:
    held = bench()
    held.run([[GOOD, INVALID, REFUSED, UNPLACED], b'{"n":1}\n{"n": "y"}\n7', kpl([orjson.dumps(INVALID), gz("{}")])])
    assert sorted(quarantined(held)) == sorted(
        [
            ("validate", True, orjson.dumps(INVALID)),
            ("transform", True, orjson.dumps(REFUSED)),
            ("partition", True, orjson.dumps(UNPLACED)),
            ("validate", True, b'{"n": "y"}'),
            ("decode", True, b"7"),
            ("validate", True, orjson.dumps(INVALID)),
        ]
    )


def test_a_missing_identity_quarantines_the_bytes_alone() -> None:
    held = Bench(decoder=Decoder(), core={"identity": ["t"]})
    held.run([[{"p": "a", "t": "1"}, UNIDENTIFIED]])
    assert quarantined(held) == [("transform", True, orjson.dumps(UNIDENTIFIED))]


def test_a_kinesis_record_that_is_one_user_record_is_kept_as_it_came() -> None:
    held = bench()
    held.run([gz(orjson.dumps(INVALID)), INVALID, "{no json", gz("[]")])
    assert sorted(quarantined(held)) == sorted(
        [
            ("validate", False, gz(orjson.dumps(INVALID))),
            ("validate", False, orjson.dumps(INVALID)),
            ("decode", False, b"{no json"),
            ("decode", False, gz("[]")),
        ]
    )


def test_what_a_sink_refuses_is_quarantined_alone_as_well() -> None:
    sink = MemoryRecordSink(answer=lambda _, document: Rejected("no such field") if document["p"] == "b" else None)
    held = Bench(decoder=Decoder(), record_sinks=[sink])
    held.run([[GOOD, {"p": "b"}]])
    assert quarantined(held) == [("deliver", True, b'{"p":"b"}')]


def test_the_bytes_alone_decode_to_the_event_that_was_refused() -> None:
    held = bench()
    held.run([ndjson([GOOD, {"n": 1.5, "deep": [{"ü": "x"}]}])])
    ((_, _, data),) = quarantined(held)
    events = Decoder().decode(kinesis_records([data]), 0, 1, [])
    assert events.values == [{"n": 1.5, "deep": [{"ü": "x"}]}]


def test_a_record_is_opened_once_however_many_of_its_user_records_are_refused() -> None:
    held = bench()
    held.run([GOOD, [INVALID, REFUSED, UNPLACED, INVALID], GOOD, [GOOD, GOOD]])
    assert held.decoder.opened == [1]  # type: ignore[attr-defined]


def test_the_quarantine_grows_with_the_records_and_not_with_their_square() -> None:
    def size(count: int) -> int:
        quarantine = Quarantine(bucket="data", prefix="q", pipeline="flights")
        batch = kinesis_records([ndjson([{"n": "x" * 100}] * count)])
        core = Core(Decoder(), sinks=[archive(partition=[by_field("p")])], validate=compile_validation(SCHEMA))
        objects = MemoryObjects()
        engine = Engine(
            "flights",
            core,
            store=objects,
            ledger=Unledgered(),
            quarantine=quarantine,
            executor=InlineExecutor(),
            version=lambda: "v1",
        )
        process(engine, batch)
        ((_, held),) = written(objects, "data", "q").items()
        assert len(held) == count
        return sum(len(line["data"]) for line in held)

    assert size(1_000) == 10 * size(100)


def test_a_payload_that_is_missing_leaves_the_bytes_of_the_whole_record() -> None:
    class Forgetful(Decoder):
        def payloads(self, records: KinesisRecords, index: int) -> list[bytes] | None:
            return [b"one"]

    core = Core(Forgetful(), transform=Steps())
    rejection = Rejection(0, 1, "transform", "transforms[0]", "refused", "refused")
    assert core.with_payloads([rejection], kinesis_records([[GOOD, REFUSED]])) == [rejection]
