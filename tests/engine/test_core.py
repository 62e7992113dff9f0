import math
from typing import Any

import pytest

from aetherstream.core import Core, identity_text
from aetherstream.errors import Rejected
from aetherstream.records import Events, Rejection
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
