from collections.abc import Mapping
from typing import Any

import pytest

from aetherstream.delivery.progress import Attempt, Progress
from aetherstream.errors import Rejected, Retryable
from aetherstream.records import Events, KinesisRecords, Rejection
from aetherstream.report import AccountingError, SinkCount
from aetherstream.testing.builders import JsonLists, kinesis_records
from aetherstream.testing.sinks import MemoryRecordSink
from aetherstream.testing.stores import MemoryObjects, MemoryProgress
from tests.engine.harness import Bench, Steps, archive, counted, process

SHARD = "shardId-000000000000"


def failed_from(answer: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


# What a batch comes to


def test_a_batch_is_archived_by_partition_under_the_first_position_of_its_own_events() -> None:
    bench = Bench()
    report = bench.run([{"p": "a", "n": 1}, [{"p": "b", "n": 2}, {"p": "a", "n": 3}]])
    assert bench.archived == {
        f"archive/p=a/{SHARD}-003100-000000.ndjson.gz": [
            {"p": "a", "n": 1, "_event_id": f"{SHARD}:100:0"},
            {"p": "a", "n": 3, "_event_id": f"{SHARD}:110:1"},
        ],
        f"archive/p=b/{SHARD}-003110-000000.ndjson.gz": [{"p": "b", "n": 2, "_event_id": f"{SHARD}:110:0"}],
    }
    assert counted(report) == {"records_in": 3, "passed": 3}
    assert report.response() == {"batchItemFailures": []}


def test_an_object_says_what_it_holds() -> None:
    bench = Bench(sinks=[archive(partition=[])])
    bench.run([{"n": 1}, {"n": 2, "do": "split"}])
    (stored,) = bench.objects.objects.values()
    assert {name: stored.metadata[name] for name in stored.metadata if name != "aether-digest"} == {
        "aether-count": "3",
        "aether-epoch": "1",
        "aether-version": "v1",
        "aether-first": f"{SHARD}:100:0",
        "aether-last": f"{SHARD}:110:0:1",
    }


def test_every_fate_of_a_record_is_counted_and_balances() -> None:
    bench = Bench()
    payloads = [{"p": "a"}, "{no json", [{"p": "a", "do": "drop"}, 7, {"p": "b", "do": "split"}], {"do": "reject"}]
    report = bench.run(payloads)
    assert counted(report) == {"records_in": 6, "passed": 2, "quarantined": 3, "dropped": 1}
    assert report.sinks == {"archive": SinkCount(events=3, delivered=3)}
    assert report.reasons == {"decode: not JSON": 1, "decode: not an object": 1, "transform: refused": 1}
    assert [(line["id"].removeprefix(SHARD), line["stage"]) for line in bench.quarantined] == [
        (":110", "decode"),
        (":120:1", "decode"),
        (":130:0", "transform"),
    ]


def test_the_running_totals_stand_in_the_completion() -> None:
    bench = Bench()
    bench.run([{"p": "a"}, {"do": "drop"}])
    report = bench.run([{"p": "a"}, {"do": "reject"}], first=200)
    objects = {name: bench.item.counters[name] for name in ("records", "passed", "quarantined", "dropped", "objects")}
    assert objects == {"records": 4, "passed": 2, "quarantined": 1, "dropped": 1, "objects": 3}
    assert report.objects == 2


def test_a_batch_without_records_writes_nothing() -> None:
    bench = Bench()
    report = bench.run([])
    assert (report.response(), bench.progress.writes) == ({"batchItemFailures": []}, 0)


def test_a_batch_of_which_everything_is_dropped_completes_in_one_warm_write() -> None:
    bench = Bench()
    engine = bench.engine()
    process(engine, kinesis_records([{"p": "a"}]))
    before = bench.progress.writes
    report = process(engine, kinesis_records([{"do": "drop"}], first=200))
    assert (bench.progress.writes - before, counted(report)) == (1, {"records_in": 1, "dropped": 1})
    assert bench.item.completed == "003200"


def test_the_steady_state_costs_two_writes_a_batch() -> None:
    bench = Bench()
    engine = bench.engine()
    process(engine, kinesis_records([{"p": "a"}, {"do": "reject"}]))
    before = bench.progress.writes
    process(engine, kinesis_records([{"p": "a"}, {"do": "reject"}], first=200))
    assert bench.progress.writes - before == 2


# Coming again


def test_a_settled_batch_is_counted_and_not_delivered_again() -> None:
    bench = Bench()
    engine = bench.engine()
    batch = kinesis_records([{"p": "a"}, {"p": "b"}])
    process(engine, batch)
    stored, before = dict(bench.objects.objects), bench.progress.writes
    report = process(engine, batch)
    assert counted(report) == {"records_in": 2, "settled": 2}
    assert (bench.objects.objects, bench.progress.writes - before) == (stored, 1)
    assert bench.item.counters["settled"] == 2


def test_only_what_is_not_settled_is_delivered() -> None:
    bench = Bench()
    bench.run([{"p": "a"}])
    report = bench.run([{"p": "a"}, {"p": "a"}])
    assert counted(report) == {"records_in": 2, "passed": 1, "settled": 1}
    assert list(bench.archived) == [
        f"archive/p=a/{SHARD}-003100-000000.ndjson.gz",
        f"archive/p=a/{SHARD}-003110-000000.ndjson.gz",
    ]
    assert bench.ids == ["100:0", "110:0"]


def test_sequence_numbers_compare_as_numbers_when_they_grow_by_a_digit() -> None:
    bench = Bench()
    bench.run([{"p": "a"}], first=999)
    report = bench.run([{"p": "a"}, {"p": "a"}], sequences=[999, 1000])
    assert counted(report) == {"records_in": 2, "passed": 1, "settled": 1}


def test_a_stream_made_anew_under_the_same_name_is_refused() -> None:
    bench = Bench()
    bench.run([{"p": "a"}], first=900)
    report = bench.run([{"p": "a"}], first=100, arrival=1_763_712_000.0 + 601)
    assert failed_from(report.response()) == ["100"]
    assert report.error is not None
    assert "the stream was made anew under the same name. `aetherstream progress reset` says" in report.error


def test_a_passed_checkpoint_read_again_is_no_new_stream() -> None:
    bench = Bench()
    bench.run([{"p": "a"}, {"p": "a"}])
    assert bench.run([{"p": "a"}]).response() == {"batchItemFailures": []}


def test_a_settled_batch_does_not_depend_on_its_write() -> None:
    bench = Bench(progress=StumblingProgress(4, "refused"))
    engine = bench.engine()
    process(engine, kinesis_records([{"p": "a"}]))
    assert process(engine, kinesis_records([{"p": "a"}])).response() == {"batchItemFailures": []}


class StumblingObjects(MemoryObjects):
    """Fails at the request of a number, before or after it takes effect."""

    def __init__(self, at: int, how: str) -> None:
        super().__init__()
        self._at, self._how = at, how
        self.requests = 0

    def put(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], /, *, if_match: str | None) -> None:
        self.requests += 1
        if self.requests == self._at and self._how == "refused":
            raise Retryable("503 Slow Down")
        super().put(bucket, key, body, metadata, if_match=if_match)
        if self.requests == self._at:
            raise Retryable("time-out")


