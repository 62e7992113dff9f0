"""Loads into a table: the loader's own work; and its rows beside those of INSERTs, into one stand-in for Redshift.

All ways into the database begin with the same rows as Python values and end with a commit. Ours writes, compresses and
puts them, and loads them as it does on AWS: notifications, HEAD, ledger, manifest, COPY, deduplication.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import orjson
import redshift_connector
from redshift_connector.cursor import Cursor

from aetherstream.delivery.progress import Progress, progress_key
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.s3 import S3Store
from aetherstream.encoded import EVENT_ID
from aetherstream.loader.entry import connector
from aetherstream.loader.finality import Finality
from aetherstream.loader.load_queue import notifications
from aetherstream.loader.loader import COUNT, Loader
from aetherstream.loader.manifests import Remove, remover
from aetherstream.loader.notifications import Message
from aetherstream.loader.parts import Load, Loaded, Warehouse
from aetherstream.loader.sql_warehouse import SqlWarehouse
from aetherstream.local.ministack import MiniStack
from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.redshift.serve import s3_client
from aetherstream.objects import SUFFIX, Target, compressor
from aetherstream.records import sortable
from aetherstream.testing.queues import MemoryQueue
from aetherstream.testing.stores import InlineExecutor, MemoryObjects, MemoryProgress
from aetherstream.testing.warehouse import MemoryWarehouse
from aetherstream.testing.warehouse import remover as memory_remover
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions
from aetherstream.warehouse.rows import Rows
from aetherstream.warehouse.sql import ObjectRef
from bench import data
from bench.warehouse import CONTRACT, transformed

PIPELINE, BUCKET = "bench", "bench-staging"
STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/bench"
ROLE = "arn:aws:iam::123456789012:role/load"
SHARDS = 4
NOTIFIED = 100
"""Objects of a load whose database takes no time."""
STAGED = 10
"""Objects of a load into the stand-in: what a batch of 10,000 events leaves of ten shards."""
WAREHOUSE = "BENCH_WAREHOUSE"
"""Environment variable of the workers: login and S3 endpoint as JSON."""
BULK = 2900
"""Rows of one INSERT: a statement takes 32,767 parameters."""


_SECONDS = 60.0


def target(contract: Contract, warehouse: WarehouseOptions) -> LoadTarget:
    """The sink whose objects are loaded."""
    staging = Target(BUCKET, "bench/staging/warehouse", SUFFIX["gzip"])
    return LoadTarget("warehouse", contract, staging, warehouse, copy_role=ROLE)


def loader(target: LoadTarget, warehouse: Warehouse, store: ObjectStore, remove: Remove) -> Loader:
    """The real loader, to which every object is final."""
    keys = [progress_key(PIPELINE, STREAM, f"shardId-{shard:012d}") for shard in range(SHARDS)]
    progress = MemoryProgress({key: Progress(key, revision=1, epoch=1) for key in keys})
    return Loader(
        [(target, warehouse)],
        finality=Finality(PIPELINE, STREAM, progress),
        store=store,
        remove=remove,
        queue=MemoryQueue(),
        executor=InlineExecutor(),
        clock=lambda: data.START,
        new_id=map("load{}".format, itertools.count()).__next__,
    )


def keys(target: LoadTarget, first: int, count: int) -> list[str]:
    """Keys of the objects of a load."""
    return [
        target.staging.key("day=2025-11-21", f"shardId-{at % SHARDS:012d}", f"{sortable(str(at))}-000000")
        for at in range(first, first + count)
    ]


def messages(keys: Sequence[str]) -> list[Message]:
    """A notification each, as S3 sends them."""
    bodies = [body for key in keys for body in notifications([ObjectRef(BUCKET, key)], data.START)]
    return [Message(f"m{number}", f"r{number}", body, 1) for number, body in enumerate(bodies)]


class _Instant(MemoryWarehouse):
    """A warehouse that takes no time: what remains is the loader's own work."""

    def load(self, load: Load, seconds: float, /) -> Loaded:  # noqa: ARG002
        """See `Warehouse.load`."""
        load.put_manifest(load.objects)
        return Loaded(frozenset(each.location for each in load.objects), rows=len(load.objects))


