import gzip
import tracemalloc
import zlib

import pytest

from aetherstream.decode.compression import Output, compression_of, expand, zstd_module
from aetherstream.errors import Rejected
from aetherstream.testing.events import gz, zst

zstd = zstd_module()
TEXT = b'{"a":1}' * 5
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
LIMIT = 1 << 20


def opened(data: bytes, limit: int = LIMIT) -> bytes:
    kind = compression_of(data)
    assert kind is not None
    return expand(data, Output(kind, limit))


def refusal(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(Rejected) as caught:
        opened(data, limit)
    return caught.value.reason


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (gz(TEXT), "gzip"),
        (zlib.compress(TEXT, 1), "zlib"),
        (zlib.compress(TEXT, 9), "zlib"),
        (zst(TEXT), "zstd"),
        (SKIPPABLE + zst(TEXT), "zstd"),
        (TEXT, None),
        (b"", None),
        (b"\x1f", None),
        (b"x", None),
        (b"\x28\xb5", None),
    ],
)
def test_the_first_bytes_tell_the_compression(data: bytes, kind: str | None) -> None:
    assert compression_of(data) == kind


@pytest.mark.parametrize(
    "data",
    [
        gz(TEXT, TEXT),
        gz(TEXT + TEXT) + b"\0" * 300,
        zlib.compress(TEXT * 2),
        zst(TEXT, TEXT),
        SKIPPABLE + zst(TEXT) + SKIPPABLE + zst(TEXT) + SKIPPABLE,
    ],
)
def test_all_members_are_expanded(data: bytes) -> None:
    assert opened(data) == TEXT * 2


def test_output_of_exactly_the_limit_is_accepted() -> None:
    text = bytes(range(256)) * 16

    for data in (gz(text), zlib.compress(text), zst(text)):
        assert opened(data, len(text)) == text
        assert refusal(data, len(text) - 1) == "expands too far"


def test_input_longer_than_one_chunk_is_read_to_its_end() -> None:
    text = b"".join(i.to_bytes(4, "big") for i in range(100_000))

    assert opened(gzip.compress(text, 0), 1 << 20) == text
    assert opened(zlib.compress(text, 0), 1 << 20) == text
    assert opened(zstd.compress(text, 1), 1 << 20) == text


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd"])
def test_every_truncation_is_noticed(kind: str) -> None:
    data = {"gzip": gz(TEXT), "zlib": zlib.compress(TEXT), "zstd": zst(TEXT)}[kind]

    assert {refusal(data[:end]) for end in range(4, len(data))} == {f"{kind}: truncated"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gz(TEXT)[:-8] + b"\0" * 8, "gzip: corrupt"),
        (gz(TEXT)[:10] + b"\xff" * 20, "gzip: corrupt"),
        (zlib.compress(TEXT)[:-1] + b"\0", "zlib: corrupt"),
        (zst(TEXT)[:4] + b"\xff" * 20, "zstd: corrupt"),
        (gz(TEXT) + b"rest", "gzip: trailing bytes"),
        (zlib.compress(TEXT) * 2, "zlib: trailing bytes"),
        (zst(TEXT) + b"rest", "zstd: trailing bytes"),
        (gz(*[b""] * 10_001), "gzip: too many members"),
    ],
)
def test_damage_is_named(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_a_zstd_frame_that_wants_a_huge_window_is_refused() -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    data = compressor.compress(TEXT) + compressor.flush()

    assert refusal(data) == "zstd: corrupt"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_never_takes_much_more_memory_than_the_limit(kind: str) -> None:
    zeros = b"\0" * (64 << 20)
    bomb = gzip.compress(zeros, 9) if kind == "gzip" else zstd.compress(zeros)
    del zeros
    limit = 4 << 20
    tracemalloc.start()
    try:
        assert refusal(bomb, limit) == "expands too far"
        assert tracemalloc.get_traced_memory()[1] < 3 * limit
    finally:
        tracemalloc.stop()
