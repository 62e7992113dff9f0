from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from aetherstream.delivery.progress import Noted, Progress
from aetherstream.delivery.put import Missing, PreconditionFailed
from aetherstream.errors import ConfigurationError, Rejected, Retryable, Superseded, UsageError
from aetherstream.record_delivery import Standby
from aetherstream.records import KinesisRecords
from aetherstream.recovery.lease import LeaseHeld, LeaseLost
from aetherstream.recovery.origin import BeyondTheMark
from aetherstream.recovery.redrive_report import RedriveCount, RedriveReport
from aetherstream.sinks.s3 import by_field
from aetherstream.spill import Spill
from aetherstream.testing.builders import SHARD, STREAM, event_ids_of, kinesis_records, written
from aetherstream.testing.sinks import MemoryRecordSink
from aetherstream.testing.stores import MemoryProgress
from tests.engine.harness import KEY, archive, process
from tests.engine.test_spill import Switch
from tests.recovery.redriving import Effects, Killed, LandsLate, Recovery, kill, once

PAYLOADS: list[Any] = [
    {"p": 1, "q": 8},
    [{"p": 1, "q": 9}, {"p": 2, "q": 9, "do": "split"}],
    {"p": 2, "q": 8, "do": "reject"},
    {"p": 2, "q": 8, "do": "drop"},
    "no JSON",
    {"p": 3, "q": 8},
]
IDS = ["100:0", "110:0", "110:1", "110:1:1", "150:0"]
REFUSED = ["120:0", "140"]
EFFECTS = 24
"""More requests than a redrive of PAYLOADS makes."""


def letter() -> KinesisRecords:
    return kinesis_records(PAYLOADS)


def refused(bench: Recovery) -> list[str]:
    return sorted(line["id"].removeprefix(f"{SHARD}:") for line in bench.quarantined)


def standing(bench: Recovery) -> tuple[list[str], list[str]]:
    return bench.ids, refused(bench)


def counts(report: RedriveReport) -> dict[str, int]:
    names = ("records", "passed", "held", "quarantined", "still_quarantined", "dropped", "not_chosen", "left")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def killed(act: Callable[[], object]) -> bool:
    try:
        act()
    except Killed:
        return True
    return False


def half_written(bench: Recovery, *, after: int = 5) -> None:
    """An attempt on the letter that is killed in the middle of its puts."""
    engine = bench.engine
    watched = bench.watched(Effects(before=kill(after)))
    bench.objects, bench.progress, stores = watched, watched, (bench.objects, bench.progress)
    try:
        with pytest.raises(Killed):
            process(engine(), letter())
    finally:
        bench.objects, bench.progress = stores


@pytest.fixture
def bench() -> Recovery:
    return Recovery()


def test_a_dead_letter_is_delivered_and_refused_under_the_original_positions(bench: Recovery) -> None:
    report = bench.redriver().redrive(letter())
    assert standing(bench) == (IDS, REFUSED)
    assert counts(report) == {"records": 7, "passed": 4, "quarantined": 2, "dropped": 1}
    assert report.sinks == {"archive": RedriveCount(events=5, delivered=5)}
    assert report.reasons == {"transform: refused": 1, "decode: not JSON": 1}
    assert (report.finished, report.numbers) == (True, [1])


def test_fresh_objects_are_named_by_the_redrives_number_and_carry_it(bench: Recovery) -> None:
    report = bench.redriver().redrive(letter())
    name = f"{SHARD}-redrive-000000001.ndjson.gz"
    assert report.objects == [
        *(f"data/archive/p={p}/{name}" for p in (1, 2, 3)),
        f"data/quarantine/day=2025-11-21/{name}",
    ]
    stored = bench.objects.objects["data", f"archive/p=1/{name}"]
    told = {name: value for name, value in stored.metadata.items() if name != "aether-digest"}
    assert told == {
        "aether-epoch": "1",
        "aether-count": "2",
        "aether-version": "v1",
        "aether-first": f"{SHARD}:100:0",
        "aether-last": f"{SHARD}:110:0",
    }


