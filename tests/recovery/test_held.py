import pytest

from aetherstream.delivery.put import put
from aetherstream.errors import ConfigurationError
from aetherstream.objects import Target, compressor
from aetherstream.quarantine import Quarantine
from aetherstream.records import Rejection
from aetherstream.recovery.held import Held, look_up
from aetherstream.testing.builders import SHARD, START, kinesis_records
from aetherstream.testing.stores import InlineExecutor, MemoryObjects

ARCHIVE = Target("data", "archive", "ndjson.gz")
QUARANTINE = Quarantine(bucket="data", prefix="quarantine", pipeline="flights")
UNIT = kinesis_records([{}, {}, {}])


class Store(MemoryObjects):
    """Notes what is read."""

    def __init__(self, now: float = START) -> None:
        super().__init__()
        self.now = now
        self.clock = lambda: self.now
        self.reads: list[str] = []

    def get(self, bucket: str, key: str, /) -> bytes | None:
        self.reads.append(key)
        return super().get(bucket, key)

    def add(self, key: str, *ids: str) -> None:
        body = b"".join(b'{"x":1,"_event_id":"%s"}\n' % f"{SHARD}:{event}".encode() for event in ids)
        compress = compressor("zstd" if key.endswith("zst") else "gzip", 1)
        put(self, "data", key, compress(body, 1), {}, 1)

    def refuse(self, key: str, *rejections: Rejection) -> None:
        put(self, "data", key, QUARANTINE.encode(rejections, UNIT, "v1", 1), {}, 1)

    def held(self, *excluded: str) -> Held:
        return look_up(
            UNIT,
            self,
            sinks=[("archive", ARCHIVE)],
            quarantine=QUARANTINE.target,
            excluded=excluded,
            executor=InlineExecutor(),
        )


def names(*events: str) -> set[str]:
    return {f"{SHARD}:{event}" for event in events}


@pytest.fixture
def store() -> Store:
    return Store()


def test_events_are_found_in_every_partition_and_compression(store: Store) -> None:
    store.add(f"archive/p=1/{SHARD}-003100-000000.ndjson.gz", "100:0", "110:1:2")
    store.add(f"archive/day=2/hour=07/{SHARD}-redrive-000000004.ndjson.zst", "120:0")
    held = store.held()
    assert held.events == {"archive": names("100:0", "110:1:2", "120:0")}
    assert held.records == names("100", "100:0", "110", "110:1", "120", "120:0")


def test_events_of_other_records_are_not_kept(store: Store) -> None:
    store.add(f"archive/p=1/{SHARD}-003090-000000.ndjson.gz", "90:0", "100:0", "105:0", "1000:0")
    assert store.held().events == {"archive": names("100:0")}


def test_objects_are_not_read_that_cant_hold_an_event_of_the_unit(store: Store) -> None:
    store.add(f"archive/p=1/{SHARD}-003121-000000.ndjson.gz", "121:0")
    store.add("archive/p=1/shardId-000000000001-003100-000000.ndjson.gz", "100:0")
    store.add(f"archive/p=1/{SHARD}-003100-000000.parquet", "100:0")
    store.add(f"archive/p=2/{SHARD}-003100-000000.ndjson.gz")
    store.add(f"archive/p=2/{SHARD}-003110-000000.ndjson.zst")
    store.add(f"archived/p=2/{SHARD}-003100-000000.ndjson.gz", "100:0")
    assert (store.held(), store.reads) == (Held(), [])


def test_objects_are_not_read_that_stood_before_the_units_first_arrival(store: Store) -> None:
    store.now = START - 901
    store.add(f"archive/p=1/{SHARD}-003100-000000.ndjson.gz", "100:0")
    store.now = START - 899
    store.add(f"archive/p=2/{SHARD}-003100-000000.ndjson.gz", "110:0")
    assert store.held().events == {"archive": names("110:0")}


def test_what_is_excluded_counts_as_empty(store: Store) -> None:
    store.add(f"archive/p=1/{SHARD}-003100-000000.ndjson.gz", "100:0")
    assert store.held(f"data/archive/p=1/{SHARD}-003100-000000.ndjson.gz") == Held()


def test_the_quarantine_tells_who_was_refused_whole_and_who_by_a_sink(store: Store) -> None:
    line = {"p": 1, "_event_id": f"{SHARD}:120:0:1"}
    store.refuse(
        f"quarantine/day=1/{SHARD}-003100-000000.ndjson.gz",
        Rejection(0, None, "decode", "decode", "not JSON", "not JSON"),
        Rejection(1, 3, "transform", "transforms[0]", "refused", "refused"),
        Rejection(2, 0, "deliver", "sinks.search", "mapping conflict", "no", event=line),
    )
    held = store.held()
    assert (held.quarantined, held.refused) == (names("100", "110:3"), {"search": names("120:0:1")})
    asked = ("100", "100:0", "110", "110:3", "110:2", "120:0")
    assert [held.in_quarantine(f"{SHARD}:{name}") for name in asked] == [True, True, False, True, False, False]


@pytest.mark.parametrize(
    "body", [b"x" * 50, compressor("gzip", 1)(b'{"no": "event id, and long enough to be read"}\n', 1)]
)
def test_an_object_that_cant_be_read_is_named(store: Store, body: bytes) -> None:
    key = f"archive/p=1/{SHARD}-003100-000000.ndjson.gz"
    store.overwrite("data", key, body, {})
    with pytest.raises(ConfigurationError, match=f"s3://data/{key} can't be read .*move it out of the sink's prefix"):
        store.held()


def test_an_object_that_vanishes_before_it_is_read_holds_nothing(store: Store) -> None:
    store.add(f"archive/p=1/{SHARD}-003100-000000.ndjson.gz", "100:0")
    listed = [*store.list("data", "archive/")]
    store.list = lambda *_: iter(listed)  # type: ignore[method-assign]
    store.objects.clear()
    assert store.held() == Held()
