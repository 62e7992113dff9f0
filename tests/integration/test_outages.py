"""S3 and DynamoDB away for a while: batches are retried, nothing is dead-lettered, everything arrives once."""

from __future__ import annotations

from typing import Any

import pytest

from aetherstream.local.stack import Stack
from tests.integration.flow import Flow
from tests.integration.ground import Ground, until

pytestmark = pytest.mark.integration


def test_a_bucket_that_is_taken_away_and_comes_back_costs_nothing(stack: Stack, ground: Ground) -> None:
    s3 = ground.clients.s3
    first = ground.put([{"part": "a"}, b"not JSON"])
    with Flow(stack, ground) as flow:
        flow.drain()
        before = ground.objects()
        for written in before:
            s3.delete_object(Bucket=ground.bucket, Key=written.key)
        s3.delete_bucket(Bucket=ground.bucket)
        second = ground.put([{"part": "b"}, b"not JSON either"])
        # A warm function reports the batch; a cold one does not even start, and says why.
        until(lambda: ground.progress()["shardId-000000000000"].epoch >= 3, "a batch has been retried")
        flow.kill()
        until(lambda: f"bucket '{ground.bucket}' does not exist" in flow.poller.progress().last_error, "it is said")
        s3.create_bucket(Bucket=ground.bucket)
        flow.drain()
    assert (ground.ids(), ground.dead()) == (second[:1], [])
    assert [envelope["id"] for envelope in ground.quarantined()] == [second[1].rpartition(":")[0]]
    assert [written.partition for written in before if "/archive/" in written.key] == ["part=a"]
    assert (ground.counters()["passed"], ground.counters()["quarantined"]) == (2, 2)
    assert first[0] not in ground.ids()


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("s3", "SlowDown", 503),
        ("s3", "InternalError", 500),
        ("dynamodb", "ProvisionedThroughputExceededException", 400),
        ("dynamodb", "InternalServerError", 500),
    ],
)
def test_a_service_that_refuses_every_call_for_a_while_costs_nothing(
    stack: Stack, ground: Ground, unreliable: Any, service: str, code: str, status: int
) -> None:
    unreliable.obey({"service": service, "error": {"code": code, "status": status}})
    with Flow(stack, ground, endpoint=unreliable.url) as flow:
        ids = ground.put([{"part": part} for part in "abca"] + [b"not JSON"])
        # boto3 tries each call thrice, so seven failures are of at least two invocations.
        until(lambda: len(unreliable.fired()) >= 7, "calls have failed in several attempts")
        unreliable.obey()
        progress = flow.drain()
    assert (progress.failed, progress.discarded, ground.dead()) == (0, 0, [])
    assert ground.ids() == ids[:4]
    assert [envelope["id"] for envelope in ground.quarantined()] == [ids[4].rpartition(":")[0]]
    assert (ground.counters()["passed"], ground.counters()["quarantined"]) == (4, 1)
