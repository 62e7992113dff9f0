import pytest

from aetherstream.objects import Name, Target, is_named_by_bytes, key_by_bytes, name_of
from aetherstream.records import sortable
from aetherstream.testing.builders import SHARD

TARGET = Target("data", "flights/staging/warehouse", "ndjson.gz")
POSITION = f"{sortable('49590338271490256608559692538361571095921575989136588898')}-000000"


def test_a_key_reads_back_as_what_it_was_made_from() -> None:
    key = TARGET.key("day=2025-11-21/carrier=AA-1.5", SHARD, POSITION)
    assert name_of(TARGET, key) == Name("day=2025-11-21/carrier=AA-1.5/", SHARD, POSITION, "ndjson.gz")


def test_a_key_without_a_partition_reads_back() -> None:
    assert name_of(TARGET, TARGET.key("", SHARD, POSITION)) == Name("", SHARD, POSITION, "ndjson.gz")


@pytest.mark.parametrize("position", ["redrive-000000012", f"{POSITION}-0123456789abcdef"])
def test_objects_of_redrives_and_those_named_by_their_bytes_have_a_shard(position: str) -> None:
    assert name_of(TARGET, TARGET.key("a", SHARD, position)) == Name("a/", SHARD, position, "ndjson.gz")


def test_an_object_of_the_other_compression_is_known_by_its_name() -> None:
    key = TARGET.key("a", SHARD, POSITION).replace("gz", "zst")
    assert name_of(TARGET, key) == Name("a/", SHARD, POSITION, "ndjson.zst")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "flights/staging/warehouse",
        f"other/{SHARD}-{POSITION}.ndjson.gz",
        f"flights/staging/warehouse.manifests/{SHARD}-{POSITION}.ndjson.gz",
        f"flights/staging/warehouse/{SHARD}-{POSITION}.parquet",
        f"flights/staging/warehouse/{SHARD}-{POSITION}",
        f"flights/staging/warehouse/{SHARD}-{POSITION}-copy.ndjson.gz",
        "flights/staging/warehouse/readme.ndjson.gz",
        f"flights/staging/warehouse/-{POSITION}.ndjson.gz",
        f"flights/staging/warehouse/{SHARD}-redrive-x.ndjson.gz",
    ],
)
def test_no_other_key_is_an_object_of_a_sink(key: str) -> None:
    assert name_of(TARGET, key) is None


BY_BYTES = key_by_bytes(TARGET, b"rows")


def test_an_object_is_named_by_a_digest_of_its_bytes() -> None:
    assert BY_BYTES == "flights/staging/warehouse/f2305e3ea413d261c40604673f9fbe7d.ndjson.gz"


@pytest.mark.parametrize("key", [BY_BYTES, BY_BYTES.replace("gz", "zst")])
def test_such_an_object_is_known_by_its_name_in_either_compression_and_has_no_shard(key: str) -> None:
    assert (is_named_by_bytes(TARGET, key), name_of(TARGET, key)) == (True, None)


@pytest.mark.parametrize(
    "key",
    [
        "",
        BY_BYTES.removeprefix("flights/staging/warehouse/"),
        BY_BYTES.replace("warehouse/", "warehouse.manifests/"),
        BY_BYTES.replace("warehouse/", "warehouse/a/"),
        BY_BYTES.replace(".gz", ""),
        BY_BYTES.replace("warehouse/", "warehouse/0"),
        TARGET.key("", SHARD, POSITION),
    ],
)
def test_no_other_key_is_named_by_bytes(key: str) -> None:
    assert not is_named_by_bytes(TARGET, key)
