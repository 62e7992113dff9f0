"""The package that sam built, under AWS's own runtime client, with the stack's S3 and DynamoDB."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherstream.local.esm.events import ROLE_ARN, StreamRecord, kinesis_event
from aetherstream.local.stack import Stack
from aetherstream.testing.runtime_api import FunctionProcess, Invocation
from tests.integration.ground import Ground, until
from tests.stack_fixture import ROOT

pytestmark = pytest.mark.integration

Start = Callable[..., FunctionProcess]
HANG = {"service": "s3", "operation": "PutObject", "timeout_ms": 600_000}
FIRST = 49590338271490256608559692538361571095921575989136588898


@pytest.fixture
def start(stack: Stack, package: Path, lambda_libraries: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts the function on a ground; `endpoint` is where it finds AWS."""
    running: list[FunctionProcess] = []

    def make(ground: Ground, pipeline: str, *, endpoint: str | None = None, timeout: float = 60.0) -> FunctionProcess:
        variables = {
            **stack.environment,
            "AETHERSTREAM_PIPELINE": pipeline,
            "AETHERSTREAM_DELIVERY": "exactly_once",
            "AETHERSTREAM_BUCKET": ground.bucket,
            "AETHERSTREAM_PROGRESS_TABLE": ground.table,
            "AETHERSTREAM_STATE_TABLE": stack.outputs["StateTableName"],
            "POWERTOOLS_SERVICE_NAME": "test",
            "POWERTOOLS_METRICS_NAMESPACE": "Test",
            **({} if endpoint is None else {"AWS_ENDPOINT_URL": endpoint}),
        }
        function = FunctionProcess(
            package,
            "handlers.stream.handler",
            output=tmp_path / "output",
            environment=variables,
            libraries=(lambda_libraries,),
            timeout=timeout,
        )
        running.append(function)
        return function

    yield make
    for function in running:
        function.kill()


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


def batch(values: list[dict[str, Any]], stream: str) -> dict[str, Any]:
    """A Lambda event of one shard."""
    records = [
        StreamRecord(f"{FIRST + number}", "k", json.dumps(value).encode(), 1763712000.0 + number)
        for number, value in enumerate(values)
    ]
    arn = f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}"
    return kinesis_event("shardId-000000000000", records, stream_arn=arn, role_arn=ROLE_ARN)


def test_the_sample_events_are_settled_and_stand_in_s3(new_ground: Callable[..., Ground], start: Start) -> None:
    ground = new_ground("flights")
    # The samples name a stream of their own.
    ground = Ground(ground.clients, "flights", "aetherstream", ground.bucket, ground.dead_letters, ground.table)
    function = start(ground, "pipelines/flights.yaml")
    counted = {}
    before = 0
    for name in ("good", "gzip", "kpl-aggregated", "poison", "empty"):
        outcome = function.invoke(sample(name))
        assert outcome.response == {"batchItemFailures": []}
        counters = ground.counters()
        passed = counters.get("passed", 0)
        counted[name] = passed - before
        before = passed
    assert counted == {"good": 9, "gzip": 6, "kpl-aggregated": 8, "poison": 4, "empty": 0}
    assert len(ground.ids()) == len(set(ground.ids())) == 27
    assert len(ground.quarantined()) == 11
    assert (ground.counters()["quarantined"], ground.counters()["dropped"]) == (11, 1)


def test_a_sample_that_is_delivered_in_parts_is_whole_after_the_retries(
    new_ground: Callable[..., Ground], start: Start
) -> None:
    ground = new_ground("flights")
    ground = Ground(ground.clients, "flights", "aetherstream", ground.bucket, ground.dead_letters, ground.table)
    function = start(ground, "pipelines/flights.yaml")
    event = sample("partial-failure")
    sequences = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
    first = function.invoke(event)
    assert first.response == {"batchItemFailures": [{"itemIdentifier": sequences[8]}]}
    # Lambda brings the rest; the same batch again, as after a checkpoint that was passed, is settled but for it.
    assert function.invoke(event).response == {"batchItemFailures": []}
    assert len(ground.ids()) == len(set(ground.ids())) == 240
    assert ground.counters()["settled"] == 8


def test_a_batch_that_was_answered_and_comes_again_to_another_process_is_not_delivered_twice(
    ground: Ground, start: Start
) -> None:
    function = start(ground, "pipelines/drill/drill.yaml")
    event = batch([{"part": "a", "n": n} for n in range(5)], ground.stream)
    assert function.invoke(event).response == {"batchItemFailures": []}
    before = [(written.key, written.body) for written in ground.objects()]
    function.kill()
    assert function.invoke(event).response == {"batchItemFailures": []}
    assert [(written.key, written.body) for written in ground.objects()] == before
    assert ground.counters()["settled"] == 5


def test_a_function_answers_before_its_deadline_while_s3_hangs_and_delivers_once_afterwards(
    ground: Ground, start: Start, unreliable: Any
) -> None:
    # Many more objects than requests at once: if each were waited for, the deadline would pass.
    event = batch([{"part": n, "n": n} for n in range(160)], ground.stream)
    function = start(ground, "pipelines/drill/drill.yaml", endpoint=unreliable.url, timeout=32)
    unreliable.obey(HANG)
    first = event["Records"][0]["kinesis"]["sequenceNumber"]
    assert function.invoke(event).response == {"batchItemFailures": [{"itemIdentifier": first}]}
    (item,) = ground.progress().values()
    assert (item.completed, item.attempt.ended, len(item.open)) == ("", True, 161)
    unreliable.obey()
    assert function.invoke(event).response == {"batchItemFailures": []}
    assert sorted(line["n"] for line in ground.archived()) == list(range(160))
    (item,) = ground.progress().values()
    assert (item.attempt.killed, item.attempt.ended, dict(item.open)) == (0, True, {})


def test_a_function_that_is_ended_while_s3_hangs_is_counted_as_killed_and_delivers_once_afterwards(
    ground: Ground, start: Start, unreliable: Any
) -> None:
    event = batch([{"part": n % 20, "n": n} for n in range(60)], ground.stream)
    function = start(ground, "pipelines/drill/drill.yaml", endpoint=unreliable.url)
    unreliable.obey(HANG)
    outcomes: list[Invocation] = []
    invocation = threading.Thread(target=lambda: outcomes.append(function.invoke(event)))
    invocation.start()
    until(lambda: len(unreliable.fired()) >= 16, "every request of the function hangs")
    pid = function.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    invocation.join()
    (outcome,) = outcomes
    assert outcome.error
    assert outcome.error["errorType"] == "Runtime.ExitError"
    (item,) = ground.progress().values()
    assert (item.completed, item.attempt.ended, len(item.open)) == ("", False, 21)
    unreliable.obey()
    assert function.invoke(event).response == {"batchItemFailures": []}
    assert sorted(line["n"] for line in ground.archived()) == list(range(60))
    (item,) = ground.progress().values()
    assert (item.attempt.killed, item.attempt.ended, dict(item.open)) == (1, True, {})
