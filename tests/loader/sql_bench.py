# ruff: noqa: S608 - names of the tests' own
"""A table in the stand-in for Redshift, objects staged for it, and warehouses that load them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Literal

from boto3 import Session

from aetherstream.loader.connection import Connect, Connection
from aetherstream.loader.entry import connector
from aetherstream.loader.failures import Lost
from aetherstream.loader.parts import Load, Loaded, Staged
from aetherstream.loader.sql_warehouse import SqlWarehouse
from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.redshift.postgres import OWNER
from aetherstream.local.redshift.wire import Wire
from aetherstream.objects import Target, compressor
from aetherstream.warehouse.check import Table
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.options import LoadTarget, WarehouseOptions
from aetherstream.warehouse.sql import ObjectRef, Style, manifest
from tests.redshift_fixture import ROLE, Objects
from tests.warehouse.contracts import flights

SECONDS = 60.0
Row = dict[str, Any]


def event(number: int, key: str = "a", version: int = 1, origin: str = "JFK") -> Row:
    return {
        "_event_id": f"s:{number}:0",
        "flight_id": key,
        "updated_at": f"2013-01-01T00:{version // 60:02}:{version % 60:02}Z",
        "origin": origin,
    }


class Bench:
    """One schema of the stand-in and what belongs to it."""

    def __init__(self, server: LocalRedshift, objects: Objects, schema: str, login: dict[str, Any]) -> None:
        self.server = server
        self.objects = objects
        self.schema = schema
        self.login = login
        self._count = 0
        self._ends = ExitStack()

    def close(self) -> None:
        """Close what was opened."""
        self._ends.close()

    def target(self, contract: Contract | None = None, *, style: Style = "merge", **more: Any) -> LoadTarget:
        """A sink's target; `more`: of the warehouse's options."""
        login = self.login
        options = WarehouseOptions(
            **{
                "host": login["host"],
                "port": login["port"],
                "database": login["database"],
                "auth": "password",
                "username": login["user"],
                "password": login["password"],
                "tls": False,
            }
            | more
        )
        contract = contract or flights(schema=self.schema)
        staging = Target(self.objects.bucket, f"staging/{self.schema}", "ndjson.gz")
        return LoadTarget("warehouse", contract, staging, options, copy_role=ROLE, style=style)

    def warehouse(self, target: LoadTarget | None = None, connect: Connect | None = None, **more: Any) -> SqlWarehouse:
        """A warehouse on the real driver, unless it is given something else."""
        target = target or self.target()
        made = SqlWarehouse(target, connect or connector(target.warehouse, Session()), **more)
        self._ends.callback(made.close)
        return made

    def ready(self, contract: Contract | None = None, *, style: Style = "merge", **more: Any) -> SqlWarehouse:
        """A warehouse whose table is there."""
        made = self.warehouse(self.target(contract, style=style), **more)
        made.apply(made.compare(SECONDS), SECONDS)
        return made

    def stage(self, events: Sequence[Row], contract: Contract | None = None, name: str = "") -> Staged:
        """Put an object as the sink does."""
        rows = Table(contract or flights(schema=self.schema)).rows(events, [found["_event_id"] for found in events])
        return self.put(rows, len(events), name)

    def put(self, rows: bytes, count: int | None, name: str = "") -> Staged:
        """Put an object with these rows."""
        self._count += 1
        key = f"staging/{self.schema}/{name or self._count}.ndjson.gz"
        self.objects.put(key, compressor("gzip", 1)(rows, self._count))
        return Staged(self.objects.bucket, key, f"etag{self._count}", count)

    def load(self, *staged: Staged, id: str = "", put: Callable[[], object] = lambda: None) -> Load:  # noqa: A002
        """A load of objects; `put` is called before its manifest is written."""
        name = id or uuid.uuid4().hex

        def put_manifest(fresh: Sequence[Staged]) -> ObjectRef:
            put()
            place = ObjectRef(self.objects.bucket, f"manifests/{self.schema}/{name}.json")
            self.objects.put(place.key, manifest(each.ref for each in fresh))
            return place

        return Load(name, staged, put_manifest)

    def ids(self, table: str = "flights") -> list[str]:
        """Event ids of the table."""
        return [row[0] for row in self.run(f'SELECT _event_id FROM "{self.schema}"."{table}" ORDER BY 1')]

    def read(self, key: str) -> bytes:
        """An object's body."""
        return self.objects.s3.get_object(Bucket=self.objects.bucket, Key=key)["Body"].read()

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix."""
        found = self.objects.s3.list_objects_v2(Bucket=self.objects.bucket, Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def own(self, sql: str) -> None:
        """Run what the stand-in's own user does, and Redshift has other ways for: users and their passwords."""
        path = (self.server.directory / "data").resolve() / ".s.PGSQL.5432"
        wire = Wire.login(path, user=OWNER, database=self.server.database)
        try:
            wire.ask(sql)
        finally:
            wire.close()

    def run(self, sql: str) -> list[list[Any]]:
        """Run a statement on a connection of its own."""
        import redshift_connector

        with redshift_connector.connect(**self.server.login) as made, made.cursor() as cursor:
            made.autocommit = True
            cursor.execute(sql)
            return [list(row) for row in cursor.fetchall()] if cursor.description else []


def summary(loaded: Loaded) -> tuple[list[str], list[str], int]:
    """Keys loaded and known, shortened, and rows."""

    def short(locations: Any) -> list[str]:
        return sorted(where.rpartition("/")[2].partition(".")[0] for where in locations)

    return short(loaded.fresh), short(loaded.known), loaded.rows


class Broken:
    """A connection that breaks at its n-th statement (commits count), before it is sent or after it was carried out."""

    def __init__(self, connection: Connection, breaks: Breaks) -> None:
        self._connection = connection
        self._breaks = breaks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def run(self, query: Any, /) -> Any:
        return self._breaks.at(self._connection, lambda: self._connection.run(query))

    def change(self, query: Any, /) -> int:
        found: int = self._breaks.at(self._connection, lambda: self._connection.change(query))
        return found

    def commit(self) -> None:
        self._breaks.at(self._connection, self._connection.commit)


class Breaks:
    """Counts the statements of all connections, and breaks the one whose number is `at`."""

    def __init__(self, number: int, when: Literal["before", "after"]) -> None:
        self._number = number
        self._when = when
        self.count = 0

    def over(self, connect: Connect) -> Connect:
        return lambda seconds: Broken(connect(seconds), self)

    def at(self, connection: Connection, work: Callable[[], Any]) -> Any:
        self.count += 1
        if self.count != self._number:
            return work()
        if self._when == "after":
            work()
        connection.close()
        raise Lost("broken by the test")

    @property
    def broke(self) -> bool:
        return self.count >= self._number
