import random
from itertools import pairwise

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.esm import Discard, Mapping, Returned, StreamRecord, Throttled
from aetherstream.local.esm.lane import EVENT_LIMIT

from .harness import SHARD, START, harness, invokes, numbers, record, records, settings


def names(*spans: range) -> list[list[str]]:
    return [[str(n) for n in span] for span in spans]


def test_a_batch_has_at_most_batch_size_records_in_order() -> None:
    run = harness(feed=records(range(1, 8)), batch_size=3).run()
    assert run.batches == names(range(1, 4), range(4, 7), range(7, 8))


def test_without_a_window_a_single_record_is_invoked_at_once() -> None:
    mapping = harness(feed=[record(1)]).mapping
    assert [numbers(invoke.event) for invoke in invokes(mapping, START)] == [["1"]]


def test_a_shard_has_one_invocation_at_a_time() -> None:
    mapping = harness(feed=records(range(1, 5)), batch_size=2).mapping
    (first,) = invokes(mapping, START)
    assert (invokes(mapping, START + 60), mapping.next_wake(START)) == ([], None)
    assert mapping.finished(first.invocation_id, Returned(None), START + 60)
    assert [numbers(invoke.event) for invoke in invokes(mapping, START + 60)] == [["3", "4"]]


def test_the_batching_window_gathers_records_from_the_first_one_on() -> None:
    mapping = harness(batching_window=20, feed=[record(1)]).mapping
    mapping.feed(SHARD, [record(2)], START + 19)
    assert (mapping.poll(START + 19.9), mapping.next_wake(START + 19.9)) == ([], START + 20)
    assert [numbers(invoke.event) for invoke in invokes(mapping, START + 20)] == [["1", "2"]]


def test_the_next_batching_window_starts_when_the_invocation_completes() -> None:
    mapping = harness(batching_window=20, feed=[record(1)]).mapping
    (first,) = invokes(mapping, START + 20)
    mapping.feed(SHARD, [record(2)], START + 21)
    mapping.finished(first.invocation_id, Returned(None), START + 50)
    assert mapping.next_wake(START + 50) == START + 70


def test_a_full_batch_does_not_wait_for_the_batching_window() -> None:
    mapping = harness(batching_window=300, batch_size=2, feed=records([1, 2, 3])).mapping
    assert [numbers(invoke.event) for invoke in invokes(mapping, START)] == [["1", "2"]]


def test_the_shards_end_does_not_wait_for_the_batching_window() -> None:
    mapping = harness(batching_window=300, feed=[record(1)]).mapping
    mapping.shard_end(SHARD)
    assert [numbers(invoke.event) for invoke in invokes(mapping, START)] == [["1"]]


def test_six_mebibytes_do_not_wait_for_the_batching_window() -> None:
    run = harness(batching_window=300, feed=records(range(1, 8), data=bytes(1_000_000)))
    (invoke,) = invokes(run.mapping, START)
    assert numbers(invoke.event) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("seed", range(5))
def test_an_event_never_exceeds_six_mebibytes_and_wastes_less_than_one_record(seed: int) -> None:
    rng = random.Random(seed)
    feed = [
        StreamRecord(str(n), "clé" * rng.randint(1, 80), rng.randbytes(rng.randint(0, 900_000)), START + rng.random())
        for n in range(1, 40)
    ]
    mapping = harness(feed=feed, batch_size=10_000).mapping
    sizes: list[int] = []
    batches: list[int] = []
    while batch := invokes(mapping, START):
        sizes.append(len(batch[0].payload()))
        batches.append(len(numbers(batch[0].event)))
        mapping.finished(batch[0].invocation_id, Returned(None), START)
    assert max(sizes) <= EVENT_LIMIT
    assert min(size + 1_300_000 for size in sizes[:-1]) > EVENT_LIMIT
    assert sum(batches) == 39


def size_of(feed: list[StreamRecord]) -> int:
    (invoke,) = invokes(harness(feed=feed, batch_size=100).mapping, START)
    return len(invoke.payload())


def filling(size: int, *, beside: int = 0) -> list[StreamRecord]:
    """Records `1` to `beside` and a last one, 100, that together make an event of exactly this many bytes."""
    small = records(range(1, beside + 1))
    base = size_of([*small, record(100, key="k", data=b"")])
    quads, rest = divmod(size - base, 4)
    return [*small, record(100, key="k" * (1 + rest), data=bytes(3 * quads))]


@pytest.mark.parametrize("beside", [0, 3])
def test_an_event_of_exactly_six_mebibytes_is_delivered_whole(beside: int) -> None:
    feed = filling(EVENT_LIMIT, beside=beside)
    (invoke,) = invokes(harness(feed=feed).mapping, START)
    assert (len(invoke.payload()), len(numbers(invoke.event))) == (EVENT_LIMIT, beside + 1)


def test_a_record_that_would_pass_the_limit_by_a_byte_waits_for_the_next_event() -> None:
    run = harness(feed=filling(EVENT_LIMIT + 1, beside=3)).run()
    assert run.batches == [["1", "2", "3"], ["100"]]


def test_a_record_that_is_too_big_by_a_byte_is_not_delivered() -> None:
    run = harness(feed=filling(EVENT_LIMIT + 1)).run()
    assert (run.batches, run.gone) == ([], [("RetryAttemptsExhausted", ["100"])])


def test_a_record_too_big_for_an_event_goes_to_the_destination_alone() -> None:
    big = record(5, data=bytes(EVENT_LIMIT))
    run = harness(feed=[record(4), big, record(6)]).run()
    assert (run.batches, run.gone) == ([["4"], ["6"]], [("RetryAttemptsExhausted", ["5"])])
    assert "responseContext" not in run.discarded[0].message
    assert run.mapping.checkpoint(SHARD) == "6"


