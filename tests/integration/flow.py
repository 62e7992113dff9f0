"""A pipeline at work in the shared stack: a function, a stream, a bucket and a poller that no other test touches."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

from aetherstream.local.destinations import Destinations
from aetherstream.local.esm.settings import MappingSettings
from aetherstream.local.invoke import LambdaInvoker
from aetherstream.local.poller import Poller
from aetherstream.local.progress import Progress
from aetherstream.local.shards import source_of
from aetherstream.local.stack import Stack
from tests.integration.ground import Ground

DRILL = "pipelines/drill/drill.yaml"


def ground_of(stack: Stack, name: str, pipeline: str, shards: int = 1) -> Ground:
    """Make a stream, a bucket, a bucket for dead letters and a table for progress items."""
    clients = stack.clients
    clients.kinesis.create_stream(StreamName=name, ShardCount=shards)
    clients.kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    for bucket in (name, f"{name}-dead"):
        clients.s3.create_bucket(Bucket=bucket)
    clients.get("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    return Ground(clients, pipeline, name, name, f"{name}-dead", name)


class Polled:
    """A function with a poller from `start` to `stop`; also a context manager."""

    def __init__(self, stack: Stack, ground: Ground, settings: MappingSettings) -> None:
        self.stack = stack
        self.ground = ground
        self.settings = settings
        self._poller: Poller | None = None

    @property
    def poller(self) -> Poller:
        """The poller, once it is started."""
        assert self._poller is not None
        return self._poller

    def start(self) -> Self:
        """Begin to poll."""
        clients = self.stack.clients
        self._poller = Poller(
            self.settings,
            source=source_of(clients, self.settings.stream_arn),
            invoker=LambdaInvoker(clients.lambda_),
            send=Destinations(clients),
        )
        self._poller.start()
        return self

    def stop(self) -> None:
        """Stop polling."""
        if self._poller is not None:
            self._poller.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def drain(self, seconds: float = 120.0) -> Progress:
        """Wait until every record put so far is processed or dead-lettered."""
        return self.poller.drain(seconds)

    def kill(self) -> None:
        """Kill the processes of every function, as a machine that fails does."""
        for pid in self.stack.worker_pids():
            os.kill(pid, signal.SIGKILL)


class Flow(Polled):
    """A function of the test's own variables, with the package that `sam build` made and `sam deploy` deployed.

    `mapping` overrides settings of the deployed mapping. `endpoint` is where the function finds AWS.
    """

    def __init__(
        self,
        stack: Stack,
        ground: Ground,
        *,
        pipeline: str = DRILL,
        variables: Mapping[str, str] | None = None,
        mapping: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> None:
        given = {
            "AETHERSTREAM_PIPELINE": pipeline,
            "AETHERSTREAM_BUCKET": ground.bucket,
            "AETHERSTREAM_PROGRESS_TABLE": ground.table,
            **({} if endpoint is None else {"AWS_ENDPOINT_URL": endpoint}),
            **(variables or {}),
        }
        self.function_arn, self.variables = _create_function(stack, ground.stream, given)
        (properties,) = stack.deployment.mappings.values()
        summary = stack.clients.kinesis.describe_stream_summary(StreamName=ground.stream)["StreamDescriptionSummary"]
        settings = replace(
            MappingSettings.from_template(properties),
            stream_arn=summary["StreamARN"],
            function_arn=self.function_arn,
            on_failure=f"arn:aws:s3:::{ground.dead_letters}",
            **(mapping or {}),
        )
        super().__init__(stack, ground, settings)

    def deploy(self, **variables: str) -> None:
        """Change variables of the function: its next invocation runs in a new process."""
        self.variables |= variables
        self.stack.clients.lambda_.update_function_configuration(
            FunctionName=self.ground.stream, Environment={"Variables": self.variables}
        )

    def invoke_empty(self) -> str:
        """Invoke the function with an event without records; what it answers, as text."""
        answer = self.stack.clients.lambda_.invoke(FunctionName=self.function_arn, Payload=b'{"Records": []}')
        return answer["Payload"].read().decode()

    def stop(self) -> None:
        """Stop polling and remove the function with its processes."""
        super().stop()
        self.stack.clients.lambda_.delete_function(FunctionName=self.ground.stream)


def _create_function(stack: Stack, name: str, variables: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """A copy of the deployed function with other variables; its ARN, and all of its variables."""
    deployed = stack.clients.lambda_.get_function(FunctionName=stack.outputs["FunctionName"])
    configuration = deployed["Configuration"]
    with urlopen(deployed["Code"]["Location"]) as package:  # noqa: S310 - the stack's own
        code = package.read()
    everything = {**configuration["Environment"]["Variables"], **variables}
    created = stack.clients.lambda_.create_function(
        FunctionName=name,
        Runtime=configuration["Runtime"],
        Role=configuration["Role"],
        Handler=configuration["Handler"],
        Timeout=configuration["Timeout"],
        MemorySize=configuration["MemorySize"],
        Environment={"Variables": everything},
        Code={"ZipFile": code},
    )
    return created["FunctionArn"], everything
