"""A deployed pipeline with S3 and a real OpenSearch behind it: what stands in either, and the drain's schedule."""

from __future__ import annotations

import os
import signal
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.helpers import scan

from aetherstream.delivery.breaker_item import BreakerItem, breaker_key
from aetherstream.delivery.breaker_store import DynamoBreakers
from aetherstream.local.opensearch import LocalOpenSearch
from aetherstream.local.stack import Stack
from tests.integration.ground import Ground, ground_deployed

PIPELINE = "pipelines/drill/search.yaml"
INDICES = "drill-*"
SINK = "search"


class Searching:
    """The stack of `pipelines/drill/search.yaml`. Each test tells its events from others' by their `part`."""

    def __init__(self, stack: Stack, server: LocalOpenSearch) -> None:
        self.stack = stack
        self.server = server
        self.ground: Ground = ground_deployed(stack.clients, "drill", stack.outputs)
        self.client = OpenSearch(server.url, timeout=60)

    def found(self, part: str) -> list[str]:
        """The `_id`s of a part's documents in all indices, repeats included."""
        self.client.indices.refresh(index=INDICES)
        query = {"query": {"term": {"part": part}}, "_source": False}
        return sorted(hit["_id"] for hit in scan(self.client, index=INDICES, query=query, size=1000))

    def archived(self, part: str) -> list[str]:
        """The event ids of a part's lines in the archive, repeats included."""
        objects = self.ground.objects(f"archive/part={part}/")
        return sorted(event["_event_id"] for written in objects for event in written.events)

    def waiting(self) -> list[str]:
        """The event ids in the spill, repeats included."""
        return sorted(row["document_id"] for written in self.ground.objects("spill") for row in written.events)

    def breaker(self) -> BreakerItem:
        """The breaker's item."""
        store = DynamoBreakers(self.stack.clients.get("dynamodb"), self.ground.table)
        return store.read(breaker_key(self.ground.pipeline, SINK))

    def share(self) -> dict[str, int]:
        """The sink's part of the accounting, over all shards: events, delivered, quarantined, spilled."""
        names = ("events", "delivered", "quarantined", "spilled")
        counters = self.ground.counters()
        return {name: counters.get(f"{SINK}.{name}", 0) for name in names}

    def renew(self) -> None:
        """End the functions' processes between two batches, so that the next ones read the breaker's state."""
        for pid in self.stack.worker_pids():
            os.kill(pid, signal.SIGKILL)

    def schedule(self, state: str) -> None:
        """Have the drain function called each minute (`ENABLED`), or not (`DISABLED`)."""
        scheduler: Any = self.stack.clients.get("scheduler")
        names = [each["Name"] for each in scheduler.list_schedules()["Schedules"]]
        [name] = [name for name in names if "Drain" in name]
        kept = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target", "Description")
        known = scheduler.get_schedule(Name=name)
        scheduler.update_schedule(State=state, **{field: known[field] for field in kept})
