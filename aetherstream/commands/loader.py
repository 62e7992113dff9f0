"""The loader function of a stack, as `aetherstream redshift` asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aetherstream.commands.answers import Answer
from aetherstream.commands.called import Called
from aetherstream.commands.deployed import Deployed
from aetherstream.commands.recovery import SECONDS, who
from aetherstream.errors import UsageError


class Loader:
    """The loader function: the pipeline as it is deployed now."""

    def __init__(self, deployed: Deployed) -> None:
        """Raises UsageError where the stack has none."""
        if "LoaderFunctionName" not in deployed.outputs:
            raise UsageError(
                f"the stack {deployed.name} has no loader function: it has no warehouse. It gets one with the "
                "parameter RedshiftEndpoint or RedshiftCreate"
            )
        self._function = Called(deployed, "loader", deployed.output("LoaderFunctionName"), SECONDS)

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Ask. Raises UsageError and Retryable with what the function, or Lambda, said."""
        return self._function.ask({**request, "by": who()})

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
