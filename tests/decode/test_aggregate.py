import pytest

from aetherstream import kpl as messages
from aetherstream.decode.aggregate import is_aggregate, open_aggregate
from aetherstream.errors import Rejected
from aetherstream.testing.events import kpl, kpl_message

VECTOR = bytes.fromhex("f3899ac20a03706b311a0508001a01611a0508001a0162a01f0b018ad53c9a4386c0b473c42e99")
KEY = bytes.fromhex("0a03706b31")
"""`partition_key_table: "pk1"`."""


def reasons(message: bytes) -> tuple[list[bytes], dict[int, str]]:
    parts, refused = open_aggregate(kpl_message(message))
    return parts, {i: r.reason for i, r in refused.items()}


def test_the_published_vector_opens() -> None:
    assert is_aggregate(VECTOR)
    assert open_aggregate(VECTOR) == ([b"a", b"b"], {})


def test_the_builder_writes_the_published_vector() -> None:
    assert kpl([b"a", b"b"], ["pk1", "pk1"]) == VECTOR


def test_explicit_hash_keys_are_accepted() -> None:
    message = messages.AggregatedRecord(partition_key_table=["k"], explicit_hash_key_table=["0", "1"])
    message.records.add(partition_key_index=0, explicit_hash_key_index=1, data=b"a")
    message.records.add(partition_key_index=0, data=b"b")

    assert reasons(message.SerializeToString()) == ([b"a", b"b"], {})


def test_a_key_index_out_of_range_refuses_that_sub_record_alone() -> None:
    message = messages.AggregatedRecord(partition_key_table=["k"])
    for index, data in enumerate([b"a", b"b"]):
        message.records.add(partition_key_index=index, data=data)

    assert reasons(message.SerializeToString()) == ([b"a", b"b"], {1: "KPL aggregate: index out of range"})


@pytest.mark.parametrize("table", [[], ["0"]])
def test_a_hash_key_index_out_of_range_refuses_that_sub_record_alone(table: list[str]) -> None:
    message = messages.AggregatedRecord(partition_key_table=["k"], explicit_hash_key_table=table)
    message.records.add(partition_key_index=0, data=b"a")
    message.records.add(partition_key_index=0, explicit_hash_key_index=len(table), data=b"b")

    assert reasons(message.SerializeToString()) == ([b"a", b"b"], {1: "KPL aggregate: index out of range"})


def test_a_sub_record_without_key_or_data_is_refused_alone() -> None:
    sound, no_data, no_key = (bytes.fromhex(h) for h in ("1a0508001a0161", "1a020800", "1a031a0162"))

    assert reasons(KEY + sound + no_data + no_key) == (
        [b"a", b"", b"b"],
        {1: "KPL aggregate: incomplete sub-record", 2: "KPL aggregate: incomplete sub-record"},
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (VECTOR[:4], "KPL aggregate: truncated"),
        (VECTOR[:20], "KPL aggregate: truncated"),
        (VECTOR[:-1], "KPL aggregate: checksum mismatch"),
        (VECTOR[:-1] + b"\0", "KPL aggregate: checksum mismatch"),
        (kpl_message(KEY + b"\x1a\x05"), "KPL aggregate: unreadable message"),
        (kpl_message(KEY), "KPL aggregate: no records"),
    ],
)
def test_an_aggregate_that_cannot_be_trusted_is_refused_as_a_whole(data: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as caught:
        open_aggregate(data)

    assert caught.value.reason == reason