class StumblingProgress(MemoryProgress):
    def __init__(self, at: int, how: str) -> None:
        super().__init__()
        self._at, self._how = at, how

    def write(self, item: Progress, /) -> Progress | None:
        if self.writes + 1 == self._at and self._how == "refused":
            self.writes += 1
            raise Retryable("throttled")
        answer = super().write(item)
        if self.writes == self._at:
            raise Retryable("time-out")
        return answer


PAYLOADS = [{"p": "a"}, [{"p": "b"}, 7], {"p": "a", "do": "split"}, {"p": "c"}, {"do": "reject"}, {"do": "drop"}]


@pytest.mark.parametrize("same_process", [True, False])
@pytest.mark.parametrize("how", ["refused", "answer lost"])
@pytest.mark.parametrize(
    ("store", "at"), [*(("objects", at) for at in range(1, 5)), *(("progress", at) for at in range(1, 4))]
)
def test_after_any_single_failure_the_retry_leaves_everything_exactly_once(
    store: str, at: int, how: str, same_process: bool
) -> None:
    bench = Bench()
    if store == "objects":
        bench.objects = StumblingObjects(at, how)
    else:
        bench.progress = StumblingProgress(at, how)
    engine, batch = bench.engine(), kinesis_records(PAYLOADS)
    first = process(engine, batch)
    last = process(engine if same_process else bench.engine(), batch)
    assert [failed_from(first.response()), failed_from(last.response())] == [["100"], []]
    assert bench.ids == ["100:0", "110:0", "120:0", "120:0:1", "130:0"]
    assert [line["id"] for line in bench.quarantined] == [f"{SHARD}:110:1", f"{SHARD}:140:0"]
    assert bench.item.counters["records"] == 7
    assert bench.item.open == {}


def test_what_a_longer_attempt_left_is_emptied() -> None:
    bench = Bench()
    bench.objects = StumblingObjects(3, "refused")
    process(bench.engine(), kinesis_records([{"p": "a"}, {"p": "b"}, {"p": "c"}]))
    assert bench.ids == ["100:0", "110:0"]
    report = process(bench.engine(), kinesis_records([{"p": "a"}]))
    assert (bench.ids, report.emptied) == (["100:0"], 3)  # b, c and the quarantine's key


