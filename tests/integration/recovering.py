"""A recovery function beside a pipeline at work, and a stack whose outputs name both for the commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import urlopen

from aetherstream.local.stack import Stack
from tests.integration.commands import Commands
from tests.integration.flow import DRILL, Flow
from tests.integration.ground import Ground


class Recovering(Commands):
    """The recovery function of a ground, with variables of the test's own; a context manager that removes it."""

    def __init__(
        self, stack: Stack, ground: Ground, flow: Flow, directory: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{ground.stream}-recovery", directory, stack.environment)
        self._clients = stack.clients
        deployed = self._clients.lambda_.get_function(FunctionName=stack.outputs["RecoveryFunctionName"])
        configuration = deployed["Configuration"]
        with urlopen(deployed["Code"]["Location"]) as package:  # noqa: S310 - the stack's own
            code = package.read()
        self._clients.lambda_.create_function(
            FunctionName=self.name,
            Runtime=configuration["Runtime"],
            Role=configuration["Role"],
            Handler=configuration["Handler"],
            Timeout=configuration["Timeout"],
            MemorySize=configuration["MemorySize"],
            Environment={
                "Variables": {
                    **configuration["Environment"]["Variables"],
                    "AETHERSTREAM_PIPELINE": DRILL,
                    "AETHERSTREAM_BUCKET": ground.bucket,
                    "AETHERSTREAM_PROGRESS_TABLE": ground.table,
                    "AETHERSTREAM_STREAM": flow.settings.stream_arn,
                    "AETHERSTREAM_DEAD_LETTERS": ground.dead_letters,
                    "AETHERSTREAM_FUNCTION": flow.ground.stream,
                    **(variables or {}),
                }
            },
            Code={"ZipFile": code},
        )
        outputs = {
            "StreamName": ground.stream,
            "StreamArn": flow.settings.stream_arn,
            "BucketName": ground.bucket,
            "DeadLetterBucketName": ground.dead_letters,
            "ProgressTableName": ground.table,
            "RecoveryFunctionName": self.name,
        }
        template = {
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        self._clients.cloudformation.create_stack(StackName=self.name, TemplateBody=json.dumps(template))
        self._clients.cloudformation.get_waiter("stack_create_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 1}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.lambda_.delete_function(FunctionName=self.name)
        self._clients.cloudformation.delete_stack(StackName=self.name)

    def deploy(self, **variables: str) -> None:
        """Change variables of the function: its next invocation runs in a new process."""
        known = self._clients.lambda_.get_function_configuration(FunctionName=self.name)["Environment"]["Variables"]
        self._clients.lambda_.update_function_configuration(
            FunctionName=self.name, Environment={"Variables": known | variables}
        )
