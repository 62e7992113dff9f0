import pytest

from aetherstream.core import Core
from aetherstream.decode import Decoder
from aetherstream.errors import UsageError
from aetherstream.recovery.placed import PlacedDecoder
from aetherstream.recovery.unit import distinct, without
from aetherstream.sinks.s3 import S3Archive
from aetherstream.testing.builders import SHARD, kinesis_records

ARCHIVE = S3Archive("archive", bucket="data", prefix="archive")


def prepared(payloads: list[object], subs: list[int | None]) -> tuple[list[str], list[tuple[int, int | None, str]]]:
    """Event ids and rejections of envelopes whose bytes had these indexes."""
    unit = kinesis_records(payloads)
    core = Core(Decoder(), sinks=[ARCHIVE]).decoding(lambda inner: PlacedDecoder(inner, subs))
    done = core.prepare(unit, 0, len(unit))
    ids = [event.removeprefix(f"{SHARD}:") for event in done.events.ids]
    return ids, [(refused.record, refused.sub, refused.reason) for refused in done.rejections]


def test_bytes_of_one_user_record_keep_their_index() -> None:
    assert prepared([{"a": 1}, {"a": 2}], [3, 0]) == (["100:3", "110:0"], [])


def test_whole_kinesis_records_are_told_apart_as_ever() -> None:
    assert prepared([[{"a": 1}, {"a": 2}]], [None]) == (["100:0", "100:1"], [])


def test_bytes_that_cant_be_opened_are_rejected_under_their_index() -> None:
    ids, ((record, sub, _),) = prepared([b"{not JSON"], [2])
    assert (ids, record, sub) == ([], 0, 2)


def test_bytes_that_are_several_user_records_now_would_take_the_indexes_of_others() -> None:
    assert prepared([[{"a": 1}, {"a": 2}], {"a": 3}], [1, 2]) == (["110:2"], [(0, 1, "several user records")])


def test_a_refusal_has_the_bytes_of_its_user_record() -> None:
    unit = kinesis_records([{"a": 1}])
    assert PlacedDecoder(Decoder(), [2]).payloads(unit, 0) == [b"", b"", b'{"a":1}']


def test_a_unit_without_repeats_is_left_as_it_is() -> None:
    unit = kinesis_records([1, 2, 3], sequences=[100, 100, 110])
    subs = [0, 1, None]
    assert distinct(unit, subs) == (unit, subs)


def test_what_is_there_twice_is_left_out_and_a_whole_record_covers_its_parts() -> None:
    unit = kinesis_records([1, 2, 3, 4, 5], sequences=[100, 100, 110, 110, 120])
    found, subs = distinct(unit, [0, 0, 4, None, 1])
    assert (found.sequences, found.data, subs) == (
        ["100", "110", "120"],
        [unit.data[index] for index in (0, 3, 4)],
        [0, None, 1],
    )


def test_records_out_of_order_are_refused_as_numbers_not_as_text() -> None:
    distinct(kinesis_records([1, 2], sequences=[90, 100]), None)
    with pytest.raises(UsageError, match="not in the order of the stream"):
        distinct(kinesis_records([1, 2], sequences=[100, 90]), None)


def test_named_kinesis_records_are_taken_out() -> None:
    unit = kinesis_records([1, 2, 3])
    assert without(unit, {f"{SHARD}:110", f"{SHARD}:100:0"}).sequences == ["100", "120"]