def test_keys_that_another_version_noted_are_emptied_before_anything_is_put() -> None:
    bench = Bench()
    bench.objects = StumblingObjects(2, "refused")
    batch = kinesis_records([{"p": "a"}, {"p": "b"}])
    process(bench.engine("v1"), batch)
    report = process(bench.engine("v2"), batch)
    assert (bench.ids, report.emptied) == (["100:0", "110:0"], 3)


# Per-record sinks


def throttle(*ids: str) -> MemoryRecordSink:
    names = {f"{SHARD}:{name}" for name in ids}
    return MemoryRecordSink(answer=lambda document_id, _: "429" if document_id in names else None)


def test_every_event_goes_to_a_per_record_sink_under_its_id() -> None:
    sink = MemoryRecordSink()
    bench = Bench(record_sinks=[sink])
    bench.run([{"p": "a", "do": "split"}])
    assert sink.documents == {
        f"{SHARD}:100:0": {"p": "a", "do": "split", "half": 0, "_event_id": f"{SHARD}:100:0"},
        f"{SHARD}:100:0:1": {"p": "a", "do": "split", "half": 1, "_event_id": f"{SHARD}:100:0:1"},
    }


def test_an_undelivered_event_ends_the_prefix_before_its_kinesis_record() -> None:
    bench = Bench(record_sinks=[throttle("120:1")])
    report = bench.run([{"p": "a"}, {"p": "b"}, [{"p": "a"}, {"p": "a"}], {"p": "c"}])
    assert counted(report) == {"records_in": 4, "passed": 2, "left": 2}
    assert (bench.ids, bench.item.completed) == (["100:0", "110:0"], "003110")
    assert failed_from(report.response()) == ["120"]
    assert report.error == "sink search: 429"


def test_keys_behind_the_prefix_stay_noted() -> None:
    bench = Bench(record_sinks=[throttle("120:0")])
    bench.run([{"p": "a"}, {"p": "b"}, {"p": "c"}])
    assert list(bench.item.open) == [f"data/archive/p=c/{SHARD}-003120-000000.ndjson.gz"]


def test_a_partition_that_goes_on_behind_the_prefix_gets_a_key_of_its_own_later() -> None:
    sink = throttle("110:0")
    bench = Bench(record_sinks=[sink])
    engine, payloads = bench.engine(), [{"p": "a"}, {"p": "a"}]
    process(engine, kinesis_records(payloads))
    sink.answer = lambda *_: None
    process(engine, kinesis_records(payloads[1:], first=110))
    assert [key[-24:-10] for key in bench.archived] == ["-003100-000000", "-003110-000000"]
    assert bench.ids == ["100:0", "110:0"]


def test_a_sink_that_takes_nothing_leaves_the_batch() -> None:
    sink = MemoryRecordSink()
    sink.down = "connection refused"
    bench = Bench(record_sinks=[sink])
    report = bench.run([{"p": "a"}, {"p": "a"}])
    assert (failed_from(report.response()), bench.ids, counted(report)) == (["100"], [], {"records_in": 2, "left": 2})
    assert report.error == "Retryable: nothing could be delivered: sink search: connection refused"
    assert bench.item.attempt == Attempt("003100", 2, "p1", ended=True)


def test_an_event_that_a_sink_refuses_goes_to_the_quarantine_and_the_other_sinks_keep_it() -> None:
    conflict = Rejected("mapping conflict", "field n is text")
    sink = MemoryRecordSink(answer=lambda _, document: conflict if document.get("n") == "x" else None)
    bench = Bench(record_sinks=[sink])
    report = bench.run([{"p": "a", "n": 1}, {"p": "a", "n": "x"}])
    assert report.sinks == {
        "archive": SinkCount(events=2, delivered=2),
        "search": SinkCount(events=2, delivered=1, quarantined=1),
    }
    (line,) = bench.quarantined
    assert {name: line[name] for name in ("id", "stage", "where", "reason", "message", "event")} == {
        "id": f"{SHARD}:110:0",
        "stage": "deliver",
        "where": "sinks.search",
        "reason": "mapping conflict",
        "message": "field n is text",
        "event": {"p": "a", "n": "x", "_event_id": f"{SHARD}:110:0"},
    }


def test_of_documents_of_one_identity_the_first_is_stored_as_from_batch_to_batch() -> None:
    sink = MemoryRecordSink()
    bench = Bench(record_sinks=[sink], core={"identity": ["order"]})
    report = bench.run([{"order": "o-1", "state": "new"}, {"order": "o-1", "state": "paid"}])
    assert {name: document["state"] for name, document in sink.documents.items()} == {"o-1": "new"}
    assert report.sinks["search"] == SinkCount(events=2, delivered=2)


# Time and size


