import math
from collections.abc import Sequence
from typing import Any

import pytest

from aetherstream.core import Core, Prepared, identity_text
from aetherstream.errors import Rejected
from aetherstream.records import Events, Rejection
from aetherstream.sinks.s3 import S3Archive, by_field
from aetherstream.testing.builders import SHARD, JsonLists, kinesis_records
from tests.engine.harness import Steps, archive


def rejected(rejections: list[Rejection]) -> list[tuple[int, int | None, str, str, str]]:
    return [(r.record, r.sub, r.stage, r.where, r.reason) for r in rejections]


def test_chunks_make_what_the_whole_makes() -> None:
    payloads = [{"p": "a"}, [{"p": "b"}, 7], {"p": "a", "do": "split"}, "{", {"p": ["?"]}, {"do": "drop"}, {"p": "b"}]
    batch = kinesis_records(payloads)
    made = [
        Core(JsonLists(), sinks=[archive()], transform=Steps(), chunk=chunk).prepare(batch, 0, len(batch))
        for chunk in (1, 2, 3, 100)
    ]
    for done in made:
        done.timings.clear()
        done.rejections.sort(key=lambda r: (r.record, r.sub or 0))
        done.seen.sort()
    assert made[1:] == made[:1] * 3
    assert made[0].groups == {"archive": {"p=a": [0, 2, 3], "p=b": [1, 4]}}


def test_a_record_of_which_one_event_cant_be_placed_is_rejected_whole() -> None:
    class Halves(Steps):
        def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
            dropped = super().apply(events, rejections, timings)
            for value in events.values:
                value["p"] = ["no scalar"] if value.get("half") == 1 else "a"
            return dropped

    batch = kinesis_records([{"n": 1}, {"do": "split"}, {"n": 3}])
    done = Core(JsonLists(), sinks=[archive()], transform=Halves()).prepare(batch, 0, 3)
    assert done.events.ids == [f"{SHARD}:100:0", f"{SHARD}:120:0"]
    assert rejected(done.rejections) == [
        (1, 0, "partition", "sinks.archive.partition", "partition value is not a scalar")
    ]


def test_a_value_that_json_does_not_have_is_rejected_alone() -> None:
    class Odd(Steps):
        def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
            events.values[1]["odd"] = object()
            return 0

    done = Core(JsonLists(), transform=Odd()).prepare(kinesis_records([{}, {}, {}]), 0, 3)
    assert done.events.ids == [f"{SHARD}:100:0", f"{SHARD}:120:0"]
    assert rejected(done.rejections) == [(1, 0, "transform", "encode", "can't be written as JSON")]


def test_the_datas_own_identity_stands_in_the_line_and_is_the_key() -> None:
    done = Core(JsonLists(), identity=["order.id"]).prepare(kinesis_records([{"order": {"id": "o-1"}}]), 0, 1)
    assert (done.events.keys, done.events.ids) == (["o-1"], [f"{SHARD}:100:0"])
    assert done.events.line(0) == b'{"order":{"id":"o-1"},"_identity":"o-1","_event_id":"%s:100:0"}' % SHARD.encode()


class Numbers(S3Archive):
    """Stores the numbers of its events, and takes none above 9."""

    def __init__(self, name: str = "numbers") -> None:
        super().__init__(name, bucket="data", prefix=name, partition=[by_field("p")])
        self.rewrite = lambda values: b"".join(b"%d %s\n" % (v["n"], v["_event_id"].encode()) for v in values)

    def partition(self, events: Events, indices: Sequence[int], /) -> tuple[dict[str, list[int]], dict[int, Rejected]]:
        paths, refused = super().partition(events, [index for index in indices if events.values[index]["n"] < 10])
        return paths, refused | {index: Rejected("large") for index in indices if events.values[index]["n"] > 9}


class Routing(Steps):
    """Sends each event where its `to` says."""

    def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
        events.routes = [frozenset(value["to"]) for value in events.values]
        return 0


