"""The one-machine stack: the emulator, the application deployed into it by sam, and a poller for each stream's mapping.

    with Stack(Path("template.yaml")) as stack:
        stack.clients.kinesis.put_records(StreamName=stack.outputs["StreamName"], Records=[...])
        stack.drain(60)

Whatever way the process ends, nothing of the stack stays behind: `stop` ends it in order, and when the process dies
without it, the emulator ends itself.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aetherstream.errors import UsageError
from aetherstream.local.deployment import Deployment, describe, settle_mappings
from aetherstream.local.destinations import Destinations
from aetherstream.local.environment import REGION, Clients, check_disk, choose_port, credentials
from aetherstream.local.esm.settings import MappingSettings
from aetherstream.local.invoke import Invoker, LambdaInvoker, in_process
from aetherstream.local.loads import Waiting, wait_for_loads, waiting
from aetherstream.local.ministack import MiniStack
from aetherstream.local.opensearch import LocalOpenSearch
from aetherstream.local.poller import Poller
from aetherstream.local.progress import Progress
from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.sam import Application, Sam
from aetherstream.local.search import Search
from aetherstream.local.shards import source_of
from aetherstream.local.state import StateDirectory
from aetherstream.local.wanted import OPENSEARCH, REDSHIFT, submits, wanted
from aetherstream.local.warehouse import Warehouse, data_api_variables

_Part = TypeVar("_Part")


class Stack:
    """A one-machine stack, from `start` to `stop`; also a context manager. Used from one thread.

    `state` is a directory that keeps the logs, the built package and the objects of S3 as files until the next start in
    it; without it they live in a temporary directory and go with the stack. `port` 0 takes a free one. `parameters` are
    the template's. `source` is the directory from which handlers are imported instead of being run by MiniStack, in
    this process, for a debugger. `environment` reaches MiniStack and so its functions. `say` is told each step.

    Where the pipeline has a sink for it, a real OpenSearch is started too, or that of OPENSEARCH_URL taken as it is,
    and a stand-in for Redshift, with its Data API for sinks that load through it; with `opensearch=False` or
    `redshift=False`, or where one can't be had, the other sinks run without it.
    """

    def __init__(
        self,
        template: Path = Path("template.yaml"),
        *,
        state: Path | None = None,
        port: int = 0,
        parameters: Mapping[str, str] | None = None,
        config_env: str = "local",
        stack_name: str = "aetherstream-local",
        source: Path | None = None,
        environment: Mapping[str, str] | None = None,
        region: str = REGION,
        opensearch: bool = True,
        redshift: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.application = Application(template.resolve(), config_env, stack_name)
        self.pollers: dict[str, Poller] = {}
        """The poller of each Kinesis event source mapping, by its logical id in the template."""
        self.table_pollers: dict[str, Poller] = {}
        """The same for the streams of tables: what these do follows from what the others did."""
        self.timings: dict[str, float] = {}
        """Seconds that each step of the start took."""
        self._checkpoints: dict[str, Mapping[str, str | None]] = {}
        self._wanted_state = state
        self._port = port
        self._parameters = dict(parameters or {})
        self._source = source
        self._environment = dict(environment or {})
        self._region = region
        self._opensearch = opensearch
        self._redshift = redshift
        self._say = say
        self._undo = ExitStack()
        self._state: StateDirectory | None = None
        self._ministack: MiniStack | None = None
        self._clients: Clients | None = None
        self._deployment: Deployment | None = None
        self._search: Search | None = None
        self._warehouse: Warehouse | None = None

    def start(self, *, poll: bool = True) -> Self:
        """Build, start, deploy and poll; with `poll=False` records wait until `start_polling`.

        Raises `UsageError` that says what is missing, taken or wrong; then nothing is left running.
        """
        try:
            directory = self._claim_directory()
            check_disk(directory)
            sam = Sam(self.application, directory, parameters=self._parameters, region=self._region)
            data_api = self._place_data_api(sam)
            self._ministack = MiniStack(
                directory,
                port=self._port,
                region=self._region,
                environment={**(data_api_variables(data_api) if data_api else {}), **self._environment},
            )
            self._undo.callback(self._ministack.stop)
            with self._step("start MiniStack"):
                self._ministack.start()
            search = self._launch_search(sam, directory)
            self._start_warehouse(sam, directory, data_api)
            with self._step("sam build"):
                sam.build()
            if search is not None:
                self._await_search(search, sam)
            with self._step("sam deploy"):
                sam.deploy(self._ministack.endpoint)
            self._clients = Clients(self._ministack.endpoint, self._region)
            settle_mappings(self._clients)
            self._deployment = describe(self._clients, self.application.stack_name)
            self._undo.callback(self.stop_polling)
            if poll:
                self.start_polling()
            self.write_status()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the pollers, the servers beside it, then MiniStack with its workers, then give the directory back.

        Twice does no harm.
        """
        self._undo.close()
        self._search = None
        self._warehouse = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_polling(self) -> None:
        """Start a poller for each event source mapping of a stream, with the settings of the deployed template."""
        for logical_id, properties in self.deployment.mappings.items():
            self.pollers[logical_id] = self._poller(logical_id, properties)
        for logical_id, properties in self.deployment.table_mappings.items():
            self.table_pollers[logical_id] = self._poller(logical_id, properties)

    def _poller(self, logical_id: str, properties: Mapping[str, Any]) -> Poller:
        settings = MappingSettings.from_template(properties)
        invoker: Invoker = (
            LambdaInvoker(self.clients.lambda_)
            if self._source is None
            else in_process(self.clients, settings.function_arn, self._source)
        )
        poller = Poller(
            settings,
            source=source_of(self.clients, settings.stream_arn),
            invoker=invoker,
            send=Destinations(self.clients),
            resume=self._checkpoints.get(logical_id),
        )
        poller.start()
        return poller

    def stop_polling(self) -> None:
        """Stop the pollers. `start_polling` continues behind the last record that each shard has finished."""
        for pollers in (self.pollers, self.table_pollers):
            for name, poller in pollers.items():
                poller.stop()
                self._checkpoints[name] = poller.checkpoints()
            pollers.clear()

    def drain(
        self,
        timeout: float,
        watch: Callable[[Progress], None] | None = None,
        *,
        loads: bool = True,
        watch_loads: Callable[[Waiting], None] | None = None,
    ) -> dict[str, Progress]:
        """Wait until everything put so far is processed or at its destination, and what came of it is there too.

        That is what tables' streams tell of it, and what was staged of it and is to be loaded (`wait_for_loads`, which
        `loads=False` leaves out). See `Poller.drain`; `watch` is told of the Kinesis streams, and so is the caller.
        """
        until = time.monotonic() + timeout
        drained = {
            name: poller.drain(max(0.0, until - time.monotonic()), watch) for name, poller in self.pollers.items()
        }
        for poller in self.table_pollers.values():
            poller.drain(max(0.0, until - time.monotonic()))
        if loads:
            self.wait_for_loads(max(0.0, until - time.monotonic()), watch_loads)
        return drained

    def wait_for_loads(self, timeout: float, watch: Callable[[Waiting], None] | None = None) -> None:
        """Wait until no object that was staged waits for its load; does nothing where there is no Redshift.

        `watch` is told about four times a second. Raises `UsageError` after `timeout` seconds, with what waits.
        """
        if "LoadQueueUrl" in self.outputs:
            wait_for_loads(self.loads, timeout, watch)

    def loads(self) -> Waiting:
        """What waits to be loaded."""
        return waiting(self.clients.sqs, self.outputs["LoadQueueUrl"], self.outputs["LoadDeadLetterQueueUrl"])

    def check(self) -> None:
        """Raise what broke: a poller's error, or `UsageError` when MiniStack is gone."""
        for poller in (*self.pollers.values(), *self.table_pollers.values()):
            poller.check()
        if not self.ministack.running:
            raise UsageError(f"MiniStack has ended by itself; its log is {self.ministack.log}")

    @property
    def ministack(self) -> MiniStack:
        """The emulator."""
        return _started(self._ministack)

    @property
    def opensearch(self) -> LocalOpenSearch | None:
        """The OpenSearch that was started for this stack: to be stopped and started again by whoever tests that."""
        return self._search.server if self._search is not None else None

    @property
    def opensearch_url(self) -> str | None:
        """The OpenSearch that the functions use; None when there is none."""
        return self._search.url if self._search is not None else None

    @property
    def opensearch_missing(self) -> str:
        """Why there is none though the pipeline has a sink for it; empty where that is not so."""
        return self._search.missing if self._search is not None else ""

    @property
    def warehouse(self) -> LocalRedshift | None:
        """The stand-in for Redshift that was started for this stack. People log in with its `login`."""
        return self._warehouse.server if self._warehouse is not None else None

    @property
    def warehouse_missing(self) -> str:
        """Why there is none though the pipeline has a sink for it; empty where that is not so."""
        return self._warehouse.missing if self._warehouse is not None else ""

    @property
    def clients(self) -> Clients:
        """boto3 clients of the stack."""
        return _started(self._clients)

    @property
    def deployment(self) -> Deployment:
        """What was deployed."""
        return _started(self._deployment)

    @property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of the template."""
        return self.deployment.outputs

    @property
    def endpoint(self) -> str:
        """The URL of every AWS service of the stack."""
        return self.ministack.endpoint

    @property
    def directory(self) -> Path:
        """Where the stack keeps its files."""
        return _started(self._state).path

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which other programs reach the stack."""
        return credentials(self.endpoint, self._region)

    def object_files(self, bucket: str) -> Path:
        """The directory that holds a bucket's objects as files, for tools that read files."""
        return self.ministack.objects / "000000000000" / bucket

    def worker_pids(self) -> list[int]:
        """The processes that run the functions now: to be killed by whoever tests that."""
        return self.ministack.worker_pids()

    def write_status(self) -> None:
        """Note for `aetherstream local status` how things stand."""
        _started(self._state).write_status(self.status())

    def status(self) -> dict[str, Any]:
        """Endpoint, outputs, and for each mapping its settings, checkpoints and numbers."""
        return {
            "endpoint": self.endpoint,
            "directory": str(self.directory),
            "pid": os.getpid(),
            "ministack_pid": self.ministack.pid,
            "opensearch": self.opensearch_url,
            "redshift": self._warehouse.status() if self._warehouse is not None else None,
            "environment": self.environment,
            "outputs": dict(self.outputs),
            "timings": {step: round(seconds, 2) for step, seconds in self.timings.items()},
            "mappings": {name: _mapping_status(poller) for name, poller in self.pollers.items()},
            "table_mappings": {name: _mapping_status(poller) for name, poller in self.table_pollers.items()},
        }

    def _launch_search(self, sam: Sam, directory: Path) -> Search | None:
        """Begin to start OpenSearch, where there is a sink for it: it comes up while sam builds."""
        if not self._opensearch or not wanted(OPENSEARCH, self.application, sam.parameters):
            return None
        search = Search(directory / "opensearch", os.environ, self._say)
        self._undo.callback(search.stop)
        with self._step("start OpenSearch"):
            search.launch()
        return search

    def _await_search(self, search: Search, sam: Sam) -> None:
        with self._step("wait for OpenSearch"):
            search.wait()
        if search.missing:
            self._say(f"without OpenSearch: {search.missing}")
        self._search = search
        sam.override(search.parameters)

    def _place_data_api(self, sam: Sam) -> int:
        """Choose a port for the Data API, where a sink loads through it; 0: none does.

        Functions are told by MiniStack's variables, and so before the warehouse is there.
        """
        if not self._redshift or not wanted(REDSHIFT, self.application, sam.parameters):
            return 0
        return choose_port() if submits(self.application, sam.parameters) else 0

    def _start_warehouse(self, sam: Sam, directory: Path, data_api: int) -> None:
        """Start the stand-in for Redshift, where there is a sink for it."""
        if not self._redshift or not wanted(REDSHIFT, self.application, sam.parameters):
            return
        warehouse = Warehouse(directory / "redshift", self.ministack.endpoint, data_api=data_api)
        self._undo.callback(warehouse.stop)
        with self._step("start the stand-in for Redshift"):
            warehouse.start(Clients(self.ministack.endpoint, self._region))
        if warehouse.missing:
            self._say(f"without Redshift: {warehouse.missing}")
        self._warehouse = warehouse
        sam.override(warehouse.parameters)

    def _claim_directory(self) -> Path:
        if self._wanted_state is None:
            temporary = tempfile.TemporaryDirectory(prefix="aetherstream-", ignore_cleanup_errors=True)
            self._undo.callback(temporary.cleanup)
            self._state = StateDirectory(Path(temporary.name))
        else:
            self._state = StateDirectory(self._wanted_state)
        self._state.claim()
        self._undo.callback(self._state.release)
        return self._state.path

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._say(name)
        began = time.monotonic()
        yield
        self.timings[name] = time.monotonic() - began


def _mapping_status(poller: Poller) -> dict[str, Any]:
    progress = poller.progress()
    fields = {name: getattr(progress, name) for name in progress.__dataclass_fields__}
    settings = {name: getattr(poller.settings, name) for name in poller.settings.__dataclass_fields__}
    return {"settings": settings, "checkpoints": poller.checkpoints(), "progress": fields}


def _started(part: _Part | None) -> _Part:
    if part is None:
        raise UsageError("the one-machine stack is not started: call start(), or use it in a `with` statement")
    return part
