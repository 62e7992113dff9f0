"""What a batch adds to the aggregates: committed with it, folded after it, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.declaration import Declaration, OnLate
from aetherstream.aggregates.windows import Hopping, Session, Tumbling, Windows
from aetherstream.delivery.aggregates.places import WindowPlace, scope_of
from aetherstream.delivery.aggregates.state import Mark
from aetherstream.delivery.progress import Progress
from aetherstream.errors import Retryable
from aetherstream.eventtime import EventTime
from aetherstream.records import Events, Rejection
from aetherstream.report import AggregateCount, Report
from aetherstream.testing.builders import SHARD, kinesis_records
from aetherstream.testing.sinks import MemoryRecordSink
from aetherstream.testing.stores import MemoryProgress
from tests.engine.harness import KEY, NOW, Bench, archive, counted, process

OUTPUTS = (Output("events", make("count")), Output("sum", make("sum"), "v"))
TIMED = {"event_time": EventTime("t", "epoch_s")}
MIDNIGHT = "1970-01-01T00:00:00Z"
MINUTES = Tumbling(60)


def declared(
    windows: Windows = MINUTES, on_late: OnLate = "drop", outputs: Sequence[Output] = OUTPUTS, **more: Any
) -> Declaration:
    made = Aggregate("sums", (("p", "p"),), windows, tuple(outputs), correct=on_late == "correct", **more)
    return Declaration(made, on_late=on_late)


def event(p: str, t: float, v: object = 1, **more: object) -> dict[str, object]:
    return {"p": p, "t": t, "v": v, **more}


def bench_of(*declarations: Declaration, **more: Any) -> Bench:
    return Bench(declarations=declarations or [declared()], core=TIMED, **more)


COMPLETION = 3
"""The third write of a cold process: it notes its start, claims, completes."""


class FailingProgress:
    """`ProgressStore` of which one write has no answer."""

    def __init__(self, store: MemoryProgress, *, at: int, stores: bool) -> None:
        self.items, self._store, self._left, self._stores = store.items, store, at, stores

    def write(self, item: Progress, /) -> Progress | None:
        self._left -= 1
        if self._left:
            return self._store.write(item)
        if self._stores:
            self._store.write(item)
        raise Retryable("no answer")


def summed(events: int, total: float) -> dict[str, float]:
    return {"events": events, "sum": total}


def test_the_events_of_a_batch_are_folded_when_it_is_done() -> None:
    bench = bench_of()
    report = bench.run([event("a", 1, 2), event("b", 2, 5), event("a", 61, 7), event("a", 3, 4)])
    assert bench.results() == {
        ("sums", MIDNIGHT, '["a"]'): summed(2, 6),
        ("sums", MIDNIGHT, '["b"]'): summed(1, 5),
        ("sums", "1970-01-01T00:01:00Z", '["a"]'): summed(1, 7),
    }
    assert report.aggregates == {"sums": AggregateCount(events=4, folded=4)}
    assert (bench.item.event_time, bench.item.counters["aggregates.sums.folded"]) == (61, 4)


def test_batches_of_several_processes_add_up() -> None:
    bench = bench_of()
    for number in range(3):
        bench.run([event("a", 1), event("b", 2)], first=100 * (number + 1))
    assert bench.results() == {
        ("sums", MIDNIGHT, '["a"]'): summed(3, 3),
        ("sums", MIDNIGHT, '["b"]'): summed(3, 3),
    }


@pytest.mark.parametrize("most_inline", [4096, 0], ids=["inline", "object"])
def test_what_could_not_be_folded_after_completion_is_folded_by_the_retry(most_inline: int) -> None:
    bench = bench_of(most_inline=most_inline)
    batch = kinesis_records([event("a", 1), event("b", 2)])
    bench.states.throttled_after = 1
    failed = process(bench.engine(), batch)
    bench.states.throttled_after = None
    retried = process(bench.engine(), batch)
    assert (failed.failed_from, failed.error) == ("100", "Retryable: the state table is throttled")
    assert (counted(retried), retried.failed_from) == ({"records_in": 2, "settled": 2}, None)
    assert bench.results() == {
        ("sums", MIDNIGHT, '["a"]'): summed(1, 1),
        ("sums", MIDNIGHT, '["b"]'): summed(1, 1),
    }


def test_what_could_not_be_folded_is_folded_before_what_follows_without_events_is_done() -> None:
    bench = bench_of()
    batch = kinesis_records([event("a", 1), event("b", 2), event("b", 3, do="drop")])
    bench.states.throttled_after = 1
    process(bench.engine(), replace(batch, sequences=batch.sequences[:2], data=batch.data[:2]))
    bench.states.throttled_after = None
    retried = process(bench.engine(), batch)
    assert (counted(retried), retried.failed_from) == ({"records_in": 3, "settled": 2, "dropped": 1}, None)
    assert bench.results() == {
        ("sums", MIDNIGHT, '["a"]'): summed(1, 1),
        ("sums", MIDNIGHT, '["b"]'): summed(1, 1),
    }


def test_a_settled_batch_is_left_as_long_as_its_fold_fails() -> None:
    bench = bench_of()
    batch = kinesis_records([event("a", 1)])
    bench.states.down = True
    process(bench.engine(), batch)
    assert process(bench.engine(), batch).failed_from == "100"


def test_the_next_batch_folds_what_an_attempt_left_that_was_killed_after_completing() -> None:
    bench = bench_of()
    bench.states.down = True
    process(bench.engine(), kinesis_records([event("a", 1)]))
    bench.states.down = False
    bench.run([event("a", 2)], first=200)
    assert bench.results() == {("sums", MIDNIGHT, '["a"]'): summed(2, 2)}


def test_nothing_is_folded_of_a_batch_that_is_not_completed() -> None:
    bench = bench_of(most_inline=0)
    bench.progress = FailingProgress(bench.progress, at=COMPLETION, stores=False)
    failed = bench.run([event("a", 1)])
    logs = [key for _, key in bench.objects.objects if key.startswith("logs/")]
    assert (failed.failed_from, len(logs), bench.states.items) == ("100", 1, {})


def test_an_abandoned_attempt_folds_nothing() -> None:
    bench = bench_of()
    batch = kinesis_records([event("a", 1)])
    runs: list[Report] = []

    def overtaken(*_: object) -> None:
        if not runs:
            runs.append(Report())
            runs.append(process(bench.engine(), batch))

    bench.record_sinks = [MemoryRecordSink("search", answer=overtaken)]
    bench.core = {**TIMED, "places": [EveryEvent()]}
    slow = process(bench.engine(), batch)
    assert (str(slow.error).partition(":")[0], runs[1].failed_from) == ("Superseded", None)
    assert bench.results() == {("sums", MIDNIGHT, '["a"]'): summed(1, 1)}


def test_a_commit_that_comes_between_claim_and_completion_is_folded_first() -> None:
    bench = bench_of()
    bench.run([event("a", 1)], first=100)
    other = bench.aggregation()
    assert other is not None

    def redrive(*_: object) -> None:
        item = bench.item
        gathered = other.gather(
            kinesis_records([event("a", 2)], first=50),
            bench.engine()._core.prepare(kinesis_records([event("a", 2)], first=50), 0, 1),
            1,
            None,
        )
        commit = other.log("stream/events", SHARD, 77, item, gathered)
        assert commit is not None
        done = commit.upon(item)
        bench.progress.items[KEY] = replace(done, revision=item.revision + 1)

    sink = MemoryRecordSink("search", answer=lambda *_: redrive())
    again = Bench(
        record_sinks=[sink],
        declarations=bench.declarations,
        core={**TIMED, "places": [EveryEvent()]},
        objects=bench.objects,
        progress=bench.progress,
        states=bench.states,
        windows=bench.windows,
    )
    again.run([event("a", 3)], first=200)
    assert again.results() == {("sums", MIDNIGHT, '["a"]'): summed(3, 3)}


class EveryEvent:
    """`Placement` of a per-record sink that gets every event."""

    name = "search"

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Any]]:
        return {"index": list(indices)}, {}


def test_only_the_prefix_that_is_delivered_is_folded() -> None:
    sink = MemoryRecordSink("search", answer=lambda _, document: "down" if document["v"] == 9 else None)
    bench = bench_of(record_sinks=[sink])
    bench.core = {**TIMED, "places": [EveryEvent()]}
    report = bench.run([event("a", 1, 1), event("a", 2, 9), event("a", 3, 3)])
    assert (report.failed_from, bench.results()) == ("110", {("sums", MIDNIGHT, '["a"]'): summed(1, 1)})
    assert report.aggregates == {"sums": AggregateCount(events=1, folded=1)}


def late_bench(on_late: OnLate, windows: Windows = MINUTES) -> Bench:
    bench = bench_of(declared(windows, on_late))
    bench.run([event("a", 200)], first=100)
    return bench


def test_a_late_event_is_counted_and_archived_and_not_folded() -> None:
    bench = late_bench("drop")
    report = bench.run([event("a", 1), event("a", 190)], first=200)
    assert report.aggregates == {"sums": AggregateCount(events=2, folded=1, late=1)}
    assert bench.results() == {("sums", "1970-01-01T00:03:00Z", '["a"]'): summed(2, 2)}
    assert (len(bench.ids), bench.quarantined) == (3, [])


def test_a_late_event_is_kept_in_the_quarantine_on_request() -> None:
    bench = late_bench("quarantine")
    report = bench.run([event("a", 1)], first=200)
    [kept] = bench.quarantined
    assert (kept["stage"], kept["where"], kept["reason"], kept["event"]["t"]) == (
        "aggregate",
        "aggregates.sums",
        "late",
        1,
    )
    assert report.aggregates == {"sums": AggregateCount(events=1, quarantined=1)}
    assert counted(report) == {"records_in": 1, "passed": 1}


def test_a_late_event_corrects_its_window_on_request() -> None:
    bench = late_bench("correct")
    report = bench.run([event("a", 1)], first=200)
    assert report.aggregates == {"sums": AggregateCount(events=1, folded=1, corrected=1)}
    assert bench.results()["sums", MIDNIGHT, '["a"]'] == summed(1, 1)


def test_an_event_that_is_late_for_some_of_its_windows_counts_in_the_others() -> None:
    bench = late_bench("quarantine", Hopping(120, 60))
    report = bench.run([event("a", 130)], first=200)
    assert report.aggregates == {"sums": AggregateCount(events=1, folded=1, corrected=1)}
    assert bench.results() == {
        ("sums", "1970-01-01T00:02:00Z", '["a"]'): summed(2, 2),
        ("sums", "1970-01-01T00:03:00Z", '["a"]'): summed(1, 1),
    }


def test_lateness_is_allowed_for() -> None:
    bench = bench_of(declared(lateness=1000))
    bench.run([event("a", 200)], first=100)
    bench.run([event("a", 1)], first=200)
    assert bench.results()["sums", MIDNIGHT, '["a"]'] == summed(1, 1)


def test_an_event_that_is_refused_counts_nowhere_and_reaches_the_sinks() -> None:
    strict = declared(outputs=(Output("sum", make("sum"), "v", unusable="reject"),))
    lax = Declaration(Aggregate("all", (), Tumbling(60), (Output("events", make("count")),)))
    bench = bench_of(strict, lax)
    report = bench.run([event("a", 1, 2), event("a", 2, "two")])
    [kept] = bench.quarantined
    assert (kept["stage"], kept["where"], kept["id"]) == ("aggregate", "aggregates.sums.sum", f"{SHARD}:110:0")
    assert bench.results() == {("sums", MIDNIGHT, '["a"]'): {"sum": 2}, ("all", MIDNIGHT, "[]"): {"events": 1}}
    assert report.aggregates == {name: AggregateCount(events=2, folded=1, quarantined=1) for name in ("sums", "all")}
    assert (counted(report), len(bench.ids)) == ({"records_in": 2, "passed": 2}, 2)


def test_a_value_that_is_skipped_is_counted() -> None:
    report = bench_of().run([event("a", 1, "two"), event("a", 1, 2)])
    assert report.aggregates == {"sums": AggregateCount(events=2, folded=2, skipped=1)}


def test_groups_beyond_the_most_are_refused_across_batches() -> None:
    bench = bench_of(declared(max_groups=2))
    engine = bench.engine()
    process(engine, kinesis_records([event("a", 1), event("b", 1)]))
    report = process(engine, kinesis_records([event("a", 1), event("c", 1)], first=200))
    assert report.aggregates == {"sums": AggregateCount(events=2, folded=1, quarantined=1)}
    assert report.reasons == {"aggregate: too many groups": 1}


def test_an_event_of_the_future_does_not_move_the_clock() -> None:
    bench = bench_of(declared(future=60))
    batch = kinesis_records([event("a", 1), event("a", 5000)], arrival=0.0)
    report = process(bench.engine(), batch)
    assert (bench.item.event_time, report.reasons) == (1, {"aggregate: event time in the future": 1})


def test_an_event_that_no_archive_gets_is_not_counted() -> None:
    class Routed:
        def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
            events.routes = [
                frozenset({"search"}) if value["v"] == 9 else frozenset({"archive"}) for value in events.values
            ]
            return 0

    bench = bench_of(record_sinks=[MemoryRecordSink("search")], transform=Routed())
    bench.core = {**TIMED, "places": [EveryEvent()]}
    report = bench.run([event("a", 1, 9), event("a", 1, 2)])
    assert bench.results() == {("sums", MIDNIGHT, '["a"]'): summed(1, 2)}
    assert report.aggregates == {"sums": AggregateCount(events=1, folded=1)}


@pytest.mark.parametrize("on_late", ["drop", "quarantine", "correct"])
def test_an_event_whose_window_was_removed_is_not_folded_into_a_new_one(on_late: OnLate) -> None:
    bench = bench_of(declared(on_late=on_late))
    aggregate = bench.declarations[0].aggregate
    scope = scope_of("flights#events", aggregate)
    (window,) = Tumbling(60).assign(1)
    bench.windows.closed[WindowPlace(scope, window)] = Mark(expires=int(NOW) - 1)
    report = bench.run([event("a", 1), event("a", 61)])
    share = report.aggregates["sums"]
    assert (share.events, share.folded, share.late, share.quarantined) == (
        (2, 1, 1, 0) if on_late == "drop" else (2, 1, 0, 1)
    )
    assert list(bench.results()) == [("sums", "1970-01-01T00:01:00Z", '["a"]')]


def test_a_group_with_more_sessions_than_an_item_takes_is_refused_with_its_size() -> None:
    wide = (Output("top", make("top_k", k=1000), "v"),)
    bench = bench_of(declared(Session(1), outputs=wide), sinks=[archive(partition=[])])
    times = range(0, 2000, 2)
    report = bench.run([event("a", t, f"{t:0250d}") for t in times] + [event("b", 1, "x")])
    assert report.reasons == {"aggregate: too large": len(times)}
    assert [group for _, _, group in bench.results()] == ['["b"]']


def test_the_state_table_being_down_leaves_the_batch() -> None:
    bench = bench_of()
    bench.windows.down = True
    report = bench.run([event("a", 1)])
    assert (report.failed_from, report.error) == ("100", "Retryable: the state table is down")


def test_a_batch_without_events_commits_nothing() -> None:
    bench = bench_of()
    bench.run([event("a", 1)], first=100)
    before = bench.item.commit
    bench.run([event("a", 2, do="drop")], first=200)
    assert (bench.item.commit, bench.item.completed) == (before, "003200")


def test_a_lost_answer_of_the_completion_does_not_fold_twice() -> None:
    bench = bench_of()
    bench.progress = FailingProgress(bench.progress, at=COMPLETION, stores=True)
    batch = kinesis_records([event("a", 1)])
    assert process(bench.engine(), batch).failed_from == "100"
    assert process(bench.engine(), batch).failed_from is None
    assert bench.results() == {("sums", MIDNIGHT, '["a"]'): summed(1, 1)}
