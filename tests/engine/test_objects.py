import gzip

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.objects import Compression, Target, compressor, empty_object
from aetherstream.testing.builders import decompressed


@pytest.mark.parametrize(("compression", "level"), [("gzip", 0), ("gzip", 3), ("zstd", 1), ("zstd", 9)])
def test_every_level_reads_back(compression: Compression, level: int) -> None:
    assert decompressed(compressor(compression, level)(b"line\n" * 1000, 7)) == b"line\n" * 1000


@pytest.mark.parametrize(("compression", "level"), [("gzip", 4), ("gzip", -1), ("zstd", 0), ("zstd", 23)])
def test_a_level_that_does_not_exist_is_named_at_once(compression: Compression, level: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{compression} level {level}: it must be"):
        compressor(compression, level)


def test_gzip_carries_the_epoch_as_its_time() -> None:
    body = compressor("gzip", 1)(b"line\n", 1234)
    assert int.from_bytes(body[4:8], "little") == 1234
    assert gzip.decompress(body) == b"line\n"


def test_zstd_carries_the_epoch_in_a_trailing_skippable_frame() -> None:
    body = compressor("zstd", 3)(b"line\n", 1234)
    assert body[-16:] == b"\x50\x2a\x4d\x18\x08\x00\x00\x00" + (1234).to_bytes(8, "little")
    assert body[:4] == b"\x28\xb5\x2f\xfd"


@pytest.mark.parametrize(("key", "magic"), [("a/b.ndjson.gz", b"\x1f\x8b"), ("a/b.ndjson.zst", b"\x28\xb5")])
def test_an_empty_object_is_of_its_keys_compression_and_epoch(key: str, magic: bytes) -> None:
    assert (empty_object(key, 1)[:2], decompressed(empty_object(key, 1))) == (magic, b"")
    assert empty_object(key, 1) != empty_object(key, 2)


def test_a_key_names_partition_shard_and_position() -> None:
    target = Target("bucket", "archive", "ndjson.gz")
    assert target.key("day=1", "shardId-0", "003100-000000") == "archive/day=1/shardId-0-003100-000000.ndjson.gz"
    assert target.key("", "shardId-0", "003100-000000") == "archive/shardId-0-003100-000000.ndjson.gz"
