"""What a candidate would change is told by event and field, and where a record goes instead."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from aetherstream.core import Core
from aetherstream.records import Events, Rejection
from aetherstream.recovery.shadow import Cause, Change, Diff, Example, Made, SinkDiff, changes_of, make
from aetherstream.sinks.redshift import RedshiftStaging
from aetherstream.sinks.s3 import S3Archive, by_field
from aetherstream.testing.builders import SHARD, JsonLists, kinesis_records
from aetherstream.warehouse.contract import Column, Contract
from aetherstream.warehouse.types import ColumnType

UNKNOWN = Cause("transform", "transforms[0]", "unknown")


class Doing:
    """Steps: sets fields, drops and rejects where a field has these values."""

    def __init__(self, *, drop: object = "none", reject: object = "none", put: dict[str, Any] | None = None) -> None:
        self.drop, self.reject, self.put = drop, reject, put or {}

    def apply(self, events: Events, rejections: list[Rejection], timings: Any = None, /) -> int:
        flags = []
        dropped = 0
        for value, record, sub in zip(events.values, events.records, events.subs, strict=True):
            if value["n"] == self.reject:
                rejections.append(Rejection(record, sub, *_cause(), f"n is {value['n']}"))
            dropped += value["n"] == self.drop
            flags.append(value["n"] not in (self.drop, self.reject))
            value.update(self.put)
        events.keep(flags)
        return dropped


def _cause() -> tuple[str, str, str]:
    return UNKNOWN.stage, UNKNOWN.where, UNKNOWN.reason


def core(steps: Doing | None = None, *sinks: str) -> Core:
    made = [S3Archive(name, bucket="data", prefix=name, partition=[by_field("p")]) for name in sinks or ("archive",)]
    return Core(JsonLists(), sinks=made, transform=steps or Doing())


def diff(before: Core, after: Core, *payloads: object) -> Diff:
    batch = kinesis_records(payloads)
    found = Diff()
    found.add(make(before, batch), make(after, batch))
    return found


def table(*columns: Column, unknown: str = "ignore") -> Core:
    contract = Contract(table="t", columns=columns, unknown=unknown)
    return Core(JsonLists(), sinks=[RedshiftStaging("table", contract, bucket="data", prefix="t", partition=())])


ONE, TWO = {"n": 1, "p": "a"}, {"n": 2, "p": "a"}
FIRST, SECOND = f"{SHARD}:100:0", f"{SHARD}:110:0"


def test_a_unit_comes_to_its_events_by_sink_its_rejections_and_what_was_dropped() -> None:
    batch = kinesis_records([ONE, TWO, {"n": 3, "p": "b"}, [7]])
    assert make(core(Doing(drop=2, reject=3)), batch) == Made(
        records=4,
        sinks={"archive": {FIRST: ("p=a", b'{"n":1,"p":"a","_event_id":"%s"}' % FIRST.encode())}},
        rejected={
            f"{SHARD}:120:0": (UNKNOWN, "n is 3"),
            f"{SHARD}:130:0": (Cause("decode", "decode", "not an object"), "7"),
        },
        dropped=1,
    )


def test_the_same_pipeline_differs_in_nothing() -> None:
    found = diff(core(), core(), ONE, TWO)
    assert (found.is_empty, found.records, found.sinks) == (True, 2, {"archive": SinkDiff(before=2, after=2, same=2)})


N = Column("n", ColumnType("smallint"))


def test_a_table_is_compared_by_its_rows() -> None:
    wider = table(Column("n", ColumnType("varchar", length=9)), Column("place", ColumnType("super"), path="p"))
    (example,) = diff(table(N), wider, ONE).sinks["table"].examples
    assert example.changes == [Change("n", "1", '"1"'), Change("place", None, '"a"')]


def test_fields_without_a_column_are_no_change_of_a_table() -> None:
    assert diff(table(N), table(N), ONE, TWO).is_empty
    before, after = make(table(N), kinesis_records([ONE])), make(table(N), kinesis_records([{**ONE, "p": "b"}]))
    found = Diff()
    found.add(before, after)
    assert found.sinks == {"table": SinkDiff(before=1, after=1, same=1)}


def test_an_event_that_a_candidates_table_refuses_is_told() -> None:
    found = diff(table(N), table(N, unknown="reject"), ONE)
    why = "rejected: partition: fields without a column (sinks.table.partition)"
    assert found.sinks["table"].why_missing == Counter({why: 1})


def test_a_changed_field_is_told_with_both_values() -> None:
    found = diff(core(), core(Doing(put={"n": 1.0, "new": {"deep": True}})), ONE)
    changes = [Change("n", "1", "1.0"), Change("new.deep", None, "true")]
    assert found.sinks["archive"] == SinkDiff(
        before=1,
        after=1,
        changed=1,
        fields=Counter({"n": 1, "new.deep": 1}),
        examples=[Example("changed", FIRST, changes=changes)],
    )


def test_an_event_that_moves_to_another_partition_is_changed() -> None:
    found = diff(core(), core(Doing(put={"p": "b"})), ONE)
    assert found.sinks["archive"].examples == [
        Example("changed", FIRST, changes=[Change("(partition)", "p=a", "p=b"), Change("p", '"a"', '"b"')])
    ]


def test_the_order_of_fields_is_no_change() -> None:
    assert list(changes_of(("", b'{"a":1,"b":[{"c":1,"d":2}]}'), ("", b'{"b":[{"d":2,"c":1}],"a":1}'))) == []


def test_a_missing_event_says_that_its_record_is_rejected_now() -> None:
    found = diff(core(), core(Doing(reject=1)), ONE, TWO)
    why = "rejected: transform: unknown (transforms[0])"
    assert found.sinks["archive"] == SinkDiff(
        before=2,
        after=1,
        same=1,
        missing=1,
        why_missing=Counter({why: 1}),
        examples=[Example("missing", FIRST, ONE, why)],
    )
    assert (found.only_before, found.only_after) == (Counter(), Counter({UNKNOWN: 1}))
    assert (found.rejected_before, found.rejected_after) == (0, 1)
    assert found.messages == {UNKNOWN: (FIRST, "n is 1")}


def test_an_added_event_says_that_its_record_was_dropped() -> None:
    found = diff(core(Doing(drop=2)), core(), ONE, TWO)
    assert found.sinks["archive"].examples == [Example("added", SECOND, TWO, "dropped, or not made")]
    assert (found.dropped_before, found.dropped_after) == (1, 0)


def test_a_new_sink_adds_its_events() -> None:
    found = diff(core(), core(None, "archive", "second"), ONE)
    assert found.sinks["archive"] == SinkDiff(before=1, after=1, same=1)
    assert found.sinks["second"].examples == [Example("added", FIRST, ONE, "there is no such sink")]


def test_a_record_that_is_rejected_for_another_cause_counts_on_both_sides() -> None:
    batch = Made(rejected={FIRST: (UNKNOWN, "")}), Made(rejected={FIRST: (Cause("validate", "", "required"), "")})
    found = Diff()
    found.add(*batch)
    assert (found.only_before, found.only_after) == (
        Counter({UNKNOWN: 1}),
        Counter({Cause("validate", "", "required"): 1}),
    )


def test_a_change_that_only_drops_more_is_a_difference() -> None:
    found = Diff()
    found.add(Made(records=1), Made(records=1, dropped=1))
    assert not found.is_empty


@pytest.mark.parametrize("keep", [0, 2])
def test_no_more_examples_are_kept_than_are_wanted(keep: int) -> None:
    batch = kinesis_records([ONE] * 5)
    found = Diff(keep=keep)
    for _ in range(2):
        found.add(make(core(), batch), make(core(Doing(put={"n": 9})), batch))
    assert (found.sinks["archive"].changed, len(found.sinks["archive"].examples)) == (10, keep)
