"""The functions of a pipeline with aggregates, run in this process by pollers, on a real emulator."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest

from aetherstream.app import start
from aetherstream.closer_app import start_closer
from aetherstream.emitter_app import start_emitter
from aetherstream.local.destinations import Destinations
from aetherstream.local.environment import credentials
from aetherstream.local.esm.actions import FunctionError, Invoke, Result, Returned
from aetherstream.local.esm.settings import MappingSettings
from aetherstream.local.poller import Poller
from aetherstream.local.progress import Progress
from aetherstream.local.shards import source_of
from aetherstream.recovery_app import start_recovery
from aetherstream.settings import Settings, from_environment
from tests.integration.aggregating import PIPELINE, Aggregating
from tests.integration.ground import until

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:drill"


class Context:
    """Lambda's context: an invocation that may take so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.aws_request_id = uuid4().hex
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._end - time.monotonic()) * 1000))


class Here:
    """Each function is composed as it is in Lambda, and may find AWS at an endpoint of its own."""

    def __init__(
        self, world: Aggregating, patch: pytest.MonkeyPatch, variables: Mapping[str, str] | None = None
    ) -> None:
        self.world = world
        self._patch = patch
        self._variables = {"AETHERSTREAM_PIPELINE": str(PIPELINE), **world.variables, **(variables or {})}
        for name, value in {
            "POWERTOOLS_SERVICE_NAME": world.ground.stream,
            "POWERTOOLS_METRICS_NAMESPACE": "AetherStream",
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        }.items():
            patch.setenv(name, value)
        self._warm: dict[Any, Any] = {}
        self.reported = 0
        """Batches of the stream that were left for retry."""
        self.errors: list[str] = []
        self.seconds = 300.0
        """That an invocation may take."""
        self.blocked: set[str] = set()
        """Shards whose batches fail before anything is done."""
        self._checkpoints: dict[str, Mapping[str, str | None]] = {}

    def compose(self, make: Callable[[Settings], Any], endpoint: str = "") -> Any:
        """A function, as its process has it; with each endpoint it is another one, and stays warm."""
        if (make, endpoint) not in self._warm:
            for name, value in credentials(endpoint or self.world.ground.clients.endpoint).items():
                self._patch.setenv(name, value)
            self._warm[make, endpoint] = make(from_environment(self._variables))
        return self._warm[make, endpoint]

    def deliver(self, endpoint: str = "", holds: Callable[[], object] | None = None, **settings: Any) -> Progress:
        """Process what is on the stream by the stream function: all, or until something holds."""
        app = self.compose(start, endpoint)

        def invoke(asked: Invoke) -> tuple[Result, str]:
            if asked.shard_id in self.blocked:
                return FunctionError(), "blocked"
            return self._answered(app, asked)

        mapping = {"batch_size": 10_000, **settings}
        return self._poll(self.world.stream_arn, invoke, mapping, holds)

    def emit(self, endpoint: str = "", holds: Callable[[], object] | None = None) -> Progress:
        """Emit what the table's stream tells of: all, or until something holds."""
        app = self.compose(start_emitter, endpoint)
        mapping = {"batch_size": 1000}
        return self._poll(self.world.table_stream, lambda asked: self._answered(app, asked), mapping, holds)

    def forget(self) -> None:
        """Begin to read both streams anew."""
        self._checkpoints.clear()

    def close(self, upto: str | None = None, endpoint: str = "") -> dict[str, Any]:
        """Run the closer once."""
        app = self.compose(start_closer, endpoint)
        return dict(app.handle({} if upto is None else {"upto": upto}, Context(self.seconds)))

    def recover(self, do: str, **given: Any) -> dict[str, Any]:
        """Ask the recovery function."""
        return dict(self.compose(start_recovery).handle({"do": do, "by": "me", **given}, Context(self.seconds)))

    def _answered(self, app: Any, asked: Invoke) -> tuple[Result, str]:
        try:
            answer = app.handle(asked.event, Context(self.seconds))
        except Exception as error:  # noqa: BLE001 - as the runtime of Lambda does
            self.errors.append(str(error))
            return FunctionError(), str(error)
        self.reported += bool(answer["batchItemFailures"])
        return Returned(answer), ""

    def _poll(
        self,
        arn: str,
        invoke: Callable[[Invoke], tuple[Result, str]],
        settings: Mapping[str, Any],
        holds: Callable[[], object] | None = None,
    ) -> Progress:
        clients = self.world.ground.clients
        mapping = MappingSettings(
            stream_arn=arn,
            function_arn=FUNCTION,
            report_batch_item_failures=True,
            on_failure=f"arn:aws:s3:::{self.world.ground.dead_letters}",
            **settings,
        )
        poller = Poller(
            mapping,
            source=source_of(clients, arn),
            invoker=invoke,
            send=Destinations(clients),
            resume=self._checkpoints.get(arn),
        )
        with poller:
            try:
                if holds is None:
                    return poller.drain(60)
                until(holds, "what is waited for has happened")
                return poller.progress()
            finally:
                self._checkpoints[arn] = poller.checkpoints()