class Overhead:
    """`loader`: a hundred notified objects, from their messages to the answer to the queue."""

    def __init__(self) -> None:
        to = target(CONTRACT, WarehouseOptions("localhost", "dev"))
        store = MemoryObjects()
        names = keys(to, 0, NOTIFIED)
        rows = compressor("gzip", 1)(b"".join(data.payloads()[:100]), 1)
        for key in names:
            store.overwrite(BUCKET, key, rows, {COUNT: "100"})
        self._messages = messages(names)
        self._loader = loader(to, _Instant(CONTRACT, store), store, memory_remover(store))

    def __call__(self, event: object) -> int:  # noqa: ARG002
        done = self._loader.handle(self._messages, lambda: 900.0)
        if done.again or done.reports[0].loaded != NOTIFIED:
            raise ValueError(f"the loader left objects: {done}")
        return NOTIFIED


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """The stand-in for Redshift beside an S3; gives what the workers have to be told."""
    with tempfile.TemporaryDirectory() as scratch:
        s3 = MiniStack(Path(scratch, "s3"))
        s3.start()
        try:
            s3_client(s3.endpoint).create_bucket(Bucket=BUCKET)
            with LocalRedshift(Path(scratch, "redshift"), s3_endpoint=s3.endpoint) as server:
                yield {WAREHOUSE: json.dumps({"login": server.login, "s3": s3.endpoint})}
        finally:
            s3.stop()


class _Cursor(Cursor):
    """The driver's, whose bulk insert asks views of Redshift first that the stand-in does not have."""

    def _Cursor__is_valid_table(self, table: str) -> bool:  # noqa: ARG002, N802
        return True

    def _Cursor__has_valid_columns(self, table: str, columns: list[str]) -> bool:  # noqa: ARG002, N802
        return True


class Into:
    """`insert-loop`, `insert-bulk` and `load`: the same rows into an empty table, by one connection each."""

    def __init__(self, name: str) -> None:
        there = orjson.loads(os.environ[WAREHOUSE])
        login = there["login"]
        options = WarehouseOptions(
            host=login["host"],
            port=login["port"],
            database=login["database"],
            auth="password",
            username=login["user"],
            password=login["password"],
            tls=False,
        )
        self._contract = replace(CONTRACT, schema=f"bench_{name.replace('-', '_')}")
        self._table = f"{self._contract.schema}.{self._contract.table}"
        self._target = target(self._contract, options)
        self._warehouse = SqlWarehouse(self._target, connector(options, boto3.Session()))
        self._connection = redshift_connector.connect(**login)
        self._values = transformed(data.payloads())
        for number, value in enumerate(self._values):
            value[EVENT_ID] = f"shardId-{number % SHARDS:012d}:{49_590_338_271_490_256_608_559_692_538 + number}:0"
        self._rows = [tuple(map(str, _row(value))) for value in self._values]
        self._number = 0
        s3 = s3_client(there["s3"])
        self._store, self._remove = S3Store(s3), remover(s3)
        self._run = {"insert-loop": self._loop, "insert-bulk": self._bulk, "load": self._load}[name]

    def renew(self) -> None:
        """Begin with an empty table, and an empty ledger, outside of what is measured."""
        self._number += 1
        with self._connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {self._contract.schema} CASCADE")
        self._connection.commit()
        self._warehouse.apply(self._warehouse.compare(_SECONDS), _SECONDS)
        self._loader = loader(self._target, self._warehouse, self._store, self._remove)

    def __call__(self, event: object) -> int:  # noqa: ARG002
        self._run()
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {self._table}")  # noqa: S608 - a name of ours
            ((count,),) = cursor.fetchall()
        self._connection.commit()
        if count != len(self._rows):
            raise ValueError(f"{count} rows stand in the table, not {len(self._rows)}")
        return len(self._rows)

    def _loop(self) -> None:
        marks = ", ".join(["%s"] * len(self._contract.names))
        sql = f"INSERT INTO {self._table} ({', '.join(self._contract.names)}) VALUES ({marks})"  # noqa: S608
        with self._connection.cursor() as cursor:
            for row in self._rows:
                cursor.execute(sql, row)
        self._connection.commit()

    def _bulk(self) -> None:
        names = list(self._contract.names)
        with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="") as file:
            csv.writer(file).writerows([names, *self._rows])
            file.flush()
            with _Cursor(self._connection) as cursor:
                cursor.insert_data_bulk(file.name, self._table, list(range(len(names))), names, ",", BULK)
        self._connection.commit()

    def _load(self) -> None:
        compress, write = compressor("gzip", 1), Rows(self._contract).of
        names = keys(self._target, self._number * STAGED, STAGED)
        each = len(self._values) // STAGED
        for at, key in enumerate(names):
            part = self._values[at * each : (at + 1) * each]
            self._store.overwrite(BUCKET, key, compress(write(part), 1), {COUNT: str(len(part))})
        done = self._loader.handle(messages(names), lambda: 900.0)
        if done.again or done.reports[0].loaded != STAGED:
            raise ValueError(f"the loader left objects: {done}")


def _row(value: dict[str, Any]) -> list[Any]:
    return [value[EVENT_ID], *(_reach(value, column.source.split(".")) for column in CONTRACT.columns)]


def _reach(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value[name]
    return value
