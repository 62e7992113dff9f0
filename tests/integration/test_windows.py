"""Windows that Lambda keeps, as deployed: the function of the package, behind a mapping with tumbling windows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aetherstream.local.stack import Stack
from aetherstream.managed import combine
from aetherstream.pipeline import load
from aetherstream.records import Event
from aetherstream.window_app import kept_by_lambda
from tests.integration.flow import Flow
from tests.integration.ground import Ground, until

pytestmark = pytest.mark.integration

EVENTS: list[Event] = [{"part": "ab"[n % 2], "n": n % 7} for n in range(400)]
WANTED = [
    {"part": part, "n": 200, "total": sum(event["n"] for event in EVENTS if event["part"] == part)} for part in "ab"
]


def test_every_record_is_in_one_window_of_its_shard(stack: Stack, new_ground: Any) -> None:
    ground: Ground = new_ground(shards=2)
    (declared,) = kept_by_lambda(
        load(Path(__file__).parent / "drill" / "windows.yaml", {"AETHERSTREAM_BUCKET": ground.bucket})
    )
    flow = Flow(
        stack,
        ground,
        pipeline="pipelines/drill/windows.yaml",
        variables={"AETHERSTREAM_WINDOW_SECONDS": "2"},
        mapping={"tumbling_window": 2, "batch_size": 50, "parallelization_factor": 1},
    )
    stack.clients.lambda_.update_function_configuration(FunctionName=ground.stream, Handler="handlers.window.handler")

    def counted() -> list[Event]:
        rows = [row for written in ground.objects("parts") for row in written.events]
        found: Counter[str] = Counter()
        totals: Counter[str] = Counter()
        for row in combine(declared.aggregate, rows):
            found[row["kind"]] += row["n"]
            totals[row["kind"]] += row["total"]
        return [{"part": part, "n": found[part], "total": totals[part]} for part in sorted(found)]

    def closed() -> bool:
        # A window ends when something of a later one arrives; on each shard.
        ground.put_keyed([(f"key-{n}", {"part": "later", "n": 0}) for n in range(20)])
        return [row for row in counted() if row["part"] != "later"] == WANTED

    with flow:
        ground.put_keyed([(f"key-{n}", event) for n, event in enumerate(EVENTS[:200])])
        until(lambda: flow.poller.progress().finished > 0, "a batch is folded")
        flow.kill()
        ground.put_keyed([(f"key-{n}", event) for n, event in enumerate(EVENTS[200:])])
        until(closed, "the windows are closed", 120)
    assert flow.poller.progress().discarded == 0
    shards = {row["shard"] for written in ground.objects("parts") for row in written.events}
    assert len(shards) == 2