def stored(done: Prepared, sink: str) -> dict[str, bytes]:
    return {path: done.events.lines(members, sink) for path, members in done.groups[sink].items()}


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_a_sink_that_rewrites_stores_its_own_lines_and_the_others_those_that_all_share(chunk: int) -> None:
    batch = kinesis_records([{"p": "a", "n": 1}, [{"p": "b", "n": 2}, {"p": "a", "n": 3}]])
    done = Core(JsonLists(), sinks=[archive(), Numbers()], chunk=chunk).prepare(batch, 0, 2)
    assert stored(done, "numbers") == {
        "p=a": b"1 %s:100:0\n3 %s:110:1\n" % (SHARD.encode(), SHARD.encode()),
        "p=b": b"2 %s:110:0\n" % SHARD.encode(),
    }
    assert stored(done, "archive")["p=b"] == b'{"p":"b","n":2,"_event_id":"%s:110:0"}\n' % SHARD.encode()


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_only_events_that_go_to_a_sink_are_rewritten_for_it(chunk: int) -> None:
    payloads = [{"to": ["archive"]}, {"n": 1, "to": ["numbers"]}, {"to": []}, {"n": 2, "to": ["numbers", "archive"]}]
    core = Core(JsonLists(), sinks=[archive(), Numbers()], transform=Routing(), chunk=chunk)
    done = core.prepare(kinesis_records(payloads), 0, 4)
    rows = b"1 %s:110:0\n2 %s:130:0\n" % (SHARD.encode(), SHARD.encode())
    assert stored(done, "numbers") == {"p=__HIVE_DEFAULT_PARTITION__": rows}
    assert done.events.lines([3], "numbers") == rows.splitlines(keepends=True)[1]


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_what_is_refused_is_rewritten_for_no_sink(chunk: int) -> None:
    batch = kinesis_records([{"n": 1}, [{"n": 2}, {"n": 10}], {"n": 4}])
    done = Core(JsonLists(), sinks=[Numbers(), Numbers("more")], chunk=chunk).prepare(batch, 0, 3)
    rows = b"1 %s:100:0\n2 %s:110:0\n4 %s:120:0\n" % (SHARD.encode(), SHARD.encode(), SHARD.encode())
    assert stored(done, "numbers") == stored(done, "more") == {"p=__HIVE_DEFAULT_PARTITION__": rows}


@pytest.mark.parametrize("value", [{}, {"id": None}, {"id": {"a": 1}}, {"id": [1]}])
def test_a_record_without_its_identity_is_rejected(value: dict[str, Any]) -> None:
    done = Core(JsonLists(), identity=["id"]).prepare(kinesis_records([value, {"id": 7}]), 0, 2)
    assert (done.events.keys, rejected(done.rejections)) == (
        ["[7]"],
        [(0, 0, "transform", "identity", "identity is missing")],
    )


@pytest.mark.parametrize(
    ("parts", "text"),
    [(["o-1"], "o-1"), ([7], "[7]"), (["7"], "7"), (["a", "b"], '["a","b"]'), ([True], "[true]"), ([""], "")],
)
def test_an_identity_is_a_text_or_a_json_array(parts: list[Any], text: str) -> None:
    assert identity_text(parts) == text


def test_an_identity_of_more_than_512_bytes_is_rejected() -> None:
    assert identity_text(["é" * 256]) == "é" * 256
    with pytest.raises(Rejected, match="longer than 512 bytes"):
        identity_text(["é" * 256 + "a"])


def test_records_are_prepared_as_long_as_there_is_time() -> None:
    looks = iter([True, True, False])
    done = Core(JsonLists(), chunk=2).prepare(kinesis_records([{}] * 7), 1, 7, lambda: next(looks))
    assert (done.start, done.end, done.seen) == (1, 5, [1, 2, 3, 4])


def test_no_time_at_all_prepares_nothing() -> None:
    done = Core(JsonLists()).prepare(kinesis_records([{}]), 0, 1, lambda: False)
    assert (done.end, done.seen, math.fsum(done.timings.values())) == (0, [], 0.0)
