from __future__ import annotations

import pytest

from aetherstream.producer.model import Limits, user_record
from aetherstream.producer.shards import ShardMap
from aetherstream.testing.kinesis import FakeKinesis

LAST = 2**128 - 1


def test_a_key_belongs_to_the_shard_whose_range_holds_it() -> None:
    shards = ShardMap([(0, 9, "a"), (10, 19, "b")])
    assert [shards.shard_of(key) for key in (0, 9, 10, 19)] == ["a", "a", "b", "b"]


def test_a_key_outside_all_ranges_belongs_to_none() -> None:
    shards = ShardMap([(5, 9, "a"), (20, 29, "b")])
    assert [shards.shard_of(key) for key in (4, 10, 30)] == [None, None, None]


def test_closed_shards_are_left_out() -> None:
    kinesis = FakeKinesis(1)
    kinesis.split("shardId-000000000000")
    shards = ShardMap.from_list_shards(kinesis.list_shards(StreamName="events")["Shards"])
    assert [shards.shard_of(key) for key in (0, LAST)] == ["shardId-000000000001", "shardId-000000000002"]


def test_maps_with_the_same_ranges_are_equal() -> None:
    assert ShardMap([(0, 9, "a"), (10, 19, "b")]) == ShardMap([(10, 19, "b"), (0, 9, "a")])


@pytest.mark.parametrize(
    ("hash_key", "expected"),
    [(None, 0xCFCD208495D565EF66E7DFF9F98764DA), ("170141183460469231731687303715884105728", 2**127)],
)
def test_the_hash_key_is_the_explicit_one_or_md5_of_the_partition_key(hash_key: str | None, expected: int) -> None:
    assert user_record(b"", "0", Limits(), hash_key).hash_key == expected