def test_the_mark_moves_to_the_letters_end_and_the_lease_is_given_back(bench: Recovery) -> None:
    bench.redriver().redrive(letter())
    item = bench.item
    assert (item.completed, item.completed_arrival, item.lease, item.redrive_keys) == (
        "003150",
        1763712005000,
        None,
        (),
    )


def test_a_second_run_finds_everything_held(bench: Recovery) -> None:
    bench.redriver().redrive(letter())
    before = dict(bench.objects.objects)
    report = bench.redriver().redrive(letter())
    assert counts(report) == {"records": 7, "held": 4, "still_quarantined": 2, "dropped": 1}
    assert report.sinks == {"archive": RedriveCount(events=5, held=5)}
    assert (bench.objects.objects, report.objects) == (before, [])


def test_a_letter_whose_attempt_had_completed_changes_nothing(bench: Recovery) -> None:
    process(bench.engine(), letter())
    before = dict(bench.objects.objects)
    bench.redriver().redrive(letter())
    assert bench.objects.objects == before


@pytest.mark.parametrize("after", range(2, 7))
def test_what_a_half_written_attempt_left_is_emptied_and_delivered_anew(bench: Recovery, after: int) -> None:
    half_written(bench, after=after)
    bench.redriver().redrive(letter())
    assert (standing(bench), bench.item.open) == ((IDS, REFUSED), {})


def test_behind_the_mark_open_keys_are_left_to_the_attempts_that_noted_them(bench: Recovery) -> None:
    process(bench.engine(), kinesis_records([{"p": 9}], first=200))
    claim = bench.engine()._ledger
    opening = claim.open(KEY, ["003300"])
    claim.claim(opening, {"data/archive/p=1/live.ndjson.gz": "003300"}, "v1")
    report = bench.redriver().redrive(letter())
    assert bench.item.open == {"data/archive/p=1/live.ndjson.gz": Noted("003300", "v1")}
    assert (standing(bench), report.emptied) == (([*IDS, "200:0"], REFUSED), 0)


def test_a_filter_brings_back_what_it_chooses_and_the_rest_later(bench: Recovery) -> None:
    chosen = {f"{SHARD}:110:1", f"{SHARD}:120:0"}
    report = bench.redriver().redrive(letter(), select=chosen.__contains__)
    assert standing(bench) == (["110:1", "110:1:1"], ["120:0"])
    assert counts(report) == {"records": 7, "passed": 1, "quarantined": 1, "dropped": 1, "not_chosen": 4}
    assert not report.finished
    bench.redriver().redrive(letter())
    assert standing(bench) == (IDS, REFUSED)


def test_a_discarded_letter_is_settled_and_nothing_of_it_stands(bench: Recovery) -> None:
    half_written(bench)
    report = bench.redriver().discard(letter())
    assert (standing(bench), bench.item.completed, bench.item.open) == (([], []), "003150", {})
    assert (counts(report), report.finished) == ({"records": 6, "not_chosen": 6}, True)


def test_a_dry_run_says_what_a_redrive_then_does_and_writes_nothing(bench: Recovery) -> None:
    half_written(bench)
    objects, items = dict(bench.objects.objects), dict(bench.progress.items)
    said = bench.redriver().redrive(letter(), dry_run=True)
    assert (bench.objects.objects, bench.progress.items) == (objects, items)
    done = bench.redriver().redrive(letter())
    assert (counts(said), said.objects, said.sinks, said.reasons, said.numbers) == (
        counts(done),
        done.objects,
        done.sinks,
        done.reasons,
        done.numbers,
    )


def test_the_tests_below_reach_every_effect(bench: Recovery) -> None:
    half_written(bench)
    effects = Effects()
    bench.redriver(watched=bench.watched(effects)).redrive(letter())
    assert 10 < effects.count < EFFECTS


@pytest.mark.parametrize("at", range(EFFECTS))
@pytest.mark.parametrize("half", [False, True])
def test_killed_at_any_effect_and_run_again_it_comes_to_the_same(bench: Recovery, at: int, half: bool) -> None:
    if half:
        half_written(bench)
    dies = bench.redriver(watched=bench.watched(Effects(before=kill(at))))
    if killed(lambda: dies.redrive(letter())):
        bench.now += 121
    bench.redriver("bob").redrive(letter())
    assert (standing(bench), bench.item.lease, bench.item.redrive_keys) == ((IDS, REFUSED), None, ())


