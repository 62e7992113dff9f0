from typing import Any

import msgspec

from aetherstream.objects import Compression, lines_of
from aetherstream.records import Event, Events
from aetherstream.sinks.redshift import RedshiftStaging
from aetherstream.sinks.s3 import by_field, by_time
from aetherstream.testing.builders import SHARD, START, kinesis_records
from aetherstream.testing.contract import ObjectSinkContract, ObjectSubject, columns, deliver
from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.types import column_type

CONTRACT = Contract(
    "events",
    (
        Column("n", column_type("integer"), nullable=False),
        Column("p", column_type("char(1)")),
        Column("text", column_type("super")),
    ),
)


def staging(compression: Compression = "gzip", **more: Any) -> RedshiftStaging:
    return RedshiftStaging("warehouse", CONTRACT, bucket="data", prefix="staging", compression=compression, **more)


class StagingContract(ObjectSinkContract):
    compression: Compression = "gzip"

    def subject(self) -> ObjectSubject:
        return ObjectSubject(staging(self.compression))

    def test_an_oversize_event_is_stored_whole(self) -> None:
        """Kinesis: 1 MiB a record and more; COPY takes 4 MB a row, and of a SUPER value texts of 65,535 bytes."""
        subject = self.subject()
        large = {**subject.samples()[0], "text": ["x" * 65_535] * 60}
        deliver(subject, subject.store, kinesis_records([large]))
        (found,) = [msgspec.json.decode(line) for key, body in subject.read().items() for line in lines_of(key, body)]
        assert found["text"] == large["text"]


class TestStagingInGzip(StagingContract):
    compression = "gzip"


class TestStagingInZstd(StagingContract):
    compression = "zstd"


del StagingContract


def placed(sink: RedshiftStaging, values: list[Event], indices: list[int] | None = None) -> tuple[Any, Any]:
    events = Events(values, list(range(len(values))), [0] * len(values), times=[START] * len(values))
    paths, refused = sink.partition(events, range(len(values)) if indices is None else indices)
    return paths, {index: error.reason for index, error in refused.items()}


def test_rows_go_by_the_day_of_their_event_time() -> None:
    assert placed(staging(), [{"n": 1}, {"n": 2}]) == ({"day=2025-11-21": [0, 1]}, {})


def test_the_path_may_be_another() -> None:
    sink = staging(partition=[by_time("hour"), by_field("p")])
    assert placed(sink, [{"n": 1, "p": "a"}]) == ({"hour=08/p=a": [0]}, {})


def test_what_the_table_would_refuse_is_refused_alone() -> None:
    values: list[Event] = [{"n": 1}, {"n": "one"}, {"n": 3}, {}]
    assert placed(staging(), values) == (
        {"day=2025-11-21": [0, 2]},
        {1: "column n is a text that integer can't hold", 3: "column n is null or missing, and may not be"},
    )


def test_of_some_events_only_these_are_judged() -> None:
    assert placed(staging(), [{"n": "one"}, {"n": 2}, {}, {"n": "four"}], [1, 3]) == (
        {"day=2025-11-21": [1]},
        {3: "column n is a text that integer can't hold"},
    )


def test_what_can_neither_be_loaded_nor_placed_is_refused_once() -> None:
    sink = staging(partition=[by_field("tags")])
    assert placed(sink, [{"n": 1, "tags": []}, {"n": "x", "tags": []}, {"n": 1}]) == (
        {"tags=__HIVE_DEFAULT_PARTITION__": [2]},
        {0: "partition value is not a scalar", 1: "column n is a text that integer can't hold"},
    )


def test_an_object_holds_the_rows_of_its_events() -> None:
    subject = ObjectSubject(staging())
    deliver(subject, subject.store, kinesis_records([{"n": 1, "p": "a", "x": 1}, {"n": 2, "text": [3]}]))
    (held,) = [lines_of(key, body) for key, body in subject.read().items()]
    assert [msgspec.json.decode(line) for line in held] == [
        {"_event_id": f"{SHARD}:100:0", "n": 1, "p": "a", "text": None},
        {"_event_id": f"{SHARD}:110:0", "n": 2, "p": None, "text": [3]},
    ]


def test_a_refused_event_is_quarantined_and_the_others_are_staged() -> None:
    subject = ObjectSubject(staging())
    report = deliver(subject, subject.store, kinesis_records([{"n": 1}, {"n": 2**31}, {"n": 3}]))
    assert (report.error, report.quarantined, report.reasons) == (
        None,
        1,
        {"partition: column n is out of range for integer": 1},
    )
    found = [msgspec.json.decode(line)["n"] for key, body in subject.read().items() for line in lines_of(key, body)]
    assert found == [1, 3]


def test_columns_of_the_contracts_samples_pass() -> None:
    assert staging().partition(columns([{"n": 1, "p": "a"}]), [0])[1] == {}
