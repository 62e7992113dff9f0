from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from aetherstream.testing.kinesis import Fail, FakeKinesis, Refuse, client_error


def put(kinesis: FakeKinesis, *entries: dict[str, Any]) -> dict[str, Any]:
    return kinesis.put_records(StreamName="events", Records=list(entries))


def entry(data: bytes = b"a", key: str = "key", **more: str) -> dict[str, Any]:
    return {"Data": data, "PartitionKey": key, **more}


def test_an_answer_has_one_result_for_each_entry_in_order() -> None:
    kinesis = FakeKinesis(script=[Refuse({1: "InternalFailure"})])
    answer = put(kinesis, entry(), entry(), entry())
    assert answer == {
        "FailedRecordCount": 1,
        "Records": [
            {"SequenceNumber": "100000000000000000001", "ShardId": "shardId-000000000000"},
            {"ErrorCode": "InternalFailure", "ErrorMessage": "scripted"},
            {"SequenceNumber": "100000000000000000002", "ShardId": "shardId-000000000000"},
        ],
    }


def test_the_explicit_hash_key_chooses_the_shard() -> None:
    answer = put(FakeKinesis(2), entry(ExplicitHashKey="0"), entry(ExplicitHashKey=str(2**128 - 1)))
    assert [result["ShardId"] for result in answer["Records"]] == ["shardId-000000000000", "shardId-000000000001"]


def test_the_hash_of_the_partition_key_chooses_the_shard() -> None:
    # MD5("a") begins with 0c, MD5("b") with 92.
    answer = put(FakeKinesis(2), entry(key="a"), entry(key="b"))
    assert [result["ShardId"] for result in answer["Records"]] == ["shardId-000000000000", "shardId-000000000001"]


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([entry()] * 501, "ValidationException"),
        ([], "ValidationException"),
        ([entry(b"x" * 2**20)], "InvalidArgumentException"),
        ([entry(b"x" * (2**20 - 3))] * 11, "InvalidArgumentException"),
    ],
)
def test_the_limits_of_put_records_hold(entries: list[dict[str, Any]], code: str) -> None:
    with pytest.raises(ClientError, match=code):
        put(FakeKinesis(), *entries)


def test_a_lost_answer_leaves_the_records_stored() -> None:
    kinesis = FakeKinesis(script=[Fail(client_error("InternalFailure"), lost_answer=True)])
    with pytest.raises(ClientError, match="InternalFailure"):
        put(kinesis, entry())
    assert [record.data for _, record in kinesis.stored()] == [b"a"]


def test_a_split_closes_the_parent_and_halves_its_range() -> None:
    kinesis = FakeKinesis()
    put(kinesis, entry())
    kinesis.split("shardId-000000000000")
    shards = kinesis.list_shards(StreamName="events")["Shards"]
    assert [
        (shard["HashKeyRange"], shard.get("ParentShardId"), "EndingSequenceNumber" in shard["SequenceNumberRange"])
        for shard in shards
    ] == [
        ({"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}, None, True),
        ({"StartingHashKey": "0", "EndingHashKey": str(2**127 - 1)}, "shardId-000000000000", False),
        ({"StartingHashKey": str(2**127), "EndingHashKey": str(2**128 - 1)}, "shardId-000000000000", False),
    ]