@pytest.mark.parametrize("at", range(EFFECTS))
def test_with_any_answer_lost_and_run_again_it_comes_to_the_same(bench: Recovery, at: int) -> None:
    half_written(bench)

    def lose(number: int) -> None:
        if number == at:
            raise Retryable("time-out")

    loses = bench.redriver(watched=bench.watched(Effects(after=lose)))
    with suppress(Retryable):
        loses.redrive(letter())
    bench.now += 121
    bench.redriver("bob").redrive(letter())
    assert (standing(bench), bench.item.lease, bench.item.redrive_keys) == ((IDS, REFUSED), None, ())


@pytest.mark.parametrize("at", range(EFFECTS))
def test_a_put_that_lands_after_the_second_run_meets_a_newer_epoch(bench: Recovery, at: int) -> None:
    effects = Effects()

    def late(number: int) -> None:
        if number == at:
            raise LandsLate

    effects.before = late
    dies = bench.redriver(watched=bench.watched(effects))
    if killed(lambda: dies.redrive(letter())):
        bench.now += 121
    bench.redriver("bob").redrive(letter(), select=lambda name: name.endswith(":0"))
    for act in effects.late:
        with suppress(PreconditionFailed, Missing):
            act()
    bench.now += 121  # a late write of the item may have taken the lease
    bench.redriver("carol").redrive(letter())
    assert standing(bench) == (IDS, REFUSED)


@pytest.mark.parametrize("after", range(2, 7))
def test_a_late_put_of_the_abandoned_attempt_doubles_nothing(bench: Recovery, after: int) -> None:
    effects = Effects()

    def late(number: int) -> None:
        if number == after:
            raise LandsLate

    effects.before = late
    watched = bench.watched(effects)
    bench.objects, bench.progress, stores = watched, watched, (bench.objects, bench.progress)
    abandoned = bench.engine()
    bench.objects, bench.progress = stores
    assert killed(lambda: process(abandoned, letter()))
    bench.redriver().redrive(letter())
    for act in effects.late:
        with suppress(PreconditionFailed, Missing):
            act()
    assert standing(bench) == (IDS, REFUSED)


@pytest.mark.parametrize("at", range(1, EFFECTS))
def test_an_abandoned_attempt_that_goes_on_in_the_middle_doubles_nothing(bench: Recovery, at: int) -> None:
    half_written(bench)
    abandoned = bench.engine()
    effects = Effects(before=once(at, lambda: process(abandoned, letter())))
    with suppress(Retryable):
        bench.redriver(watched=bench.watched(effects)).redrive(letter())
    bench.now += 121
    bench.redriver().redrive(letter())
    assert standing(bench) == (IDS, REFUSED)


@pytest.mark.parametrize("at", range(1, EFFECTS))
def test_a_live_batch_in_the_middle_is_delivered_beside_it(bench: Recovery, at: int) -> None:
    half_written(bench)
    live, batch = bench.engine(), kinesis_records([{"p": 1}], first=500)
    effects = Effects(before=once(at, lambda: process(live, batch)))
    bench.redriver(watched=bench.watched(effects)).redrive(letter())
    process(bench.engine(), batch)
    assert standing(bench) == ([*IDS, "500:0"], REFUSED)


@pytest.mark.parametrize(("claims", "passes"), [(1, True), (4, True), (5, False)])
def test_a_claim_just_before_the_mark_moves_is_emptied_too(bench: Recovery, claims: int, passes: bool) -> None:
    class Claimed(MemoryProgress):
        left = claims

        def write(self, item: Progress, /) -> Progress | None:
            if item.completed and self.left:
                self.left -= 1
                stored = self.items[KEY]
                more = {f"data/archive/p=1/claim-{self.left}.ndjson.gz": Noted("003100", "v1")}
                changes = {"revision": stored.revision + 1, "epoch": stored.epoch + 1}
                self.items[KEY] = replace(stored, open={**stored.open, **more}, **changes)  # type: ignore[arg-type]
            return super().write(item)

    bench.progress = Claimed()
    if passes:
        bench.redriver().redrive(letter())
        emptied = {key for _, key in bench.objects.objects if "claim-" in key}
        assert emptied == {f"archive/p=1/claim-{at}.ndjson.gz" for at in range(claims)}
        assert (standing(bench), bench.item.open) == ((IDS, REFUSED), {})
    else:
        with pytest.raises(Retryable, match="attempts claimed the shard 5 times"):
            bench.redriver().redrive(letter())


