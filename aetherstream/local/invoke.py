"""Two ways to run the function of a mapping: as deployed, by the Lambda API, or inside this process for a debugger.

Both are callables from an `Invoke` to its `Result`, safe to call from several threads.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from aetherstream.errors import UsageError
from aetherstream.local.environment import Clients, credentials
from aetherstream.local.esm.actions import FunctionError, Invoke, Result, Returned, Throttled

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

PAYLOAD_LIMIT = 6 * 1024 * 1024
"""AWS: request and response of a synchronous invocation are at most 6 MB each. MiniStack doesn't hold them to that."""

_logger = logging.getLogger(__name__)


class Invoker(Protocol):
    """Runs one invocation to its end."""

    def __call__(self, invoke: Invoke, /) -> tuple[Result, str]:
        """The result, and the error's text for a person (empty when there is none). Never raises."""
        ...


class LambdaInvoker:
    """Invokes the deployed function through the API. MiniStack ends it at its time-out, as AWS does."""

    def __init__(self, client: LambdaClient) -> None:
        self._client = client

    def __call__(self, invoke: Invoke, /) -> tuple[Result, str]:
        """See `Invoker`. What fails before the function ran is `Throttled` (AWS: not counted as a retry)."""
        try:
            response = self._client.invoke(FunctionName=invoke.function_arn, Payload=invoke.payload())
            payload = response["Payload"].read()
        except ReadTimeoutError as error:
            return FunctionError(), str(error)
        except (ClientError, BotoCoreError) as error:
            return Throttled(), str(error)
        version = response.get("ExecutedVersion", "$LATEST")
        request_id = response["ResponseMetadata"].get("RequestId")
        if kind := response.get("FunctionError"):
            return FunctionError(kind, version, request_id), _message(payload)
        if len(payload) > PAYLOAD_LIMIT:
            return FunctionError("Unhandled", version, request_id), _too_large(payload)
        return Returned(orjson.loads(payload) if payload else None, version, request_id), ""


@dataclass(frozen=True, slots=True)
class LocalContext:
    """The Lambda context object of an in-process invocation."""

    function_name: str
    function_version: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    aws_request_id: str
    log_group_name: str
    deadline: float
    """`time.monotonic()` at which AWS would end the function."""
    log_stream_name: str = "local"
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's time-out, never below 0."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


@dataclass(frozen=True)
class InProcessInvoker:
    """Runs the handler from its source in this process, one invocation at a time, as one execution environment does.

    The deadline shows in the context, but nothing is ended at it: somebody may be looking at a breakpoint.
    """

    handler: Callable[[Any, Any], Any]
    name: str
    arn: str
    timeout: float
    memory: int
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, invoke: Invoke, /) -> tuple[Result, str]:
        """See `Invoker`."""
        request_id = str(uuid.uuid4())
        event = orjson.loads(invoke.payload())
        with self._one_at_a_time:
            context = LocalContext(
                function_name=self.name,
                function_version="$LATEST",
                invoked_function_arn=self.arn,
                memory_limit_in_mb=self.memory,
                aws_request_id=request_id,
                log_group_name=f"/aws/lambda/{self.name}",
                deadline=time.monotonic() + self.timeout,
            )
            try:
                payload = json.dumps(self.handler(event, context)).encode()
            except Exception as error:  # the handler is anybody's code, and the runtime catches all of it
                _logger.exception("the handler of %s failed", self.name)
                return FunctionError("Unhandled", "$LATEST", request_id), f"{type(error).__name__}: {error}"
        if len(payload) > PAYLOAD_LIMIT:
            return FunctionError("Unhandled", "$LATEST", request_id), _too_large(payload)
        return Returned(json.loads(payload), "$LATEST", request_id), ""


def in_process(clients: Clients, function_arn: str, source: Path) -> InProcessInvoker:
    """The deployed function's handler, imported from `source`.

    This process gets the deployed variables and `source` as its working directory: both stay, as in a function.
    Raises `UsageError` when the handler can't be imported.
    """
    configuration = clients.lambda_.get_function_configuration(FunctionName=function_arn)
    variables = configuration.get("Environment", {}).get("Variables", {})
    os.environ.update(credentials(clients.endpoint, clients.region))
    os.environ.update(variables)
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = configuration["FunctionName"]
    module, _, function = configuration["Handler"].replace("/", ".").rpartition(".")
    os.environ["LAMBDA_TASK_ROOT"] = str(source)
    os.chdir(source)  # AWS: a function runs in the directory of its code
    if str(source) not in sys.path:
        sys.path.insert(0, str(source))
    try:
        handler = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"the handler {configuration['Handler']} can't be imported from {source}: {error}; "
            "name the directory of the function's code"
        ) from error
    return InProcessInvoker(
        handler, configuration["FunctionName"], function_arn, configuration["Timeout"], configuration["MemorySize"]
    )


def _message(payload: bytes) -> str:
    try:
        error = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload[:500].decode(errors="replace")
    if isinstance(error, dict):
        return f"{error.get('errorType', 'error')}: {error.get('errorMessage', '')}"
    return str(error)


def _too_large(payload: bytes) -> str:
    return f"Function.ResponseSizeTooLarge: the response has {len(payload)} bytes, the limit is {PAYLOAD_LIMIT}"
