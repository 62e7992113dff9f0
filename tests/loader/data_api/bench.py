# ruff: noqa: S608 - names of the tests' own
"""A table in the stand-in for Redshift, and warehouses that load it through the stand-in for the Data API."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redshift_connector
from botocore.exceptions import ClientError, ReadTimeoutError
from redshift_connector.core import Connection

from aetherstream.loader.data_api import DataApiWarehouse
from aetherstream.loader.data_api_client import DataApi
from aetherstream.loader.memory import LoadMemory
from aetherstream.loader.parts import Load, Staged
from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.redshift.data_api import LocalDataApi
from aetherstream.testing.loads import MemoryLoads
from aetherstream.warehouse.contract import Contract
from aetherstream.warehouse.options import LoadTarget
from aetherstream.warehouse.sql import ObjectRef, Style, manifest
from tests.data_api_fixture import client_of
from tests.loader.sql_bench import SECONDS, Bench
from tests.redshift_fixture import Objects

KEY = "#load#flights#warehouse"


def soon(_: float) -> None:
    """A pause that is none."""


class DataBench(Bench):
    """One schema, loaded through the Data API."""

    def __init__(self, server: LocalRedshift, objects: Objects, schema: str, api: LocalDataApi) -> None:
        super().__init__(server, objects, schema, server.login)
        self.api = api
        self.client = client_of(api)
        self.memories = MemoryLoads()

    def target(self, contract: Contract | None = None, *, style: Style = "merge", **more: Any) -> LoadTarget:
        """A sink's target."""
        return super().target(contract, style=style, **{"auth": "iam", "workgroup": "group", **more})

    def through(self, target: LoadTarget | None = None, client: Any = None, **more: Any) -> DataApiWarehouse:
        """A warehouse on the real client, unless it is given something else."""
        target = target or self.target()
        memories = more.pop("memories", self.memories)
        api = DataApi(client or self.client, target.warehouse)
        return DataApiWarehouse(target, api, memories, KEY, **more)

    def made(self, contract: Contract | None = None, *, style: Style = "merge", **more: Any) -> DataApiWarehouse:
        """A warehouse whose table is there."""
        found = self.through(self.target(contract, style=style), **more)
        found.apply(found.compare(SECONDS), SECONDS)
        return found

    def load(self, *staged: Staged, id: str = "", put: Callable[[], object] = lambda: None) -> Load:  # noqa: A002
        """A load of objects; each manifest has its own place."""

        def put_manifest(fresh: Sequence[Staged]) -> ObjectRef:
            put()
            place = ObjectRef(self.objects.bucket, f"manifests/{self.schema}/{uuid.uuid4().hex}.json")
            self.objects.put(place.key, manifest(each.ref for each in fresh))
            return place

        return Load(id or uuid.uuid4().hex, staged, put_manifest)

    @property
    def memory(self) -> LoadMemory:
        """What is remembered of the sink's loads."""
        return self.memories.read(KEY)

    def submitted(self, load: str) -> int:
        """How many batches of a load the Data API has run, or runs."""
        found = self.client.list_statements(StatementName=load, Status="ALL")["Statements"]
        return sum(each["StatementName"] == load for each in found)

    def settled(self) -> str:
        """Wait for the end of the load that is remembered; its status."""
        running = self.memory.running
        assert running is not None
        while True:
            told = self.client.describe_statement(Id=running.statement, WaitTimeSeconds=30)
            if told["Status"] in ("FINISHED", "FAILED", "ABORTED"):
                return str(told["Status"])

    def entries(self) -> int:
        """Rows of the ledger."""
        ((count,),) = self.run(f'SELECT COUNT(*) FROM "{self.schema}".aetherstream_loads')
        return int(count)


@contextmanager
def held(bench: DataBench) -> Iterator[Connection]:
    """Somebody has the loaders' lock: a load that is submitted meanwhile runs, and comes to no end."""
    with redshift_connector.connect(**bench.server.login) as holding, holding.cursor() as cursor:
        cursor.execute(f'LOCK "{bench.schema}".aetherstream_turns')
        yield holding
        holding.rollback()


class Crash(BaseException):
    """The process is gone: nobody catches this."""


class Steps:
    """Counts the calls that leave the process, and ends it at the one whose number is `at`: before it, or after."""

    def __init__(self, number: int, *, after: bool, lost: bool = False) -> None:
        """`lost`: the process lives on, without the answer."""
        self._number = number
        self._after = after
        self._lost = lost
        self.count = 0
        self.at = ""

    @property
    def fired(self) -> bool:
        """Whether it came to that."""
        return bool(self.at)

    def client(self, client: Any) -> Any:
        """boto3's client, counted."""
        return _Counted(client, self)

    def memories(self, memories: MemoryLoads) -> Any:
        """The memory, counted."""
        return _Counted(memories, self)

    def call(self, name: str, work: Callable[[], Any]) -> Any:
        """Make one call."""
        self.count += 1
        if self.count != self._number:
            return work()
        self.at = name
        if self._after:
            work()
        if self._lost:
            raise ReadTimeoutError(endpoint_url=name)
        raise Crash(name)


class _Counted:
    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return lambda *args, **named: self._steps.call(name, lambda: method(*args, **named))


class Patient:
    """boto3's client, that looks at a statement when it is over: each load takes the same number of calls."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_statement(self, **request: Any) -> Any:
        return self._client.describe_statement(**request, WaitTimeSeconds=30)


class Refusing:
    """boto3's client, whose submissions of batches are refused with an error's code as often as `times`."""

    def __init__(self, client: Any, code: str, times: int = 1) -> None:
        self._client = client
        self._code = code
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def batch_execute_statement(self, **request: Any) -> Any:
        self._times -= 1
        if self._times >= 0:
            raise ClientError({"Error": {"Code": self._code, "Message": "no"}}, "BatchExecuteStatement")
        return self._client.batch_execute_statement(**request)
