from __future__ import annotations

from aetherstream.producer.model import Limits, Timing
from aetherstream.producer.shards import ShardMap
from tests.producer.driving import Driver, failed, ok, texts

HALF = 2**127
LAST = 2**128 - 1
TWO = ShardMap([(0, HALF - 1, "low"), (HALF, LAST, "high")])
FOUR = ShardMap(
    [
        (0, HALF // 2 - 1, "low-0"),
        (HALF // 2, HALF - 1, "low-1"),
        (HALF, HALF + HALF // 2 - 1, "high-0"),
        (HALF + HALF // 2, LAST, "high-1"),
    ]
)
# Hash keys in the four quarters.
Q0, Q1, Q2, Q3 = (str(quarter * (HALF // 2) + 5) for quarter in range(4))


def by_shard(*, ordered: bool = False, shards: ShardMap = TWO) -> Driver:
    driver = Driver(aggregation="shard", ordered=ordered)
    assert driver.core.wants_shards(0.0)
    driver.core.use_shards(shards)
    return driver


def test_keys_do_not_mix_when_aggregating_by_key() -> None:
    driver = Driver(aggregation="key")
    for text, key in (("a", "k"), ("b", "l"), ("c", "k"), ("d", "l")):
        driver.put(text, key)
    assert driver.sent() == ["a+c", "b+d"]


def test_an_aggregate_is_closed_before_it_passes_its_size() -> None:
    driver = Driver(aggregation="key", limits=Limits(aggregate_bytes=60))
    for text in ("aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"):
        driver.put(text)
    batch = driver.take()
    assert texts(batch) == ["aaaaaaaaaa+bbbbbbbbbb", "cccccccccc"]
    assert batch is not None
    request = batch.entries[0].request()
    assert len(request["Data"]) + len(request["PartitionKey"]) <= 60


def test_a_record_that_no_aggregate_could_hold_goes_alone_and_in_its_turn() -> None:
    driver = Driver(aggregation="key", limits=Limits(aggregate_bytes=60))
    for text in ("a", "b", "x" * 100, "c"):
        driver.put(text)
    assert driver.sent() == ["a+b", "x" * 100, "c"]


def test_a_single_record_is_not_wrapped() -> None:
    driver = Driver(aggregation="key")
    driver.put("a", "k", "7")
    batch = driver.take()
    assert batch is not None
    assert [entry.request() for entry in batch.entries] == [{"Data": b"a", "PartitionKey": "k", "ExplicitHashKey": "7"}]


def test_an_aggregate_goes_under_the_keys_of_its_first_record() -> None:
    driver = by_shard()
    driver.put("a", "k", Q0)
    driver.put("b", "l", Q1)
    batch = driver.take()
    assert batch is not None
    request = batch.entries[0].request()
    assert (request["PartitionKey"], request["ExplicitHashKey"]) == ("k", Q0)


def test_shards_do_not_mix_when_aggregating_by_shard() -> None:
    driver = by_shard()
    for text, hash_key in (("a", Q0), ("b", Q3), ("c", Q1), ("d", Q2)):
        driver.put(text, text, hash_key)
    assert driver.sent() == ["a+c", "b+d"]


def test_records_with_and_without_a_hash_key_do_not_share_an_aggregate() -> None:
    driver = by_shard(shards=ShardMap([(0, LAST, "only")]))
    for text, hash_key in (("a", Q0), ("b", None), ("c", Q1), ("d", None)):
        driver.put(text, text, hash_key)
    assert driver.sent() == ["a+c", "b+d"]


def test_a_key_in_a_hole_of_the_shard_map_goes_alone_and_asks_for_a_fresh_map() -> None:
    driver = by_shard(shards=ShardMap([(0, HALF - 1, "low")]))
    driver.put("a", "k", Q3)
    driver.put("b", "k", Q3)
    assert driver.sent() == ["a", "b"]
    assert (driver.core.wants_shards(0.5), driver.core.wants_shards(1.0)) == (False, True)


def test_the_shard_map_is_asked_for_again_by_age() -> None:
    driver = by_shard()
    assert (driver.core.wants_shards(299.0), driver.core.wants_shards(300.0)) == (False, True)


def test_a_failed_listing_is_repeated_soon() -> None:
    driver = by_shard()
    assert [driver.core.wants_shards(at) for at in (300.0, 300.5, 301.0)] == [True, False, True]


def test_a_put_that_lands_in_another_shard_asks_for_a_fresh_map() -> None:
    driver = by_shard()
    driver.put("a", "k", Q0)
    driver.put("b", "k", Q1)
    batch = driver.take()
    assert batch is not None
    driver.answer(batch, ok(0, "low-0"))
    assert (driver.core.counters.misrouted, driver.core.wants_shards(1.0)) == (1, True)


def test_a_put_that_lands_where_it_should_asks_for_nothing() -> None:
    driver = by_shard()
    driver.put("a", "k", Q0)
    batch = driver.take()
    assert batch is not None
    driver.answer(batch, ok(0, "low"))
    assert not driver.core.wants_shards(1.0)


def test_an_aggregate_of_an_old_map_is_cut_before_it_is_sent() -> None:
    driver = by_shard()
    for text, hash_key in (("a", Q0), ("b", Q1), ("c", Q0), ("d", Q1)):
        driver.put(text, text, hash_key)
    driver.core.use_shards(FOUR)
    assert driver.sent() == ["a+c", "b+d"]


def test_an_aggregate_that_failed_under_an_old_map_is_cut_before_its_retry() -> None:
    driver = by_shard()
    for text, hash_key in (("a", Q0), ("b", Q1)):
        driver.put(text, text, hash_key)
    batch = driver.take()
    assert batch is not None
    driver.core.use_shards(FOUR)
    driver.answer(batch, failed())
    driver.now = 1.0
    assert driver.sent() == ["a", "b"]
    assert driver.core.idle


def test_the_same_map_again_changes_nothing() -> None:
    driver = Driver(aggregation="shard", timing=Timing(linger=5.0))
    driver.core.use_shards(TWO)
    driver.put("a", "k", Q0)
    driver.core.use_shards(ShardMap([(HALF, LAST, "high"), (0, HALF - 1, "low")]))
    driver.put("b", "k", Q0)
    driver.core.flush()
    assert driver.sent() == ["a+b"]


def test_after_a_new_map_an_ordered_key_waits_for_what_was_put_under_the_old_one() -> None:
    driver = by_shard(ordered=True)
    driver.put("a", "k", Q0)
    batch = driver.take()
    assert batch is not None
    driver.core.use_shards(FOUR)
    driver.put("b", "k", Q0)
    assert driver.sent() == []
    driver.answer(batch, failed())
    driver.now = 1.0
    assert [driver.sent(), driver.sent(), driver.sent()] == [["a"], ["b"], []]


def test_the_pieces_of_a_cut_aggregate_keep_their_lane() -> None:
    driver = by_shard(ordered=True)
    for text, hash_key in (("a", Q0), ("b", Q1), ("c", Q0)):
        driver.put(text, text, hash_key)
    driver.core.use_shards(FOUR)
    driver.put("d", "a", Q0)
    assert [driver.sent(), driver.sent(), driver.sent()] == [["a+c"], ["b"], ["d"]]
    assert driver.core.idle


def test_the_pieces_of_a_cut_aggregate_go_before_what_waits_in_their_lane() -> None:
    driver = by_shard(ordered=True)
    for text, hash_key in (("a", Q0), ("b", Q1)):
        driver.put(text, text, hash_key)
    driver.core.flush()
    driver.put("b2", "b", Q1)
    driver.core.flush()
    driver.core.use_shards(FOUR)
    assert [driver.sent(), driver.sent(), driver.sent()] == [["a"], ["b"], ["b2"]]
