"""The function's modes and options, as deployed: dry run, compression, identity, the cap on partitions, no ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.sam import Application, Sam
from aetherstream.local.stack import Stack
from tests.integration.conftest import PARAMETERS
from tests.integration.flow import Flow
from tests.integration.ground import Ground, until

pytestmark = pytest.mark.integration


def test_a_dry_run_writes_neither_objects_nor_progress(stack: Stack, ground: Ground) -> None:
    ground.put([{"part": "a"}, b"not JSON"])
    with Flow(stack, ground, variables={"AETHERSTREAM_DRY_RUN": "true"}) as flow:
        progress = flow.drain()
    assert (progress.finished, progress.failed) == (2, 0)
    assert (ground.keys(), ground.progress(), ground.dead()) == ([], {}, [])


def test_a_pipeline_with_zstd_writes_objects_that_say_so(stack: Stack, ground: Ground) -> None:
    ids = ground.put([{"part": "a", "n": 1}, {"part": "a", "n": 2}])
    with Flow(stack, ground, variables={"DRILL_COMPRESSION": "zstd"}) as flow:
        flow.drain()
    (written,) = ground.objects("archive")
    assert written.key.endswith(".ndjson.zst")
    assert written.body[:4] == b"\x28\xb5\x2f\xfd"
    # The epoch stands behind the data, in a skippable frame.
    assert written.body[-16:] == b"\x50\x2a\x4d\x18\x08\x00\x00\x00" + (1).to_bytes(8, "little")
    assert written.events == [
        {"part": "a", "n": 1, "_event_id": ids[0]},
        {"part": "a", "n": 2, "_event_id": ids[1]},
    ]


def test_an_identity_of_the_datas_own_stands_in_every_line(stack: Stack, ground: Ground) -> None:
    ids = ground.put([{"part": "a", "order": "x", "line": 1}, {"part": "a", "order": "x"}])
    with Flow(stack, ground, pipeline="pipelines/drill/identified.yaml") as flow:
        flow.drain()
    assert ground.archived() == [{"part": "a", "order": "x", "line": 1, "_event_id": ids[0], "_identity": '["x",1]'}]
    assert [(envelope["id"], envelope["reason"]) for envelope in ground.quarantined()] == [
        (ids[1], "identity is missing")
    ]


def test_a_batch_of_too_many_partitions_is_cut_and_the_rest_comes_again(stack: Stack, ground: Ground) -> None:
    parts = ["a", "b", "c", "a", "d", "b"]
    ids = ground.put([{"part": part} for part in parts])
    with Flow(stack, ground, variables={"DRILL_MAX_PARTITIONS": "2"}) as flow:
        progress = flow.drain()
    assert (progress.invocations, progress.failed) == (3, 0)
    held = {(written.partition, *(event["_event_id"] for event in written.events)) for written in ground.objects()}
    assert held == {(f"part={part}", id_) for part, id_ in zip(parts, ids, strict=True)}
    assert ground.counters()["passed"] == 6
    assert ground.dead() == []


def test_without_a_ledger_two_batches_of_a_shard_run_at_once_and_everything_arrives(
    stack: Stack, ground: Ground, unreliable: Any
) -> None:
    places = ground.put_keyed([(f"key-{n % 20}", {"part": n % 5, "n": n}) for n in range(400)])
    # Both lanes must have an object under way before either can end.
    unreliable.obey({"service": "s3", "operation": "PutObject", "latency": 300})
    flow = Flow(
        stack,
        ground,
        variables={"AETHERSTREAM_DELIVERY": "at_least_once"},
        mapping={"parallelization_factor": 2},
        endpoint=unreliable.url,
    )
    with flow:
        until(lambda: flow.poller.progress().running == 2, "two invocations run at once")
        flow.kill()
        unreliable.obey()
        flow.drain()
    assert sorted(set(ground.ids())) == sorted(f"{shard}:{sequence}:0" for shard, sequence in places)
    assert (ground.progress(), ground.dead()) == ({}, [])


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"ParallelizationFactor": "2"}, "ParallelizationFactor above 1 gives a shard several writers"),
        ({"StreamRetentionHours": "24"}, "StreamRetentionHours must exceed MaximumRecordAgeInSeconds"),
    ],
)
def test_parameters_that_would_break_the_guarantees_are_refused_at_deployment(
    stack: Stack, parameters: dict[str, str], why: str
) -> None:
    application = Application(stack.application.template, stack_name="aetherstream-refused")
    sam = Sam(application, stack.directory, parameters=PARAMETERS | parameters)
    with pytest.raises(UsageError, match=why):
        sam.deploy(stack.endpoint)


def test_a_function_that_disagrees_with_its_pipeline_about_delivery_says_so(
    stack: Stack, new_ground: Callable[..., Ground]
) -> None:
    flow = Flow(
        stack,
        new_ground(),
        pipeline="pipelines/drill/identified.yaml",
        variables={"AETHERSTREAM_DELIVERY": "at_least_once"},
    )
    try:
        assert "says `delivery: exactly_once`, but the template's parameter Delivery is 'at_least_once'" in (
            flow.invoke_empty()
        )
    finally:
        flow.stop()
