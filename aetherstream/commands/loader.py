"""The loader function of a stack, as `aetherstream redshift` asks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from aetherstream.commands.deployed import Deployed
from aetherstream.commands.recovery import SECONDS, who
from aetherstream.errors import Retryable, UsageError

Answer = Mapping[str, Any]


class Loader:
    """The loader function: the pipeline as it is deployed now."""

    def __init__(self, deployed: Deployed) -> None:
        """Raises UsageError where the stack has none."""
        from botocore.config import Config

        if "LoaderFunctionName" not in deployed.outputs:
            raise UsageError(
                f"the stack {deployed.name} has no loader function: it has no warehouse. It gets one with the "
                "parameter RedshiftEndpoint or RedshiftCreate"
            )
        self._function = deployed.output("LoaderFunctionName")
        # A request is asked again by people, not by the client: the first one may still be at work.
        config = Config(read_timeout=SECONDS + 10, retries={"max_attempts": 0}, tcp_keepalive=True)
        self._lambda = deployed.client("lambda", config=config)

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Ask. Raises UsageError and Retryable with what the function, or Lambda, said."""
        from botocore.exceptions import BotoCoreError, ClientError

        payload = json.dumps({**request, "by": who()}).encode()
        try:
            answer = self._lambda.invoke(FunctionName=self._function, Payload=payload)
            found: Any = json.loads(answer["Payload"].read())
        except (BotoCoreError, ClientError) as error:
            raise Retryable(f"the loader function {self._function} can't be called: {error}") from error
        if "FunctionError" in answer:
            kind, text = found.get("errorType", "error"), found.get("errorMessage", "")
            raise Retryable(f"the loader function {self._function} ended: {kind}: {text}")
        if found["state"] != "done":
            raise UsageError(found["message"])
        return dict(found)

    def through(self, request: Mapping[str, Any], watch: Callable[[Answer], None]) -> list[Answer]:
        """Ask until each sink is through, where one call has not the time; what they say is added up.

        `watch` is told of a sink between two calls.
        """
        return [self._to_the_end(request, sink, watch) for sink in self.ask(request)["sinks"]]

    def _to_the_end(self, request: Mapping[str, Any], told: Answer, watch: Callable[[Answer], None]) -> Answer:
        while told.get("after") and "trouble" not in told:
            watch(told)
            [more] = self.ask({**request, "sink": told["sink"], "after": told["after"]})["sinks"]
            told = {name: _together(told[name], value) if name in told else value for name, value in more.items()}
        return told


def _together(before: Any, value: Any) -> Any:
    """Counts and lists are added up; of anything else the latter counts."""
    if type(value) in (int, list) and type(before) is type(value):
        return before + value
    return value
