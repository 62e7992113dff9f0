from __future__ import annotations

import base64
from typing import Any

import pytest
from aws_kinesis_agg.deaggregator import deaggregate_records
from hypothesis import given
from hypothesis import strategies as st

from aetherstream.kpl import MAGIC, AggregatedRecord
from aetherstream.producer.aggregate import Aggregate, encode
from aetherstream.producer.model import Limits, UserRecord, user_record


def record(data: bytes, key: str = "pk1", hash_key: str | None = None) -> UserRecord:
    return user_record(data, key, Limits(), hash_key)


records = st.builds(
    record,
    st.binary(max_size=300),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    st.none() | st.integers(0, 2**128 - 1).map(str),
)


def test_the_published_vector_is_met() -> None:
    expected = "f3899ac20a03706b311a0508001a01611a0508001a0162a01f0b018ad53c9a4386c0b473c42e99"
    assert encode([record(b"a"), record(b"b")]).hex() == expected


@given(st.lists(records, min_size=1, max_size=200))
def test_the_size_is_known_before_encoding(taken: list[UserRecord]) -> None:
    aggregate = Aggregate(0.0)
    for one in taken:
        aggregate.add(one, aggregate.size_with(one))
    outer = taken[0].size - len(taken[0].data)
    assert aggregate.size == len(encode(taken)) + outer


@pytest.mark.parametrize("length", [0, 122, 123, 124, 125, 126, 127, 128, 16_370, 16_383, 16_384, 100_000])
def test_the_size_is_known_on_both_sides_of_each_longer_length_field(length: int) -> None:
    taken = [record(b"x" * length, f"key-{number}", str(number)) for number in range(130)]
    aggregate = Aggregate(0.0)
    for one in taken:
        aggregate.add(one, aggregate.size_with(one))
    assert aggregate.size == len(encode(taken)) + len("key-0") + len("0")


@given(st.lists(records, min_size=1, max_size=50))
def test_what_is_encoded_is_read_back_in_order(taken: list[UserRecord]) -> None:
    message = AggregatedRecord.FromString(encode(taken)[len(MAGIC) : -16])
    hash_keys = message.explicit_hash_key_table
    assert [
        (
            inner.data,
            message.partition_key_table[inner.partition_key_index],
            hash_keys[inner.explicit_hash_key_index] if inner.HasField("explicit_hash_key_index") else None,
        )
        for inner in message.records
    ] == [(one.data, one.partition_key, one.explicit_hash_key) for one in taken]


def test_the_library_of_aws_reads_it() -> None:
    data = encode([record(b"a", "k1"), record(b"b", "k2")])
    kinesis: dict[str, Any] = {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "k1",
        "sequenceNumber": "1",
        "data": base64.b64encode(data).decode(),
        "approximateArrivalTimestamp": 1545084650.987,
    }
    names = ("eventSource", "eventVersion", "eventID", "eventName", "invokeIdentityArn", "awsRegion", "eventSourceARN")
    event = {"kinesis": kinesis} | dict.fromkeys(names, "")
    inner = [one["kinesis"] for one in deaggregate_records([event])]
    assert [(one["partitionKey"], base64.b64decode(one["data"])) for one in inner] == [("k1", b"a"), ("k2", b"b")]
