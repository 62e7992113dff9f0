"""The redo log: what goes in comes out, in bytes that tell attempts apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aetherstream.aggregates.aggregate import Aggregate
from aetherstream.aggregates.serial import UnreadableState
from aetherstream.aggregates.windows import Hopping, Tumbling
from aetherstream.delivery.aggregates.log import (
    Log,
    LogLost,
    get_log,
    log_key,
    read_log,
    write_log,
)
from aetherstream.delivery.pending import Pending, from_attribute, to_attribute
from aetherstream.testing.stores import MemoryObjects
from tests.delivery.aggregate_support import HOURLY, OUTPUTS, VISITS, partials

ROWS = [("AA", 3600, 1), ("AA", 3700, 2), ('U"A#', 8000, 5), ("", -10, 7)]
WRITTEN = 1_763_712_000
BOTH = {"hourly": HOURLY, "visits": VISITS}
PARTIALS = partials(ROWS) | partials(ROWS, VISITS)


def test_a_log_reads_back() -> None:
    assert read_log(write_log(BOTH, PARTIALS, 7, WRITTEN), BOTH) == Log(7, WRITTEN, PARTIALS)


def test_a_log_of_nothing_reads_back() -> None:
    assert read_log(write_log(BOTH, {}, 7, WRITTEN), BOTH) == Log(7, WRITTEN, {})


def test_overlapping_windows_read_back() -> None:
    hopping = Aggregate("hopping", (), Hopping(60, 20), OUTPUTS)
    made = partials(ROWS, hopping)
    assert read_log(write_log({"hopping": hopping}, made, 7, WRITTEN), {"hopping": hopping}) == Log(7, WRITTEN, made)


def test_two_attempts_have_different_bytes() -> None:
    assert write_log(BOTH, PARTIALS, 7, WRITTEN) != write_log(BOTH, PARTIALS, 8, WRITTEN)


def test_one_attempt_has_the_same_bytes_every_time() -> None:
    assert write_log(BOTH, PARTIALS, 7, WRITTEN) == write_log(BOTH, PARTIALS, 7, WRITTEN)


@pytest.mark.parametrize(
    "now",
    [{"visits": VISITS}, {"visits": VISITS, "hourly": replace(HOURLY, windows=Tumbling(60))}],
    ids=["removed", "declared otherwise"],
)
def test_what_is_no_longer_declared_so_is_told_apart(now: dict[str, Aggregate]) -> None:
    log = read_log(write_log(BOTH, PARTIALS, 7, WRITTEN), now)
    others = tuple((HOURLY.fingerprint, key) for key in partials(ROWS))
    assert log == Log(7, WRITTEN, partials(ROWS, VISITS), others)


def test_a_log_of_a_later_version_is_refused_by_name() -> None:
    data = write_log(BOTH, PARTIALS, 7, WRITTEN)
    with pytest.raises(UnreadableState, match="a redo log of aggregates has format 2, and this version reads 1 to 1"):
        read_log(b"\x02" + data[1:], BOTH)


def test_a_damaged_log_is_refused() -> None:
    data = write_log(BOTH, PARTIALS, 7, WRITTEN)
    for broken in (data[:-1], data + b"x", data[:20] + b"!" + data[21:]):
        with pytest.raises(UnreadableState, match="damaged"):
            read_log(broken, BOTH)


def test_every_epoch_of_a_shard_has_a_key_of_its_own() -> None:
    assert log_key("p/log", "shardId-000000000001", 7) == "p/log/shardId-000000000001/000000000007.log"


def test_a_log_is_found_inline_or_in_its_object() -> None:
    objects = MemoryObjects()
    objects.overwrite("b", "k", b"in S3", {})
    assert get_log(objects, Pending(1, inline=b"here")) == b"here"
    assert get_log(objects, Pending(1, bucket="b", key="k")) == b"in S3"


def test_a_log_that_is_gone_is_told_with_what_to_do() -> None:
    with pytest.raises(LogLost, match=r"s3://b/k, the redo log of commit 3, is gone.*restore that version"):
        get_log(MemoryObjects(), Pending(3, bucket="b", key="k"))


@pytest.mark.parametrize("pending", [Pending(3, inline=b"\x00\xff"), Pending(2**60, bucket="b", key="p/k.log")])
def test_what_is_pending_survives_its_attribute_value(pending: Pending) -> None:
    assert from_attribute(to_attribute(pending)) == pending