@pytest.mark.parametrize("at", range(2, 11))
def test_of_two_at_once_the_second_is_told_who_holds_the_lease(bench: Recovery, at: int) -> None:
    told: list[tuple[str, float]] = []

    def second() -> None:
        with pytest.raises(LeaseHeld) as error:
            bench.redriver("bob").redrive(letter())
        told.append((error.value.who, error.value.until))

    effects = Effects(before=once(at, second))
    bench.redriver("alice", watched=bench.watched(effects)).redrive(letter())
    assert (standing(bench), told) == ((IDS, REFUSED), [("alice", bench.now + 120)])


@pytest.mark.parametrize("at", range(2, EFFECTS))
def test_a_lease_that_runs_out_under_its_holder_doubles_nothing(bench: Recovery, at: int) -> None:
    def second() -> None:
        bench.now += 121
        bench.redriver("bob").redrive(letter())

    effects = Effects(before=once(at, second))
    with suppress(Superseded):
        bench.redriver("alice", watched=bench.watched(effects)).redrive(letter())
    assert (standing(bench), bench.item.lease, bench.item.redrive_keys) == ((IDS, REFUSED), None, ())


def test_the_holder_is_told_that_its_lease_was_taken(bench: Recovery) -> None:
    def second() -> None:
        bench.now += 121
        bench.redriver("bob").redrive(letter())

    with pytest.raises(LeaseLost):
        bench.redriver(watched=bench.watched(Effects(before=once(4, second)))).redrive(letter())


@pytest.mark.parametrize("at", range(EFFECTS))
def test_another_version_in_between_moves_nothing_and_doubles_nothing(bench: Recovery, at: int) -> None:
    dies = bench.redriver(watched=bench.watched(Effects(before=kill(at))))
    if killed(lambda: dies.redrive(letter())):
        bench.now += 121
    bench.sinks = [archive(partition=[by_field("q")])]
    bench.redriver("bob", version="v2").redrive(letter())
    assert standing(bench) == (IDS, REFUSED)


def test_another_versions_refusal_does_not_quarantine_what_stands_in_a_sink(bench: Recovery) -> None:
    bench.redriver().redrive(kinesis_records([{"p": 1}]))
    report = bench.redriver(version="v2").redrive(kinesis_records([{"p": 1, "do": "reject"}]))
    assert (standing(bench), counts(report)) == ((["100:0"], []), {"records": 1, "held": 1})


def test_what_stands_in_the_quarantine_stays_there_when_another_version_passes_it(bench: Recovery) -> None:
    bench.redriver().redrive(kinesis_records([{"p": 1, "do": "reject"}]))
    report = bench.redriver(version="v2").redrive(kinesis_records([{"p": 1}]))
    assert (standing(bench), counts(report)) == (([], ["100:0"]), {"records": 1, "still_quarantined": 1})


def test_replayed_from_the_quarantine_it_is_delivered(bench: Recovery) -> None:
    bench.redriver().redrive(kinesis_records([{"p": 1, "do": "reject"}]))
    report = bench.redriver().redrive(kinesis_records([{"p": 1}]), origin="quarantine")
    assert (bench.ids, counts(report)) == (["100:0"], {"records": 1, "passed": 1})


def test_replayed_and_refused_again_it_stays_and_says_why(bench: Recovery) -> None:
    unit = kinesis_records([{"p": 1, "do": "reject"}, "no JSON"])
    bench.redriver().redrive(unit)
    report = bench.redriver().redrive(unit, origin="quarantine")
    assert (refused(bench), counts(report)) == (["100:0", "110"], {"records": 2, "still_quarantined": 2})
    assert report.reasons == {"transform: refused": 1, "decode: not JSON": 1}
    assert report.still_refused == [f"{SHARD}:110", f"{SHARD}:100:0"]


