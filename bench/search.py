"""Documents into OpenSearch: the sink beside opensearch-py's own helper, into one real server; and the bodies alone.

Both sides begin with the same events as Python values, use the same chunks and as many requests at a time.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import orjson

from aetherstream.core import Prepared
from aetherstream.documents import documents_of
from aetherstream.encoded import EVENT_ID, EncodedEvents
from aetherstream.records import Events, KinesisRecords
from aetherstream.sinks.opensearch.bulk import create_body, cut
from bench import data

CHUNK = 2000
CHUNK_BYTES = 5_000_000
PARALLEL = 4
URL = "BENCH_OPENSEARCH_URL"
"""Environment variable of the workers."""

_INDEX = "bench-2025.11"


class Batch:
    """The events of a batch as the transforms leave them."""

    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = [orjson.loads(payload) for payload in data.payloads()]
        count = len(self.values)
        self.records = KinesisRecords(
            stream="arn:aws:kinesis:eu-central-1:123456789012:stream/bench",
            shard="shardId-000000000000",
            sequences=[f"{49_590_338_271_490_256_608_559_692_538_361_571_095 + index}" for index in range(count)],
            arrivals=[data.START] * count,
            keys=["bench"] * count,
            data=[""] * count,
        )
        self.ids = [f"{self.records.shard}:{sequence}:0" for sequence in self.records.sequences]
        for value, event_id in zip(self.values, self.ids, strict=True):
            value[EVENT_ID] = event_id

    def encoded(self) -> Prepared:
        """The events as lines, as the engine's step `encode` makes them."""
        count = len(self.values)
        lines = EncodedEvents()
        lines.append(Events(values=self.values, records=list(range(count)), subs=[0] * count), self.records)
        return Prepared(0, count, events=lines, groups={"search": {_INDEX: list(range(count))}})

    def documents(self, index: str) -> Iterator[dict[str, Any]]:
        """The events as opensearch-py's helpers take them."""
        for event_id, value in zip(self.ids, self.values, strict=True):
            yield {"_op_type": "create", "_index": index, "_id": event_id, "_source": value}


def floor(batch: Batch) -> list[bytes]:
    """A bare orjson loop."""
    bodies, body = [], bytearray()
    for number, (event_id, value) in enumerate(zip(batch.ids, batch.values, strict=True), 1):
        body += orjson.dumps({"create": {"_index": _INDEX, "_id": event_id}}, None, orjson.OPT_APPEND_NEWLINE)
        body += orjson.dumps(value, None, orjson.OPT_APPEND_NEWLINE)
        if number % CHUNK == 0:
            bodies.append(bytes(body))
            body = bytearray()
    return bodies


def bodies(prepared: Prepared) -> list[bytes]:
    """What the sink sends, from the lines of the batch."""
    found = documents_of(prepared, "search", range(len(prepared.events)))
    cuts = cut(found.ids, found.bodies, CHUNK, CHUNK_BYTES)
    return [create_body(found.places[a:b], found.ids[a:b], found.bodies[a:b]) for a, b in cuts]


class Bodies:
    """`bulk-floor`, `bulk` (from values) and `bulk-lines` (what a batch pays for them beside its other sinks)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._batch = Batch()
        self._prepared = self._batch.encoded()
        if bodies(self._prepared) != floor(self._batch):
            raise ValueError("the sink and the floor do not build the same bytes")

    def __call__(self, event: object) -> int:  # noqa: ARG002
        if self._name == "bulk-floor":
            return len(floor(self._batch))
        return len(bodies(self._prepared if self._name == "bulk-lines" else self._batch.encoded()))


class Sender:
    """`search` (the sink) and `parallel-bulk` (opensearch-py's helper), each run into an index of its own."""

    def __init__(self, name: str) -> None:
        from opensearchpy import OpenSearch

        self._batch = Batch()
        self._indices = (f"bench-{name}-{number}" for number in itertools.count())
        self._index = ""
        self._client = OpenSearch(os.environ[URL], maxsize=PARALLEL, timeout=60)
        self._run = self._sink() if name == "search" else self._helper

    def renew(self) -> None:
        """Begin with an empty index, outside of what is measured."""
        if self._index:
            self._client.indices.delete(index=self._index)
        self._index = next(self._indices)
        # Refreshing is the server's own work, at moments of its own.
        settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "-1"}
        self._client.indices.create(index=self._index, body={"settings": settings})

    def __call__(self, event: object) -> int:  # noqa: ARG002
        self._run(self._index)
        return len(self._batch.ids)

    def _sink(self) -> Any:
        from aetherstream.sinks.opensearch.client import Client
        from aetherstream.sinks.opensearch.sink import OpenSearchSink

        wire = Client(os.environ[URL], parallel=PARALLEL)
        sink = OpenSearchSink("search", wire, documents=CHUNK, bytes=CHUNK_BYTES, parallel=PARALLEL)

        def run(index: str) -> None:
            prepared = self._batch.encoded()
            prepared.groups = {"search": {index: list(range(len(self._batch.ids)))}}
            outcome = sink.deliver(documents_of(prepared, "search", range(len(self._batch.ids))), 60.0)
            if outcome.rejected or outcome.undelivered:
                raise ValueError("the sink left documents")

        return run

    def _helper(self, index: str) -> None:
        from opensearchpy.helpers import parallel_bulk

        done = parallel_bulk(
            self._client,
            self._batch.documents(index),
            thread_count=PARALLEL,
            queue_size=PARALLEL,
            chunk_size=CHUNK,
            max_chunk_bytes=CHUNK_BYTES,
            raise_on_error=False,
        )
        if not all(worked for worked, _ in done):
            raise ValueError("the helper left documents")
