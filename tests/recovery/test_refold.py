"""What redrives add to the aggregates: what nobody has folded, once, whatever breaks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.declaration import Declaration
from aetherstream.aggregates.windows import Tumbling
from aetherstream.delivery.aggregates.places import WindowPlace, scope_of
from aetherstream.delivery.aggregates.state import Mark
from aetherstream.delivery.put import PreconditionFailed
from aetherstream.errors import Retryable
from aetherstream.eventtime import EventTime
from aetherstream.records import Events, KinesisRecords, Rejection
from aetherstream.recovery.redrive_report import RedriveReport
from aetherstream.recovery.replay import into_sinks
from aetherstream.report import AggregateCount
from aetherstream.sinks.s3 import by_field
from aetherstream.testing.builders import SHARD, kinesis_records, written
from aetherstream.testing.sinks import MemoryRecordSink, store_all
from tests.engine.harness import NOW, Steps, archive, process
from tests.recovery.redriving import Effects, Killed, LandsLate, Recovery, kill, once

COUNT = (Output("events", make("count")),)
SUMS = Declaration(
    Aggregate(
        "sums",
        (("p", "p"),),
        Tumbling(60),
        (*COUNT, Output("sum", make("sum"), "v", unusable="reject")),
        lateness=1000,
    )
)
ALL = Declaration(Aggregate("all", (), Tumbling(3600), COUNT), on_late="quarantine")
LATE = Declaration(Aggregate("late", (), Tumbling(60), COUNT), on_late="quarantine")
MIDNIGHT = "1970-01-01T00:00:00Z"
EFFECTS = 40
"""More requests than any redrive below makes."""


def event(p: int, t: float, v: object = 1, **more: object) -> dict[str, object]:
    return {"p": p, "t": t, "v": v, **more}


LETTER = [event(1, 1, 10), event(1, 2, 20), event(2, 61, 30), event(2, 3, "x", do="reject"), event(3, 3, 40)]
FOLDED = {
    ("sums", MIDNIGHT, "[1]"): {"events": 2, "sum": 30},
    ("sums", "1970-01-01T00:01:00Z", "[2]"): {"events": 1, "sum": 30},
    ("sums", MIDNIGHT, "[3]"): {"events": 1, "sum": 40},
}


def letter() -> KinesisRecords:
    return kinesis_records(LETTER)


class Mending(Steps):
    """A version that makes numbers of texts."""

    def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
        for value in events.values:
            if value["v"] == "x":
                value["v"] = 5
        return super().apply(events, rejections, timings)


class Strict(Steps):
    """A version that refuses texts."""

    def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
        for value in events.values:
            if value["v"] == "x":
                value["do"] = "reject"
        return super().apply(events, rejections, timings)


def bench_of(*declarations: Declaration, **more: Any) -> Recovery:
    return Recovery(declarations=declarations or [SUMS], core={"event_time": EventTime("t", "epoch_s")}, **more)


def killed(act: Callable[[], object]) -> bool:
    try:
        act()
    except Killed:
        return True
    return False


def notes(bench: Recovery) -> list[tuple[str, list[str]]]:
    found = written(bench.objects, "data", "flights/refolded/events").values()
    return sorted((line["_event_id"].removeprefix(f"{SHARD}:"), line["aggregates"]) for held in found for line in held)


@pytest.fixture
def bench() -> Recovery:
    return bench_of()


# -- Dead letters ------------------------------------------------------------------------------------------------------


def test_what_a_redrive_delivers_is_folded_and_committed_with_it(bench: Recovery) -> None:
    report = bench.redriver().redrive(letter())
    assert bench.results() == FOLDED
    assert report.aggregates == {"sums": AggregateCount(events=4, folded=4)}
    item = bench.item
    assert (item.event_time, item.commit, item.pending is not None and item.pending.commit) == (
        61,
        int(NOW * 1000),
        int(NOW * 1000),
    )
    assert (item.redriven["aggregates.sums.events"], item.redriven["aggregates.sums.folded"]) == (4, 4)


def test_what_an_attempt_has_folded_is_not_folded_again(bench: Recovery) -> None:
    process(bench.engine(), letter())
    items = dict(bench.states.items)
    report = bench.redriver().redrive(letter())
    assert (bench.states.items, report.aggregates) == (items, {})


def test_a_second_redrive_folds_nothing(bench: Recovery) -> None:
    bench.redriver().redrive(letter())
    bench.redriver().redrive(letter())
    assert bench.results() == FOLDED


def test_what_a_filter_leaves_is_folded_when_it_is_chosen(bench: Recovery) -> None:
    bench.redriver().redrive(letter(), select={f"{SHARD}:100:0"}.__contains__)
    assert bench.results() == {("sums", MIDNIGHT, "[1]"): {"events": 1, "sum": 10}}
    bench.redriver().redrive(letter())
    assert bench.results() == FOLDED


def test_a_redriven_event_is_never_late() -> None:
    bench = bench_of(LATE)
    process(bench.engine(), kinesis_records([event(9, 7200)], first=200))
    bench.redriver().redrive(letter())
    assert bench.results()["late", MIDNIGHT, "[]"] == {"events": 3}


def test_an_event_that_an_aggregate_refuses_reaches_the_sinks_and_the_quarantine(bench: Recovery) -> None:
    report = bench.redriver().redrive(kinesis_records([event(1, 1, "x"), event(1, 2, 3)]))
    [kept] = bench.quarantined
    assert (kept["stage"], kept["where"], kept["id"]) == ("aggregate", "aggregates.sums.sum", f"{SHARD}:100:0")
    assert (bench.ids, bench.results()) == (["100:0", "110:0"], {("sums", MIDNIGHT, "[1]"): {"events": 1, "sum": 3}})
    assert (report.passed, report.quarantined, report.aggregates) == (
        2,
        0,
        {"sums": AggregateCount(events=2, folded=1, quarantined=1)},
    )
    assert (report.reasons, report.still_refused) == ({"aggregate: v is unusable: not a number": 1}, [f"{SHARD}:100:0"])


def test_what_an_aggregate_refused_in_a_letter_stays_in_the_quarantine_when_the_letter_comes_again(
    bench: Recovery,
) -> None:
    batch = kinesis_records([event(1, 1, "x")])
    process(bench.engine(), batch)
    bench.transform = Mending()
    bench.redriver().redrive(batch)
    assert (len(bench.quarantined), bench.results()) == (1, {})


def test_each_part_of_a_letter_is_a_commit_of_its_own() -> None:
    bench = bench_of(sinks=[archive(partition=[by_field("p")], max_partitions=1)])
    report = bench.redriver().redrive(letter())
    assert (bench.results(), bench.item.commit - int(NOW * 1000), len(report.numbers)) == (FOLDED, 2, 3)


def test_a_discarded_letter_adds_nothing_and_leaves_what_is_pending_to_the_next(bench: Recovery) -> None:
    process(bench.engine(), kinesis_records([event(1, 1, 1)], first=50))
    items, bench.states.items = bench.states.items, {}
    bench.redriver().discard(letter())
    assert (bench.states.items, bench.item.commit) == ({}, int(NOW * 1000))
    bench.run([event(1, 2, 1)], first=300)
    assert bench.results() == {("sums", MIDNIGHT, "[1]"): {"events": 2, "sum": 2}}
    assert [item.place for item in items.values()] == [item.place for item in bench.states.items.values()]


def test_a_dry_run_says_what_would_be_folded_and_folds_nothing(bench: Recovery) -> None:
    said = bench.redriver().redrive(letter(), dry_run=True)
    assert (bench.states.items, bench.objects.objects) == ({}, {})
    done = bench.redriver().redrive(letter())
    assert (said.aggregates, said.objects) == (done.aggregates, done.objects)


def test_what_could_not_be_folded_is_told_and_folded_when_it_is_redriven_again(bench: Recovery) -> None:
    bench.states.throttled_after = 1
    with pytest.raises(Retryable, match="throttled"):
        bench.redriver().redrive(letter())
    bench.states.throttled_after = None
    bench.redriver().redrive(letter())
    assert (bench.results(), bench.item.lease) == (FOLDED, None)


# -- Whatever breaks ---------------------------------------------------------------------------------------------------


def half_written(bench: Recovery) -> None:
    seen = bench.seen(bench.watched(Effects(before=kill(6))))
    assert killed(lambda: process(seen.engine(), letter()))


def test_the_tests_below_reach_every_effect() -> None:
    bench = bench_of(most_inline=0)
    half_written(bench)
    effects = Effects()
    bench.redriver(watched=bench.watched(effects)).redrive(letter())
    assert 20 < effects.count < EFFECTS


@pytest.mark.parametrize("most_inline", [4096, 0], ids=["inline", "object"])
@pytest.mark.parametrize("half", [False, True], ids=["fresh", "half-written"])
@pytest.mark.parametrize("at", range(EFFECTS))
def test_killed_at_any_effect_and_run_again_everything_is_folded_once(at: int, half: bool, most_inline: int) -> None:
    bench = bench_of(most_inline=most_inline)
    if half:
        half_written(bench)
    dies = bench.redriver(watched=bench.watched(Effects(before=kill(at))))
    if killed(lambda: dies.redrive(letter())):
        bench.now += 121
    bench.redriver("bob").redrive(letter())
    assert bench.results() == FOLDED


@pytest.mark.parametrize("at", range(EFFECTS))
def test_with_an_answer_lost_at_any_effect_and_run_again_everything_is_folded_once(bench: Recovery, at: int) -> None:
    def lost(number: int) -> None:
        if number == at:
            raise Retryable("time-out")

    try:
        bench.redriver(watched=bench.watched(Effects(after=lost))).redrive(letter())
    except Retryable:
        bench.now += 121
        bench.redriver("bob").redrive(letter())
    assert bench.results() == FOLDED


@pytest.mark.parametrize("most_inline", [4096, 0], ids=["inline", "object"])
@pytest.mark.parametrize("at", range(EFFECTS))
def test_a_live_batch_that_commits_in_the_middle_is_folded_beside_it(at: int, most_inline: int) -> None:
    bench = bench_of(most_inline=most_inline)
    live = once(at, lambda: bench.run([event(1, 1, 100)], first=300))
    effects = Effects(before=live)
    report: RedriveReport | None = None
    while report is None:
        try:
            report = bench.redriver(watched=bench.watched(effects)).redrive(letter())
        except Retryable:
            bench.now += 121
    if effects.count <= at:
        bench.run([event(1, 1, 100)], first=300)
    assert bench.results() == {**FOLDED, ("sums", MIDNIGHT, "[1]"): {"events": 3, "sum": 130}}


@pytest.mark.parametrize("at", range(EFFECTS))
def test_a_request_that_lands_late_folds_nothing_twice(bench: Recovery, at: int) -> None:
    def late(number: int) -> None:
        if number == at:
            raise LandsLate

    effects = Effects(before=late)
    if killed(lambda: bench.redriver(watched=bench.watched(effects)).redrive(letter())):
        bench.now += 121
    bench.redriver("bob").redrive(letter())
    for act in effects.late:
        with suppress(PreconditionFailed):
            act()
    bench.run([event(4, 1, 1)], first=300)
    assert bench.results() == {**FOLDED, ("sums", MIDNIGHT, "[4]"): {"events": 1, "sum": 1}}


@pytest.mark.parametrize("at", range(EFFECTS))
def test_killed_between_parts_everything_is_folded_once(at: int) -> None:
    bench = bench_of(sinks=[archive(partition=[by_field("p")], max_partitions=1)])
    if killed(lambda: bench.redriver(watched=bench.watched(Effects(before=kill(at)))).redrive(letter())):
        bench.now += 121
    bench.redriver("bob").redrive(letter())
    assert bench.results() == FOLDED


# -- Sinks -------------------------------------------------------------------------------------------------------------


def two_archives() -> Recovery:
    return bench_of(sinks=[archive(), replace_archive("second")])


def replace_archive(name: str) -> Any:
    made = archive(prefix=name)
    made.name = name
    return made


def test_what_one_sink_holds_is_not_folded_when_another_one_gets_it() -> None:
    bench = two_archives()
    first = into_sinks(bench.redriver()._core, ["archive"])
    bench.redriver(core=first).redrive(letter())
    bench.redriver().redrive(letter(), origin="replay")
    assert bench.results() == FOLDED
    assert len(written(bench.objects, "data", "second")) == 3


def test_what_goes_into_no_sink_of_objects_is_not_folded_and_is_later() -> None:
    sink = MemoryRecordSink("search")
    bench = bench_of(record_sinks=[sink])
    bench.redriver(core=into_sinks(bench.redriver()._core, ["search"])).redrive(letter())
    assert (bench.results(), len(sink.documents)) == ({}, 4)
    bench.redriver().redrive(letter(), origin="replay")
    assert bench.results() == FOLDED


# -- Quarantine replays ------------------------------------------------------------------------------------------------


def refusing() -> Recovery:
    """Of three events one is refused by the sums."""
    bench = bench_of(SUMS, ALL)
    process(bench.engine(), kinesis_records([event(1, 1, 1), event(1, 2, "x"), event(1, 3, 3)]))
    return bench


def refused_unit() -> KinesisRecords:
    return kinesis_records([event(1, 2, "x")], first=110)


BEFORE = {("sums", MIDNIGHT, "[1]"): {"events": 2, "sum": 4}, ("all", MIDNIGHT, "[]"): {"events": 2}}
AFTER = {("sums", MIDNIGHT, "[1]"): {"events": 3, "sum": 9}, ("all", MIDNIGHT, "[]"): {"events": 3}}


def replay(bench: Recovery, **more: Any) -> RedriveReport:
    return bench.redriver(**more).redrive(refused_unit(), origin="quarantine", subs=[0])


def test_a_replay_folds_an_event_that_was_refused_into_every_aggregate() -> None:
    bench = refusing()
    assert bench.results() == BEFORE
    bench.transform = Mending()
    report = replay(bench)
    assert (bench.results(), notes(bench), bench.ids) == (
        AFTER,
        [("110:0", ["sums", "all"])],
        ["100:0", "110:0", "120:0"],
    )
    assert (report.held, report.still_refused, report.aggregates) == (
        1,
        [],
        {"sums": AggregateCount(events=1, folded=1), "all": AggregateCount(events=1, folded=1)},
    )


def test_a_note_says_what_was_folded() -> None:
    bench = refusing()
    bench.transform = Mending()
    replay(bench)
    [[line]] = written(bench.objects, "data", "flights/refolded/events").values()
    assert line["event"] == {"p": 1, "t": 2, "v": 5, "_event_id": f"{SHARD}:110:0"}


def test_a_second_replay_folds_nothing() -> None:
    bench = refusing()
    bench.transform = Mending()
    replay(bench)
    assert (replay(bench).aggregates, bench.results()) == ({}, AFTER)


def test_what_is_refused_again_stays_in_the_quarantine_once() -> None:
    bench = refusing()
    report = replay(bench)
    assert (report.still_refused, report.reasons) == ([f"{SHARD}:110:0"], {"aggregate: v is unusable: not a number": 1})
    assert (len(bench.quarantined), bench.results(), notes(bench)) == (1, BEFORE, [])


def test_what_is_refused_whole_by_now_stays_in_the_quarantine() -> None:
    bench = refusing()
    bench.transform = Strict()
    report = replay(bench)
    assert (report.still_refused, report.still_quarantined, bench.results()) == ([f"{SHARD}:110:0"], 1, BEFORE)


@pytest.mark.parametrize("at", range(EFFECTS))
def test_a_replay_killed_at_any_effect_and_done_again_folds_once(at: int) -> None:
    bench = refusing()
    bench.transform = Mending()
    if killed(lambda: replay(bench, watched=bench.watched(Effects(before=kill(at))))):
        bench.now += 121
    replay(bench, owner="bob")
    assert (bench.results(), notes(bench)) == (AFTER, [("110:0", ["sums", "all"])])


@pytest.mark.parametrize("at", range(EFFECTS))
def test_a_live_batch_in_the_middle_of_a_replay_is_folded_beside_it(at: int) -> None:
    bench = refusing()
    bench.transform = Mending()
    effects = Effects(before=once(at, lambda: bench.run([event(1, 1, 100)], first=300)))
    replay(bench, watched=bench.watched(effects))
    if effects.count <= at:
        bench.run([event(1, 1, 100)], first=300)
    assert bench.results() == {
        ("sums", MIDNIGHT, "[1]"): {"events": 4, "sum": 109},
        ("all", MIDNIGHT, "[]"): {"events": 4},
    }


def late_bench(*declarations: Declaration) -> Recovery:
    bench = bench_of(*declarations)
    bench.run([event(1, 120)], first=50)
    bench.run([event(1, 2)], first=110)
    return bench


def test_a_replay_folds_a_late_event_into_the_aggregate_that_lacks_it() -> None:
    bench = late_bench(LATE, ALL)
    assert [(kept["where"], kept["reason"]) for kept in bench.quarantined] == [("aggregates.late", "late")]
    replay(bench)
    assert bench.results() == {
        ("late", MIDNIGHT, "[]"): {"events": 1},
        ("late", "1970-01-01T00:02:00Z", "[]"): {"events": 1},
        ("all", MIDNIGHT, "[]"): {"events": 2},
    }
    assert (notes(bench), replay(bench).aggregates) == ([("110:0", ["late"])], {})


def test_a_late_event_whose_states_are_gone_stays_in_the_quarantine() -> None:
    bench = late_bench(LATE)
    (window,) = Tumbling(60).assign(2)
    place = WindowPlace(scope_of("flights#events", LATE.aggregate), window)
    bench.windows.closed[place] = Mark(expires=int(NOW) - 1)
    report = replay(bench)
    assert (report.still_refused, len(bench.quarantined), notes(bench)) == ([f"{SHARD}:110:0"], 1, [])
    assert bench.results() == {("late", "1970-01-01T00:02:00Z", "[]"): {"events": 1}}


def test_a_record_that_was_refused_whole_is_folded_when_it_passes() -> None:
    bench = bench_of(SUMS, ALL, transform=Strict())
    process(bench.engine(), kinesis_records([event(1, 1, 1), event(1, 2, "x"), event(1, 3, 3)]))
    bench.transform = Mending()
    replay(bench)
    replay(bench)
    assert (bench.results(), notes(bench), bench.ids) == (AFTER, [], ["100:0", "110:0", "120:0"])


def test_what_a_sink_of_documents_could_not_take_is_folded_when_it_can() -> None:
    sink = MemoryRecordSink("search")
    bench = bench_of(record_sinks=[sink])
    sink.answer = lambda name, _: "throttled" if name.endswith(":110:0") else None
    bench.redriver().redrive(letter())
    assert bench.results()["sums", MIDNIGHT, "[1]"] == {"events": 1, "sum": 10}
    sink.answer = store_all
    bench.redriver().redrive(letter())
    assert bench.results() == FOLDED
