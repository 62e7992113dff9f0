"""Units with a record that kills the process: redriven again, they are taken apart, and only that record is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from aetherstream.delivery.progress import Suspect
from aetherstream.errors import Retryable
from aetherstream.records import Events, KinesisRecords, Rejection
from aetherstream.recovery.lease import LeaseHeld
from aetherstream.recovery.redrive import Redriver
from aetherstream.recovery.redrive_report import RedriveReport
from aetherstream.recovery.suspects import PARTS, Suspected
from aetherstream.testing.builders import SHARD, kinesis_records
from aetherstream.testing.stores import MemoryObjects
from tests.engine.harness import Steps, archive, process
from tests.recovery.redriving import Effects, Killed, Recovery, kill


@dataclass
class Deadly(Steps):
    """Steps that an event with `do: kill` kills."""

    kills: type[BaseException] = Killed
    seen: list[int] = field(default_factory=list)
    """How many events each call got."""

    def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
        self.seen.append(len(events))
        if any(value.get("do") == "kill" for value in events.values):
            raise self.kills
        return super().apply(events, rejections, timings)


@pytest.fixture
def bench() -> Recovery:
    return Recovery(transform=Deadly())


def letter(size: int, *killers: int) -> KinesisRecords:
    return kinesis_records([{"p": n % 3, **({"do": "kill"} if n in killers else {})} for n in range(size)])


def redrive(bench: Recovery, unit: KinesisRecords, *, most: int = 50, **options: Any) -> tuple[RedriveReport, int]:
    """Redrive until it comes to its end; the report, and how many redrives were killed before."""
    for killed in range(most):
        try:
            return bench.redriver(f"redrive {killed}").redrive(unit, **options), killed
        except (Killed, MemoryError):
            bench.now += 121
    pytest.fail(f"{most} redrives were killed")


def names(unit: KinesisRecords, *, without: tuple[int, ...] = ()) -> list[str]:
    return sorted(f"{sequence}:0" for n, sequence in enumerate(unit.sequences) if n not in without)


def crashed(bench: Recovery) -> list[tuple[str, str]]:
    return [(line["id"].removeprefix(f"{SHARD}:"), line["stage"]) for line in bench.quarantined]


@pytest.mark.parametrize(("size", "at", "kills"), [(1, 0, 2), (2, 1, 3), (40, 0, 3), (100, 50, 4), (3000, 1234, 5)])
def test_a_record_that_kills_is_quarantined_alone_and_its_neighbours_arrive(
    bench: Recovery, size: int, at: int, kills: int
) -> None:
    unit = letter(size, at)
    report, killed = redrive(bench, unit)
    assert (bench.ids, crashed(bench)) == (names(unit, without=(at,)), [(unit.sequences[at], "crashed")])
    assert (killed, report.reasons, report.finished) == (kills, {"crashed: killed the process": 1}, True)
    assert (bench.item.suspects, bench.item.lease, bench.item.redrive_keys) == ((), None, ())


def test_several_records_that_kill_are_each_alone(bench: Recovery) -> None:
    unit = letter(90, 3, 4, 88)
    redrive(bench, unit)
    assert bench.ids == names(unit, without=(3, 4, 88))
    assert sorted(crashed(bench)) == sorted((unit.sequences[at], "crashed") for at in (3, 4, 88))


def test_once_it_is_quarantined_nobody_decodes_it_again(bench: Recovery) -> None:
    unit = letter(5, 2)
    redrive(bench, unit)
    report, killed = redrive(bench, unit)
    assert (killed, report.held, report.still_quarantined) == (0, 4, 1)


def test_an_error_that_says_that_memory_ended_isolates_too() -> None:
    bench = Recovery(transform=Deadly(kills=MemoryError))
    unit = letter(5, 2)
    redrive(bench, unit)
    assert (bench.ids, crashed(bench)) == (names(unit, without=(2,)), [(unit.sequences[2], "crashed")])


def test_a_kill_is_counted_once_by_whoever_takes_the_lease_next(bench: Recovery) -> None:
    unit = letter(64, 5)
    for _ in range(2):
        with pytest.raises(Killed):
            bench.redriver().redrive(unit)
        bench.now += 121
    at = bench.item.lease.at if bench.item.lease else None
    assert at == Suspect("003140", "003150", "v1", killed=1)
    with pytest.raises(Killed):
        bench.redriver().redrive(unit)
    assert bench.item.suspects == (Suspect("003140", "003150", "v1", killed=2),)


def test_a_suspect_place_is_taken_in_small_parts_and_what_is_around_it_whole(bench: Recovery) -> None:
    steps: Any = bench.transform
    unit = letter(70, 69)
    process(bench.engine(), kinesis_records([{"p": 0}], first=10))
    item = bench.item
    place = Suspect("003200", "003390", "v1", killed=1)
    bench.progress.items[item.key] = replace(item, suspects=(place,))
    steps.seen.clear()
    with pytest.raises(Killed):
        bench.redriver().redrive(unit)
    assert steps.seen == [10, *[1] * 20, 40]


def test_whoever_redrives_another_unit_meanwhile_forgets_nothing(bench: Recovery) -> None:
    first, second = letter(3, 1), kinesis_records([{"p": 1}], first=500)
    for _ in range(3):
        with pytest.raises(Killed):
            bench.redriver().redrive(first)
        bench.now += 121
        bench.redriver("bob").redrive(second)
    report, killed = redrive(bench, first)
    assert (killed, report.reasons) == (0, {"crashed: killed the process": 1})


def test_a_unit_that_passes_clears_its_own_records_alone(bench: Recovery) -> None:
    process(bench.engine(), kinesis_records([{"p": 0}], first=900))
    places = tuple(Suspect(f"003{at}", f"003{at}", "v1", killed=1, alone=1) for at in (100, 110, 120))
    bench.progress.items[bench.item.key] = replace(bench.item, suspects=places)
    bench.redriver().redrive(kinesis_records([{"p": 1}, {"p": 1}], sequences=[100, 120]), origin="quarantine")
    assert bench.item.suspects == places[1:2]


def test_another_version_tries_the_record_itself(bench: Recovery) -> None:
    unit = letter(2, 1)
    for _ in range(3):
        with pytest.raises(Killed):
            bench.redriver().redrive(unit)
        bench.now += 121
    mended = replace(bench, transform=Steps())
    mended.redriver(version="v2").redrive(unit)
    assert (bench.ids, crashed(bench)) == (names(unit), [])


def test_a_redrive_that_ends_by_an_error_is_not_taken_for_killed(bench: Recovery) -> None:
    def fail(number: int) -> None:
        if number == 8:
            raise Retryable("SlowDown")

    unit = letter(4)
    for _ in range(5):
        with pytest.raises(Retryable, match="SlowDown"):
            bench.redriver(watched=bench.watched(Effects(before=fail))).redrive(unit)
    assert bench.item.suspects == ()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_a_person_who_interrupts_is_not_a_record_that_kills(interrupt: type[BaseException]) -> None:
    bench = Recovery(transform=Deadly(kills=interrupt))
    with pytest.raises(interrupt):
        bench.redriver().redrive(letter(3, 1))
    assert (bench.item.lease, bench.item.suspects) == (None, ())


def test_a_redrive_that_is_killed_while_it_looks_accuses_nobody(bench: Recovery) -> None:
    class Blocked(MemoryObjects):
        def list(self, bucket: str, prefix: str, /) -> Any:
            raise Killed

    with pytest.raises(Killed):
        replace(bench, objects=Blocked()).redriver().redrive(letter(3))
    bench.now += 121
    bench.redriver("bob").redrive(letter(3))
    assert (bench.ids, bench.item.epoch) == (names(letter(3)), 2)


def test_no_part_is_begun_that_the_end_of_the_time_would_kill(bench: Recovery) -> None:
    with pytest.raises(Retryable, match="less than 25 s were left"):
        bench.redriver().redrive(letter(3), seconds_left=lambda: 24.0)
    assert (bench.ids, bench.item.suspects, bench.item.lease) == ([], (), None)


def test_a_dry_run_is_not_risked_where_a_record_may_kill(bench: Recovery) -> None:
    unit = letter(5, 2)
    with pytest.raises(Killed):
        bench.redriver().redrive(unit)
    bench.now += 121
    before = bench.item
    with pytest.raises(Suspected, match=r"killed 1 time .memory, time-out, crash. at 5 records of this unit"):
        bench.redriver().redrive(unit, dry_run=True)
    assert bench.item == before


def test_a_dry_run_says_of_a_known_crasher_what_becomes_of_it(bench: Recovery) -> None:
    unit = letter(2, 1)
    for _ in range(3):
        with pytest.raises(Killed):
            bench.redriver().redrive(unit)
        bench.now += 121
    said = bench.redriver().redrive(unit, dry_run=True)
    done = bench.redriver().redrive(unit)
    assert (said.reasons, said.quarantined, said.held) == (done.reasons, 1, 1)


def test_a_filter_leaves_the_crasher_and_what_is_known_of_it(bench: Recovery) -> None:
    unit = letter(3, 1)
    chosen = {f"{SHARD}:{name}" for name in names(unit)}
    report, killed = redrive(bench, unit, select=chosen.__contains__)
    assert (killed, report.not_chosen, report.finished, crashed(bench)) == (3, 1, False, [])
    report, killed = redrive(bench, unit)
    assert (killed, crashed(bench)) == (0, [(unit.sequences[1], "crashed")])


def test_a_letter_that_kills_can_be_discarded_and_is_forgotten(bench: Recovery) -> None:
    unit = letter(3, 1)
    for _ in range(2):
        with pytest.raises(Killed):
            bench.redriver().redrive(unit)
        bench.now += 121
    bench.redriver().discard(unit)
    assert (bench.item.suspects, bench.item.lease, bench.item.completed) == ((), None, "003120")


def test_a_crasher_of_the_quarantine_that_still_kills_stays_there_and_the_mended_come_back(bench: Recovery) -> None:
    unit = letter(4, 1, 2)
    redrive(bench, unit)
    assert len(crashed(bench)) == 2
    patched = kinesis_records([{"p": 1}, {"p": 2, "do": "kill"}], sequences=[110, 120])
    report, killed = redrive(bench, patched, origin="quarantine")
    assert (killed, report.held, report.still_refused) == (3, 1, [f"{SHARD}:{unit.sequences[2]}"])
    assert (bench.ids, len(crashed(bench))) == (names(unit, without=(2,)), 2)


def test_of_one_kinesis_record_only_the_part_that_kills_is_left(bench: Recovery) -> None:
    bench.redriver().redrive(kinesis_records([[{"p": 1}, *[{"p": 1, "do": "reject"}] * 3]]))
    parts = kinesis_records([{"p": 1}, {"p": 1, "do": "kill"}, {"p": 1}], sequences=[100, 100, 100])
    report, killed = redrive(bench, parts, origin="quarantine", subs=[1, 2, 3])
    assert (killed, bench.ids, report.still_refused) == (3, ["100:0", "100:1", "100:3"], [f"{SHARD}:100:2"])


def test_records_of_the_stream_that_kill_today_are_not_quarantined_where_they_were_delivered(bench: Recovery) -> None:
    process(replace(bench, transform=Steps()).engine(), letter(3, 1))
    report, killed = redrive(bench, letter(3, 1), origin="replay")
    assert (killed, report.held, bench.ids, crashed(bench)) == (3, 3, names(letter(3)), [])


def test_an_item_remembers_a_bounded_number_of_places(bench: Recovery) -> None:
    for first in range(100, 130):
        with pytest.raises(Killed):
            bench.redriver().redrive(kinesis_records([{"do": "kill"}], first=first))
        bench.now += 121
    bench.redriver().redrive(kinesis_records([{"p": 1}], first=500))
    assert [place.first for place in bench.item.suspects] == [f"003{first}" for first in range(114, 130)]


# Going on at once


def test_who_goes_on_under_the_holders_name_does_not_wait(bench: Recovery) -> None:
    unit = letter(3, 1)
    for _ in range(3):
        with pytest.raises(Killed):
            bench.redriver("alice, request 7").redrive(unit)
    with pytest.raises(LeaseHeld):
        bench.redriver("alice, request 8").redrive(unit)
    bench.redriver("alice, request 7").redrive(unit)
    assert (bench.ids, crashed(bench)) == (names(unit, without=(1,)), [(unit.sequences[1], "crashed")])


@pytest.mark.parametrize("at", range(24))
def test_taken_over_by_its_successor_while_it_still_runs_nothing_is_doubled(bench: Recovery, at: int) -> None:
    unit = letter(4)
    goes_on = bench.redriver("alice")

    def successor(number: int) -> None:
        if number == at:
            bench.redriver("alice").redrive(unit)

    try:
        bench.redriver("alice", watched=bench.watched(Effects(before=successor))).redrive(unit)
    except Retryable:
        goes_on.redrive(unit)
    assert (bench.ids, bench.item.lease, bench.item.redrive_keys) == (names(unit), None, ())


# The totals


def counted(bench: Recovery) -> dict[str, int]:
    return dict(bench.item.redriven)


def test_what_redrives_deliver_and_refuse_is_counted_once(bench: Recovery) -> None:
    unit = kinesis_records([{"p": 1}, {"p": 2, "do": "split"}, {"do": "reject"}, {"do": "drop"}])
    for _ in range(2):
        bench.redriver().redrive(unit)
    assert counted(bench) == {"delivered": 2, "quarantined": 1, "archive.delivered": 3}
    bench.redriver().redrive(kinesis_records([{"p": 1}], first=120), origin="quarantine")
    assert counted(bench) == {"delivered": 2, "quarantined": 1, "replayed": 1, "archive.delivered": 4}


@pytest.mark.parametrize("at", range(30))
def test_however_often_it_is_killed_the_totals_say_what_stands(bench: Recovery, at: int) -> None:
    bench.sinks = [archive(max_partitions=1)]
    unit = letter(4)
    dies: Callable[[], Redriver] = lambda: bench.redriver(watched=bench.watched(Effects(before=kill(at))))  # noqa: E731
    for _ in range(2):
        try:
            dies().redrive(unit)
        except Killed:
            bench.now += 121
    bench.redriver().redrive(unit)
    refused = len(bench.quarantined)
    wanted = {"delivered": 4 - refused, "quarantined": refused, "archive.delivered": 4 - refused}
    assert counted(bench) == {name: count for name, count in wanted.items() if count}
    assert len(bench.ids) == 4 - refused


def test_parts_are_many_enough_to_need_few_kills() -> None:
    assert PARTS**3 > 10_000  # AWS: the most records of a batch
