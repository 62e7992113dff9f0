"""A function that is killed in the middle of a batch, and answers that are lost: every event once all the same."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from aetherstream.aggregates.windows import Window
from aetherstream.local.stack import Stack
from aetherstream.pipeline import load
from aetherstream.producer import Producer
from demo.traffic import expectation, traffic
from tests.faults.wire import Seen, Spoil, Wire
from tests.integration.aggregating import states_of, unlike
from tests.integration.flow import Flow
from tests.integration.ground import Ground, until
from tests.stack_fixture import ROOT

pytestmark = pytest.mark.integration

FLIGHTS = 12_000
KILLS = 4
NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC).timestamp()


def hold_put_of(event_id: str) -> dict[str, Any]:
    """The rule by which S3 does not answer to the put of the object that begins with this event, and stores nothing."""
    headers = {"x-amz-meta-aether-first": event_id}
    return {"service": "s3", "operation": "PutObject", "headers": headers, "timeout_ms": 600_000}


def test_a_function_killed_between_two_objects_delivers_both_in_the_next_attempt(
    stack: Stack, ground: Ground, unreliable: Any
) -> None:
    ids = ground.put([{"part": part, "n": n} for n, part in enumerate("abcabcabc")])
    unreliable.obey(hold_put_of(ids[1]))
    with Flow(stack, ground, endpoint=unreliable.url) as flow:
        until(lambda: len(ground.keys()) == 2, "two of three objects stand")
        assert ground.in_mid_batch()
        unreliable.obey()
        flow.kill()
        progress = flow.drain()
    assert (progress.failed, ground.dead()) == (1, [])
    assert [(event["_event_id"], event["n"]) for event in ground.archived()] == list(zip(ids, range(9), strict=True))
    # Halved by Lambda, the batch came in two; nothing of the first attempt stands as it was.
    assert {written.metadata["aether-epoch"] for written in ground.objects()} == {"2", "3"}
    assert ground.counters()["passed"] == 9


def test_what_a_killed_attempt_left_is_emptied_where_the_retry_is_cut_otherwise(
    stack: Stack, ground: Ground, unreliable: Any
) -> None:
    ids = ground.put([{"part": part} for part in "abcdef"])
    unreliable.obey(hold_put_of(ids[5]))
    with Flow(stack, ground, endpoint=unreliable.url) as flow:
        until(lambda: len(ground.keys()) == 5, "all objects but the last stand")
        # By another pipeline version, and in twos: nothing of the first attempt may stay as it was.
        flow.deploy(DRILL_MAX_PARTITIONS="2", DRILL_PARTITION="other")
        unreliable.obey()
        flow.kill()
        flow.drain()
    assert ground.ids() == ids
    assert {written.partition for written in ground.objects() if written.events} == {"other=__HIVE_DEFAULT_PARTITION__"}
    assert [(written.partition, written.events) for written in ground.objects() if "/part=" in written.key] == [
        (f"part={part}", []) for part in "abcde" + "f"
    ]
    assert ground.dead() == []


def test_a_function_killed_several_times_while_flights_flow_delivers_each_once(
    stack: Stack, new_ground: Any, unreliable: Any
) -> None:
    ground: Ground = new_ground("flights", shards=2)
    expected = expectation(FLIGHTS)
    # The objects of an attempt come one after the other, so that it can be seen in its middle.
    unreliable.obey({"service": "s3", "operation": "PutObject", "latency": {"min": 0, "max": 2000}})

    def produce() -> None:
        with Producer(ground.stream, client=stack.clients.kinesis) as producer:
            for transmission in traffic(FLIGHTS):
                producer.put(transmission.data, transmission.partition_key)

    sender = threading.Thread(target=produce)
    with Flow(stack, ground, pipeline="pipelines/flights.yaml", endpoint=unreliable.url) as flow:
        sender.start()
        killed: set[tuple[str, int]] = set()

        def seen() -> set[tuple[str, int]]:
            return ground.in_mid_batch() - killed

        while flow.poller.progress().failed < KILLS:
            until(seen, "an attempt is in its middle")
            killed |= seen()
            flow.kill()
        sender.join()
        unreliable.obey()
        progress = flow.drain()
    assert (progress.discarded, ground.dead()) == (0, [])
    assert progress.failed >= KILLS
    ids = ground.ids()
    counters = ground.counters()
    assert len(ids) == len(set(ids)) == counters["archive.delivered"] == counters["passed"]
    assert len(ground.quarantined()) == counters["quarantined"] == sum(expected.broken.values())
    assert counters["passed"] + counters["quarantined"] + counters["dropped"] == expected.user_records
    assert [dict(item.open) for item in ground.progress().values()] == [{}, {}]
    # The aggregates too have each flight once, by both shards.
    pipeline = load(ROOT / "pipelines" / "flights.yaml", {"AETHERSTREAM_BUCKET": ground.bucket})
    with ThreadPoolExecutor(8) as executor:
        states = states_of(stack.clients, stack.outputs["StateTableName"], executor)
        days = Window(int(NEW_YEAR), int(NEW_YEAR) + 20 * 86400)
        spans = {"origin_days": days, "days": days}
        assert unlike(ground, pipeline, states, flow.settings.stream_arn, spans) == {}


def test_a_record_that_kills_the_process_is_quarantined_alone(stack: Stack, ground: Ground) -> None:
    events: list[dict[str, object]] = [{"part": "a", "n": n} for n in range(4)]
    events[2]["do"] = "kill"
    ids = ground.put(events)
    with Flow(stack, ground, variables={"DRILL_STEP": "steps:fatal"}) as flow:
        flow.drain()
    assert ground.ids() == ids[:2] + ids[3:]
    (envelope,) = ground.quarantined()
    killer = ids[2].rpartition(":")[0]
    assert (envelope["id"], envelope["stage"], envelope["reason"]) == (killer, "crashed", "killed the process")
    assert ground.dead() == []
    assert (ground.counters()["passed"], ground.counters()["quarantined"]) == (3, 1)


@pytest.mark.parametrize("operation", ["PutObject", "PutItem"], ids=["s3", "dynamodb"])
def test_answers_that_are_lost_after_their_effect_change_nothing(stack: Stack, ground: Ground, operation: str) -> None:
    ids = ground.put([{"part": part} for part in "abcdabcd"] + [b"not JSON"])
    with (
        Wire(stack.endpoint, [Spoil("answer", operation, 2)]) as wire,
        Flow(stack, ground, endpoint=wire.url) as flow,
    ):
        progress = flow.drain()
        tries = _tries(wire.log, operation)
    # The SDK sent each of those anew, and the service said that it stands already.
    assert {fate for fate, _ in tries} == {"passed", "answer lost"}
    assert {after for fate, after in tries if fate == "answer lost"} == {{"PutObject": 412, "PutItem": 400}[operation]}
    assert (progress.failed, ground.dead()) == (0, [])
    assert ground.ids() == ids[:8]
    assert [envelope["id"] for envelope in ground.quarantined()] == [ids[8].rpartition(":")[0]]
    assert (ground.counters()["passed"], ground.counters()["quarantined"]) == (8, 1)


def _tries(log: list[Seen], operation: str) -> list[tuple[str, int | None]]:
    """What became of each call's first try, and what was answered to its second."""
    calls: dict[str, list[Seen]] = {}
    for seen in log:
        if seen.operation == operation:
            calls.setdefault(seen.call, []).append(seen)
    return [(first.fate, rest[0].status if rest else None) for first, *rest in calls.values()]