def test_a_part_of_a_kinesis_record_is_replayed_under_its_own_index(bench: Recovery) -> None:
    bench.redriver().redrive(kinesis_records([[{"p": 1}, {"p": 1, "do": "reject"}, {"p": 1, "do": "reject"}]]))
    parts = kinesis_records([{"p": 1}, {"p": 1, "do": "reject"}], sequences=[100, 100])
    report = bench.redriver().redrive(parts, origin="quarantine", subs=[1, 2])
    assert (bench.ids, refused(bench)) == (["100:0", "100:1"], ["100:1", "100:2"])
    assert (counts(report), report.still_refused) == (
        {"records": 2, "passed": 1, "still_quarantined": 1},
        [f"{SHARD}:100:2"],
    )


@pytest.mark.parametrize("origin", ["quarantine", "replay"])
def test_records_that_the_function_has_not_settled_are_left_to_it(bench: Recovery, origin: Any) -> None:
    process(bench.engine(), kinesis_records([{"p": 1}]))
    before = dict(bench.progress.items)
    with pytest.raises(BeyondTheMark, match="ends at 110, and the stream function has settled records up to 100 only"):
        bench.redriver().redrive(kinesis_records([{"p": 1}, {"p": 1}]), origin=origin)
    assert bench.progress.items == before


def test_a_record_that_is_quarantined_whole_is_not_even_decoded(bench: Recovery) -> None:
    bench.redriver().redrive(kinesis_records(["no JSON", {"p": 1}]))

    class Deadly:
        def decode(self, *arguments: Any) -> Any:
            assert "no JSON" not in arguments[0].data[0]
            assert arguments[0].sequences == ["110"]
            return bench.decoder.decode(*arguments)

        def payloads(self, *arguments: Any) -> Any:
            return None

    other = Recovery(decoder=Deadly(), objects=bench.objects, progress=bench.progress)
    report = other.redriver().redrive(kinesis_records(["no JSON", {"p": 1}]))
    assert counts(report) == {"records": 2, "held": 1, "still_quarantined": 1}


def test_each_sink_gets_what_it_does_not_hold(bench: Recovery) -> None:
    bench.redriver().redrive(letter())
    bench.sinks = [archive(), archive(partition=[], prefix="second")]
    bench.sinks[1].name = "second"  # type: ignore[misc]
    report = bench.redriver().redrive(letter())
    found = event_ids_of(written(bench.objects, "data", "second"))
    assert ([name.removeprefix(f"{SHARD}:") for name in found], bench.ids) == (IDS, IDS)
    assert report.sinks == {"archive": RedriveCount(5, held=5), "second": RedriveCount(5, delivered=5)}


def test_a_unit_with_many_partitions_goes_in_parts_each_under_its_number(bench: Recovery) -> None:
    bench.sinks = [archive(max_partitions=2)]
    unit = kinesis_records([{"p": p} for p in range(5)])
    report = bench.redriver().redrive(unit)
    assert (report.numbers, len(bench.ids), bench.item.epoch) == ([1, 2, 3], 5, 3)
    assert counts(report) == {"records": 5, "passed": 5}


@pytest.mark.parametrize("at", range(EFFECTS))
def test_killed_between_its_parts_it_goes_on_where_it_was(bench: Recovery, at: int) -> None:
    bench.sinks = [archive(max_partitions=1)]
    unit = kinesis_records([{"p": p} for p in range(3)])
    dies = bench.redriver(watched=bench.watched(Effects(before=kill(at))))
    if killed(lambda: dies.redrive(unit)):
        bench.now += 121
    bench.redriver("bob").redrive(unit)
    assert bench.ids == ["100:0", "110:0", "120:0"]


def test_a_record_sink_gets_everything_again_and_its_refusals_are_quarantined_once() -> None:
    def answer(document_id: str, document: Any) -> Rejected | None:
        return Rejected("mapping conflict") if document["p"] == 3 else None

    search = MemoryRecordSink(answer=answer)
    bench = Recovery(record_sinks=[search])
    first = bench.redriver().redrive(letter())
    second = bench.redriver().redrive(letter())
    assert sorted(search.documents) == [f"{SHARD}:{name}" for name in IDS[:-1]]
    assert standing(bench) == (IDS, [*REFUSED, "150:0"])
    assert first.sinks["search"] == RedriveCount(5, delivered=4, quarantined=1)
    assert second.sinks["search"] == RedriveCount(5, held=1, delivered=4)


