from __future__ import annotations

import re

import pytest

from aetherstream.errors import UsageError
from aetherstream.producer.model import Limits, RecordRefused, user_record


def test_a_record_of_exactly_the_limit_is_taken() -> None:
    assert user_record(b"x" * 7, "key", Limits(record_bytes=10, aggregate_bytes=10)).size == 10


def test_a_record_over_the_limit_is_refused_with_the_limit_named() -> None:
    with pytest.raises(RecordRefused, match="has 11 bytes with its key; the limit is 10 \\(record_bytes") as caught:
        user_record(b"x" * 8, "key", Limits(record_bytes=10, aggregate_bytes=10))
    assert caught.value.reason == "record too large"


def test_the_default_limit_is_one_mebibyte_with_the_key() -> None:
    assert user_record(b"x" * (2**20 - 3), "key", Limits()).size == 2**20
    with pytest.raises(RecordRefused):
        user_record(b"x" * (2**20 - 2), "key", Limits())


@pytest.mark.parametrize("key", ["", "k" * 257])
def test_a_partition_key_has_1_to_256_characters(key: str) -> None:
    with pytest.raises(RecordRefused, match=f"has {len(key)} characters; Kinesis takes 1 to 256"):
        user_record(b"", key, Limits())


def test_a_key_is_measured_in_bytes() -> None:
    assert user_record(b"", "ÅØ", Limits()).size == 4


@pytest.mark.parametrize("hash_key", ["", "-1", "01", "1.5", "x", "٣", str(2**128)])
def test_an_explicit_hash_key_is_a_decimal_number_below_two_to_the_128(hash_key: str) -> None:
    with pytest.raises(RecordRefused, match=re.escape(repr(hash_key))):
        user_record(b"", "key", Limits(), hash_key)


def test_text_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match="data must be bytes, not str: encode it first"):
        user_record("text", "key", Limits())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "limits",
    [
        {"request_records": 501},
        {"request_records": 0},
        {"request_bytes": 11 * 2**20},
        {"request_bytes": 2**20 - 1},
        {"record_bytes": 11 * 2**20},
        {"aggregate_bytes": 2**20 + 1},
    ],
)
def test_limits_that_aws_would_not_keep_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(limits))):
        Limits(**limits)