def test_the_batch_ends_before_the_time_does() -> None:
    bench = Bench(core={"chunk": 2})
    left = iter([600.0, 600.0, 29.0])
    report = process(bench.engine(), kinesis_records([{"p": "a"}] * 5), lambda: next(left, 29.0))
    assert (counted(report), failed_from(report.response())) == ({"records_in": 5, "passed": 4, "left": 1}, ["140"])


def test_a_batch_that_begins_without_time_says_what_to_do() -> None:
    report = process(Bench().engine(), kinesis_records([{"p": "a"}]), lambda: 5.0)
    assert failed_from(report.response()) == ["100"]
    assert report.error == ("Retryable: less than 30 s were left when the batch began: raise the function's time-out")


def test_a_batch_with_too_many_partitions_ends_before_the_record_that_opens_one_too_many() -> None:
    bench = Bench(sinks=[archive(max_partitions=2)])
    report = bench.run([{"p": "a"}, {"p": "b"}, {"p": "a"}, {"p": "c"}, {"p": "a"}])
    assert (counted(report), failed_from(report.response())) == ({"records_in": 5, "passed": 3, "left": 2}, ["130"])
    assert report.capped


# Records that kill the process


class Crash(BaseException):
    """The process is gone."""


class Poisoned(JsonLists):
    def __init__(self, end: type[BaseException]) -> None:
        self._end = end

    def decode(self, records: KinesisRecords, start: int, end: int, rejections: list[Rejection], /) -> Events:
        events = super().decode(records, start, end, rejections)
        if any(value.get("do") == "kill" for value in events.values):
            raise self._end
        return events


# Only a process that runs out of memory can go on.
@pytest.mark.parametrize(("end", "warm"), [(Crash, False), (MemoryError, False), (MemoryError, True)])
def test_a_record_that_kills_the_process_is_quarantined_alone(end: type[BaseException], warm: bool) -> None:
    bench = Bench(decoder=Poisoned(end))
    payloads = [{"p": "a"} for _ in range(7)]
    payloads[4] = {"p": "a", "do": "kill"}
    kills, waiting, engine = 0, kinesis_records(payloads), bench.engine()
    while len(waiting):
        try:
            report = process(engine if warm else bench.engine(), waiting)
        except end:
            kills += 1
            continue
        (at,) = failed_from(report.response()) or [""]
        waiting = waiting.part(waiting.sequences.index(at), len(waiting)) if at else waiting.part(0, 0)
    assert bench.ids == ["100:0", "110:0", "120:0", "130:0", "150:0", "160:0"]
    assert [(line["id"], line["stage"], line["reason"]) for line in bench.quarantined] == [
        (f"{SHARD}:140", "crashed", "killed the process")
    ]
    assert bench.item.counters["records"] == 7
    assert kills < 20


# Without a ledger


def test_at_least_once_delivers_without_a_progress_item() -> None:
    bench = Bench(ledgered=False)
    assert counted(bench.run([{"p": "a"}, {"do": "reject"}])) == {"records_in": 2, "passed": 1, "quarantined": 1}
    assert (bench.ids, len(bench.quarantined), bench.progress.items) == (["100:0"], 1, {})


def test_at_least_once_repeats_a_batch_under_the_same_keys() -> None:
    bench = Bench(ledgered=False)
    bench.run([{"p": "a"}, {"p": "b"}])
    bench.run([{"p": "a"}, {"p": "b"}])
    assert bench.ids == ["100:0", "110:0"]


def test_at_least_once_a_late_attempt_that_brings_less_replaces_nothing() -> None:
    bench = Bench(ledgered=False)
    bench.run([{"p": "a"}, {"p": "a"}, {"do": "reject"}, {"do": "reject"}])
    bench.run([{"p": "a"}])
    bench.run([{"p": "a"}, {"p": "a"}, {"do": "reject"}])
    assert set(bench.ids) == {"100:0", "110:0"}
    assert {line["id"] for line in bench.quarantined} == {f"{SHARD}:120:0", f"{SHARD}:130:0"}


# Bugs


class Forgetful(Steps):
    def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
        events.remove({(0, 0)})
        return 0


def test_a_step_that_loses_a_record_is_found_before_anything_is_written() -> None:
    bench = Bench(transform=Forgetful())
    with pytest.raises(AccountingError, match=r"2 records were prepared, but 1 passed on"):
        bench.run([{"p": "a"}, {"p": "b"}])
    assert (bench.objects.objects, bench.item.attempt.ended) == ({}, True)


def test_a_batch_that_turns_out_to_be_settled_is_counted_as_that_alone() -> None:
    bench = Bench()
    warm = bench.engine()
    process(warm, kinesis_records([{"p": "a"}]))
    bench.run([{"do": "drop"}], first=200)
    assert counted(process(warm, kinesis_records([{"do": "drop"}], first=200))) == {"records_in": 1, "settled": 1}