def test_what_a_record_sink_could_not_take_is_left_for_another_redrive() -> None:
    search = MemoryRecordSink()
    search.down = "no connection"
    bench = Recovery(record_sinks=[search])
    report = bench.redriver().redrive(kinesis_records([{"p": 1}]))
    assert (counts(report), report.finished) == ({"records": 1, "left": 1}, False)
    assert report.undelivered == {f"{SHARD}:100:0": "sink search: no connection"}
    search.down = None
    report = bench.redriver().redrive(kinesis_records([{"p": 1}]))
    assert (bench.ids, list(search.documents), report.finished) == (["100:0"], [f"{SHARD}:100:0"], True)


def test_documents_that_wait_in_the_spill_are_left_to_its_drain() -> None:
    search, spill = MemoryRecordSink(), Spill("search", bucket="data", prefix="spill", pipeline="flights")
    breaker = Switch(is_open=True)
    bench = Recovery(record_sinks=[search], standbys={"search": Standby(breaker, spill)})
    bench.run([{"p": 1}])
    report = bench.redriver(spills=[spill.target]).redrive(kinesis_records([{"p": 1}]))
    assert (list(search.documents), report.sinks["search"], report.finished) == ([], RedriveCount(1, held=1), True)
    assert [row["document_id"] for row in bench.spilled] == [f"{SHARD}:100:0"]


def test_a_failure_gives_the_lease_back_at_once(bench: Recovery) -> None:
    def fail(number: int) -> None:
        if number == 6:
            raise Retryable("SlowDown")

    with pytest.raises(Retryable, match="SlowDown"):
        bench.redriver(watched=bench.watched(Effects(before=fail))).redrive(letter())
    assert bench.item.lease is None
    bench.redriver("bob").redrive(letter())
    assert standing(bench) == (IDS, REFUSED)


def test_puts_are_not_begun_that_might_outlast_the_time(bench: Recovery) -> None:
    with pytest.raises(Retryable, match="less than 25 s were left"):
        bench.redriver().redrive(letter(), seconds_left=lambda: 10.0)
    assert standing(bench) == ([], [])


def test_a_letter_of_a_stream_that_was_made_anew_moves_no_mark(bench: Recovery) -> None:
    process(bench.engine(), kinesis_records([{"p": 1}], arrival=1_763_812_000.0))
    before = bench.item
    with pytest.raises(ConfigurationError, match="of another stream of that name"):
        bench.redriver().redrive(letter())
    assert bench.item == before


def test_records_out_of_order_are_refused(bench: Recovery) -> None:
    with pytest.raises(UsageError, match="not in the order of the stream"):
        bench.redriver().redrive(kinesis_records([{"p": 1}, {"p": 1}], sequences=[200, 100]))


def test_a_record_that_is_there_twice_is_delivered_once(bench: Recovery) -> None:
    report = bench.redriver().redrive(kinesis_records([{"p": 1}, {"p": 1}], sequences=[100, 100]))
    assert (bench.ids, counts(report)) == (["100:0"], {"records": 1, "passed": 1})


def test_nothing_to_redrive_takes_no_lease(bench: Recovery) -> None:
    bench.redriver().redrive(KinesisRecords(STREAM, SHARD, [], [], [], []))
    assert bench.progress.items == {}


def entries(bench: Recovery) -> Iterator[str]:
    yield from (key for _, key in bench.objects.objects)


def test_a_redrive_reads_no_other_shards_objects(bench: Recovery) -> None:
    process(bench.engine(), kinesis_records([{"p": 1}], shard="shardId-000000000001"))
    bench.redriver().redrive(kinesis_records([{"p": 1}]))
    assert sorted(entries(bench)) == [
        f"archive/p=1/{SHARD}-redrive-000000001.ndjson.gz",
        "archive/p=1/shardId-000000000001-003100-000000.ndjson.gz",
    ]