def test_without_a_destination_a_discard_says_so() -> None:
    run = harness(feed=[record(5, data=bytes(EVENT_LIMIT))], on_failure=None).run()
    assert [discard.destination for discard in run.discarded] == [None]


def test_records_read_twice_are_fed_once() -> None:
    run = harness(feed=records([9, 10, 11]))
    run.mapping.feed(SHARD, records([9, 10, 11, 12]), START)
    assert run.run().batches == [["9", "10", "11", "12"]]


def test_the_checkpoint_follows_completed_invocations() -> None:
    mapping = harness(feed=records([1, 2, 3]), batch_size=2).mapping
    seen = [mapping.checkpoint(SHARD)]
    for _ in range(2):
        (invoke,) = invokes(mapping, START)
        seen.append(mapping.checkpoint(SHARD))
        mapping.finished(invoke.invocation_id, Returned(None), START)
        seen.append(mapping.checkpoint(SHARD))
    assert seen == [None, None, "2", "2", "3"]


def test_a_disabled_mapping_keeps_its_position_and_resumes_there() -> None:
    mapping = harness(feed=records([1, 2]), enabled=False).mapping
    assert (mapping.poll(START), mapping.next_wake(START), mapping.room(SHARD)) == ([], None, 0)
    mapping.enabled = True
    assert [numbers(invoke.event) for invoke in invokes(mapping, START)] == [["1", "2"]]


def test_a_shard_that_buffers_enough_has_no_room() -> None:
    mapping = harness(batch_size=10_000).mapping
    rooms = [mapping.room(SHARD)]
    for first in (1, 10_001):
        mapping.feed(SHARD, records(range(first, first + 10_000), data=b""), START)
        rooms.append(mapping.room(SHARD))
    assert rooms == [10_000, 10_000, 0]


def test_big_records_take_the_room_of_many() -> None:
    mapping = harness(feed=records(range(1, 11), data=bytes(1_000_000))).mapping
    assert mapping.room(SHARD) == 0


def test_an_unknown_shard_is_named() -> None:
    with pytest.raises(UsageError, match=r"shard 'x' is not known \(known: shardId-000000000000\)"):
        harness().mapping.feed("x", [], START)


def by_key(batches: list[list[str]], keys: dict[str, str], key: str) -> list[str]:
    return [n for batch in batches for n in batch if keys[n] == key]


def test_with_a_parallelisation_factor_lanes_run_beside_each_other_in_order_per_key() -> None:
    feed = [record(n, key=f"key{n % 7}") for n in range(1, 101)]
    keys = {r.sequence_number: r.partition_key for r in feed}
    run = harness(feed=feed, batch_size=5, parallelization_factor=4)
    assert len({numbers(i.event)[0] for i in invokes(run.mapping, START)}) > 1
    run = harness(feed=feed, batch_size=5, parallelization_factor=4).run()
    for key in sorted(set(keys.values())):
        order = [int(n) for n in by_key(run.batches, keys, key)]
        assert all(a < b for a, b in pairwise(order))
    assert sorted(int(n) for batch in run.batches for n in batch) == list(range(1, 101))


def test_with_a_parallelisation_factor_the_checkpoint_is_before_the_lowest_unfinished_record() -> None:
    mapping = harness(feed=[record(n, key=f"key{n}") for n in range(1, 31)], parallelization_factor=3).mapping
    flying = invokes(mapping, START)
    first, *others = sorted(flying, key=lambda invoke: int(numbers(invoke.event)[0]))
    for invoke in others:
        mapping.finished(invoke.invocation_id, Returned(None), START)
    assert (len(others) > 0, mapping.checkpoint(SHARD)) == (True, None)
    mapping.finished(first.invocation_id, Throttled(), START)
    assert mapping.checkpoint(SHARD) is None
    (again,) = invokes(mapping, START + 60)
    mapping.finished(again.invocation_id, Returned(None), START + 60)
    assert (mapping.checkpoint(SHARD), mapping.idle) == ("30", True)


@pytest.mark.parametrize(
    ("changes", "from_start", "expected"),
    [
        ({}, False, {"ShardIteratorType": "TRIM_HORIZON"}),
        ({"starting_position": "LATEST"}, False, {"ShardIteratorType": "LATEST"}),
        ({"starting_position": "LATEST"}, True, {"ShardIteratorType": "TRIM_HORIZON"}),
        (
            {"starting_position": "AT_TIMESTAMP", "starting_timestamp": START},
            True,
            {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": START},
        ),
    ],
)
def test_reading_begins_at_the_start_position(
    changes: dict[str, object], from_start: bool, expected: dict[str, object]
) -> None:
    mapping = Mapping(settings(**changes), random.Random(1))
    mapping.add_shard(SHARD, from_start=from_start)
    assert mapping.iterator(SHARD) == expected


def test_reading_goes_on_after_the_last_record_fed() -> None:
    mapping = harness(feed=records([1, 2]), starting_position="LATEST").mapping
    assert mapping.iterator(SHARD) == {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "2"}


def test_a_new_run_goes_on_after_the_checkpoint_of_the_last() -> None:
    mapping = Mapping(settings(), random.Random(1))
    mapping.add_shard(SHARD, after="41")
    assert (mapping.checkpoint(SHARD), mapping.iterator(SHARD)["StartingSequenceNumber"]) == ("41", "41")


def test_equal_seeds_give_equal_runs() -> None:
    first, second = (harness(feed=[record(5, data=bytes(EVENT_LIMIT))]).run() for _ in range(2))
    assert first.discarded == second.discarded
    assert all(isinstance(discard, Discard) for discard in first.discarded)
