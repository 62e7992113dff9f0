"""A deployed pipeline with S3 and a stand-in for Redshift behind it: what stands in either, and the load queue."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redshift_connector
from redshift_connector.core import Connection

from aetherstream.loader.load_queue import SqsLoadQueue
from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.stack import Stack
from aetherstream.warehouse.sql import ObjectRef
from tests.integration.ground import Ground, ground_deployed

PIPELINE = "pipelines/drill/loads.yaml"
PARAMETERS = {"PipelineFile": PIPELINE, "RedshiftStagingPrefix": "drill/staging/"}


class Loading:
    """The stack of `pipelines/drill/loads.yaml`. Each test tells its events from others' by their `part`."""

    def __init__(self, stack: Stack, server: LocalRedshift) -> None:
        self.stack = stack
        self.server = server
        self.ground: Ground = ground_deployed(stack.clients, "drill", stack.outputs)
        self.queue = SqsLoadQueue(
            stack.clients.sqs, stack.outputs["LoadQueueUrl"], stack.outputs["LoadDeadLetterQueueUrl"]
        )

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection of a person's."""
        with redshift_connector.connect(**self.server.login) as connection:
            yield connection

    def asked(self, query: str, *values: object) -> list[list[Any]]:
        """What a query answers."""
        with self.connected() as connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def rows(self, part: str) -> list[str]:
        """The event ids of a part's rows, repeats included."""
        found = self.asked("SELECT _event_id FROM public.drill_rows WHERE part = %s", part)
        return sorted(event_id for (event_id,) in found)

    def newest(self, part: str) -> list[list[Any]]:
        """A part's rows in the table of the newest: n and weight."""
        return self.asked("SELECT n, weight FROM public.drill_newest WHERE part = %s", part)

    def archived(self, part: str) -> list[str]:
        """The event ids of a part's lines in the archive, repeats included."""
        objects = self.ground.objects(f"archive/part={part}/")
        return sorted(event["_event_id"] for written in objects for event in written.events)

    def staged(self, part: str) -> list[ObjectRef]:
        """The objects of a part that are staged for the table of all rows."""
        return [ObjectRef(self.ground.bucket, key) for key in self.ground.keys(f"drill/staging/rows/part={part}/")]

    def stage(self, part: str, number: int, *rows: dict[str, Any]) -> ObjectRef:
        """Put an object of rows by hand, as one of a batch that is completed long since; it is announced as any is."""
        shard, item = next(iter(self.ground.progress().items()))
        key = f"drill/staging/rows/part={part}/{shard}-{item.completed}-{number:06}.ndjson.gz"
        body = gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode())
        self.stack.clients.s3.put_object(
            Bucket=self.ground.bucket, Key=key, Body=body, Metadata={"aether-count": f"{len(rows)}"}
        )
        return ObjectRef(self.ground.bucket, key)

    def ledger(self, part: str) -> list[list[Any]]:
        """Of the objects of a part in the table of all rows: key, state and rows."""
        found = self.asked(
            "SELECT object, state, rows FROM public.aetherstream_loads WHERE object LIKE %s ORDER BY object",
            f"%/drill/staging/rows/part={part}/%",
        )
        return [[location.partition("/")[2], state, rows] for location, state, rows in found]

    def hide(self, seconds: int) -> None:
        """Set for how long a message stays away whose loader was killed."""
        self.stack.clients.sqs.set_queue_attributes(
            QueueUrl=self.stack.outputs["LoadQueueUrl"], Attributes={"VisibilityTimeout": f"{seconds}"}
        )

    def kill(self) -> None:
        """Kill the processes of every function, as a machine that fails does."""
        for pid in self.stack.worker_pids():
            os.kill(pid, signal.SIGKILL)
