from typing import Any

from aetherstream.core import Core
from aetherstream.plan import Plan, Planner
from aetherstream.quarantine import Quarantine
from aetherstream.sinks.base import ObjectSink
from aetherstream.sinks.s3 import S3Archive
from aetherstream.testing.builders import SHARD, JsonLists, kinesis_records
from tests.engine.harness import Steps, archive


def planned(payloads: list[object], *sinks: ObjectSink, start: int = 0, **batch: Any) -> Plan:
    core = Core(JsonLists(), sinks=sinks or [archive()], transform=Steps())
    records = kinesis_records(payloads, **batch)
    planner = Planner(core, Quarantine(bucket="data", prefix="quarantine", pipeline="flights"))
    return planner.plan(records, core.prepare(records, start, len(records)))


def objects(plan: Plan) -> list[tuple[str, int, list[int]]]:
    return [(o.key.replace(f"{SHARD}-", "").removesuffix(".ndjson.gz"), o.first, o.members) for o in plan.objects]


def test_a_key_follows_from_the_first_position_of_the_objects_own_events() -> None:
    plan = planned([{"p": "a"}, [{"p": "a"}, {"p": "b"}], {"p": "b"}])
    assert objects(plan) == [
        ("archive/p=a/003100-000000", 0, [0, 1]),
        ("archive/p=b/003110-000001", 1, [2, 3]),
    ]
    assert plan.objects[0].location == f"data/archive/p=a/{SHARD}-003100-000000.ndjson.gz"


def test_a_part_of_the_batch_with_that_event_makes_the_same_key() -> None:
    payloads: list[object] = [{"p": "a"}, {"p": "b"}, {"p": "a"}, {"p": "b"}]
    whole, part = planned(payloads), planned(payloads, start=1)
    assert [o.key for o in whole.objects if "p=b" in o.key] == [o.key for o in part.objects if "p=b" in o.key]


def test_a_key_is_the_same_whether_or_not_records_before_it_are_rejected() -> None:
    assert objects(planned(["{", {"p": "a"}]))[0][0] == "archive/p=a/003110-000000"


def test_the_quarantines_key_is_that_of_the_first_record() -> None:
    plan = planned([{"p": "a"}, "{"], start=1)
    assert plan.quarantine == f"data/quarantine/day=2025-11-21/{SHARD}-003110-000000.ndjson.gz"


def test_without_events_and_rejections_a_plan_is_empty() -> None:
    assert (planned([{"do": "drop"}]).is_empty, planned(["{"]).is_empty, planned([{}]).is_empty) == (True, False, False)


def test_each_sink_has_its_own_objects() -> None:
    staging = S3Archive("staging", bucket="other", prefix="staging")
    plan = planned([{"p": "a"}, {"p": "b"}], archive(), staging)
    assert [(o.sink.name, o.bucket, o.members) for o in plan.objects] == [
        ("archive", "data", [0]),
        ("archive", "data", [1]),
        ("staging", "other", [0, 1]),
    ]


def test_the_records_end_before_one_that_opens_a_partition_too_many() -> None:
    plan = planned([{"p": "a"}, {"p": "b"}, {"p": "a"}, [{"p": "b"}, {"p": "c"}]], archive(max_partitions=2))
    assert (plan.capped, plan.prepared.end, objects(plan)) == (
        True,
        3,
        [("archive/p=a/003100-000000", 0, [0, 2]), ("archive/p=b/003110-000000", 1, [1])],
    )


def test_a_single_record_may_open_as_many_partitions_as_it_likes() -> None:
    plan = planned([[{"p": "a"}, {"p": "b"}, {"p": "c"}], {"p": "a"}], archive(max_partitions=1))
    assert (plan.capped, plan.prepared.end, len(plan.objects)) == (True, 1, 3)


def test_as_many_partitions_as_allowed_are_not_capped() -> None:
    plan = planned([{"p": "a"}, {"p": "b"}], archive(max_partitions=2))
    assert (plan.capped, plan.prepared.end) == (False, 2)
