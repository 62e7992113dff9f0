"""What the engine does with the events of a per-record sink that is down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from aetherstream.errors import Rejected
from aetherstream.quarantine import fingerprint
from aetherstream.record_delivery import Standby
from aetherstream.records import Rejection
from aetherstream.report import SinkCount
from aetherstream.sinks.base import Answer
from aetherstream.spill import REASON, Spill, Spilled, UnusableSpill, read_rows
from aetherstream.testing.builders import SHARD, kinesis_records, written
from aetherstream.testing.sinks import MemoryRecordSink
from tests.engine.harness import Bench, counted, process
from tests.engine.test_engine import StumblingObjects, failed_from

KEY = f"spill/day=2025-11-21/{SHARD}-003100-000000.ndjson.gz"


class Switch:
    """`Breaker` that opens once `failures` requests have failed whole."""

    patience = 15.0

    def __init__(self, failures: int = 1, *, is_open: bool = False) -> None:
        self.left = failures
        self.is_open = is_open

    def allows(self) -> bool:
        return not self.is_open

    def note(self, answers: Sequence[Answer], /) -> bool:
        self.left -= sum(answer.documents > 0 and answer.failed == answer.documents for answer in answers)
        self.is_open = self.is_open or self.left <= 0
        return self.is_open


def bench(sink: MemoryRecordSink, breaker: Switch, **more: Any) -> Bench:
    standby = Standby(breaker, Spill("search", bucket="data", prefix="spill", pipeline="flights"))
    return Bench(record_sinks=[sink], standbys={"search": standby}, **more)


def down() -> MemoryRecordSink:
    sink = MemoryRecordSink()
    sink.down = "connection refused"
    return sink


def test_while_the_breaker_is_open_the_sink_is_not_asked_and_the_others_go_on() -> None:
    sink = down()
    held = bench(sink, Switch(is_open=True))
    report = held.run([{"p": "a"}, {"p": "b"}])
    assert (counted(report), report.error) == ({"records_in": 2, "passed": 2}, None)
    assert report.sinks == {"archive": SinkCount(events=2, delivered=2), "search": SinkCount(events=2, spilled=2)}
    assert (held.ids, [row["document_id"] for row in held.spilled]) == (
        ["100:0", "110:0"],
        [f"{SHARD}:100:0", f"{SHARD}:110:0"],
    )
    assert (held.item.completed, held.item.counters["search.spilled"]) == ("003110", 2)


def test_what_opens_the_breaker_is_spilled_in_the_same_attempt() -> None:
    held = bench(down(), Switch(failures=1))
    report = held.run([{"p": "a"}])
    assert (report.error, report.sinks["search"]) == (None, SinkCount(events=1, spilled=1))


def test_until_the_breaker_opens_the_batch_is_left() -> None:
    held = bench(down(), Switch(failures=2))
    engine, batch = held.engine(), kinesis_records([{"p": "a"}])
    assert failed_from(process(engine, batch).response()) == ["100"]
    assert (process(engine, batch).response(), len(held.spilled)) == ({"batchItemFailures": []}, 1)


def test_what_the_sink_took_is_not_spilled() -> None:
    late = f"{SHARD}:110:0"
    sink = MemoryRecordSink(answer=lambda name, _: "429" if name == late else None)
    held = bench(sink, Switch(is_open=False, failures=0))
    report = held.run([{"p": "a"}, {"p": "b"}])
    assert report.sinks["search"] == SinkCount(events=2, delivered=1, spilled=1)
    assert ([row["document_id"] for row in held.spilled], list(sink.documents)) == ([late], [f"{SHARD}:100:0"])


def test_a_row_has_the_document_as_it_was_and_what_a_replay_of_its_record_needs() -> None:
    held = bench(down(), Switch(is_open=True))
    held.run([[{"p": "a"}, {"p": "b", "n": 7}]])
    rows = list(read_rows("there", KEY, held.objects.objects["data", KEY].body))
    assert [row.body for row in rows] == [
        b'{"p":"a","_event_id":"%s:100:0"}' % SHARD.encode(),
        b'{"p":"b","n":7,"_event_id":"%s:100:1"}' % SHARD.encode(),
    ]
    assert [(row.id, row.sub, row.alone, row.document_id, row.place, row.partition_key) for row in rows] == [
        (f"{SHARD}:100:0", 0, True, f"{SHARD}:100:0", "", "key-0"),
        (f"{SHARD}:100:1", 1, True, f"{SHARD}:100:1", "", "key-0"),
    ]


def test_a_document_is_kept_byte_for_byte() -> None:
    batch, body = kinesis_records([{"p": "a"}]), b'{"n": 1180591620717411303424, "n": 2}'
    spill = Spill("search", bucket="data", prefix="spill", pipeline="flights")
    spilled = Spilled(Rejection(0, 0, "deliver", "sinks.search", REASON, "down"), "id", "flights-2013.01", body)
    (row,) = read_rows("there", KEY, spill.encode([spilled], batch, "v1", 1))
    assert (row.body, row.document_id, row.place) == (body, "id", "flights-2013.01")


def test_a_row_that_is_refused_in_the_end_becomes_an_envelope_like_any_other() -> None:
    conflict = Rejected("mapping conflict", "field n is text")
    refusing = Bench(record_sinks=[MemoryRecordSink(answer=lambda *_: conflict)])
    refusing.run([{"p": "a"}])
    held = bench(down(), Switch(is_open=True))
    held.run([{"p": "a"}])
    (row,) = read_rows("there", KEY, held.objects.objects["data", KEY].body)
    assert orjson.loads(row.refused(conflict)) == refusing.quarantined[0]
    cause = Rejection(0, 0, "deliver", "sinks.search", "mapping conflict", "")
    assert refusing.quarantined[0]["fingerprint"] == fingerprint(cause)


def test_a_retry_that_delivers_empties_what_was_spilled_before_it() -> None:
    sink, switch = down(), Switch(is_open=True)
    held = bench(sink, switch)
    held.objects = StumblingObjects(1, "unanswered")
    engine, batch = held.engine(), kinesis_records([{"p": "a"}])
    assert process(engine, batch).error is not None
    sink.down, switch.is_open = None, False
    assert process(engine, batch).error is None
    assert (held.spilled, list(sink.documents), held.item.open) == ([], [f"{SHARD}:100:0"], {})


def test_a_spill_that_can_not_be_written_leaves_the_batch() -> None:
    held = bench(down(), Switch(is_open=True))
    held.objects = StumblingObjects(1, "refused")
    report = held.run([{"p": "a"}])
    assert (failed_from(report.response()), held.item.completed) == (["100"], "")


def test_every_claim_reserves_the_key_of_the_spill() -> None:
    blocked = MemoryRecordSink(answer=lambda name, _: "429" if name.endswith(":110:0") else None)
    blocked.name = "other"
    held = bench(MemoryRecordSink(), Switch())
    held.record_sinks = [*held.record_sinks, blocked]
    held.objects = StumblingObjects(1, "refused")
    held.run([{"p": "a"}])
    assert f"data/{KEY}" in held.item.open


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"rubbish", "there: can't be decompressed, perhaps half-written"),
        (None, "there line 1: Object missing required field"),
    ],
)
def test_an_object_that_the_engine_did_not_write_is_named(body: bytes | None, why: str) -> None:
    if body is None:
        held = Bench()
        held.run([{"p": "a"}])
        ((_, key),) = [at for at in held.objects.objects if at[1].startswith("archive")]
        body = held.objects.objects["data", key].body
    with pytest.raises(UnusableSpill) as caught:
        list(read_rows("there", KEY, body))
    assert caught.value.message.startswith(why)


def test_with_at_least_once_the_spill_is_written_as_well() -> None:
    held = bench(down(), Switch(is_open=True), ledgered=False)
    report = held.run([{"p": "a"}])
    assert (report.error, len(written(held.objects, "data", "spill"))) == (None, 1)
