"""A deployed stack as the commands reach it: its outputs, and clients in its Region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from aetherstream.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack of `template.yaml`."""

    name: str
    outputs: Mapping[str, str]
    """Value by output key."""
    session: Any
    """The boto3 session that found it."""
    endpoint_url: str | None

    def output(self, key: str) -> str:
        """Value of an output. Raises UsageError where the stack has none of this name."""
        if key not in self.outputs:
            raise UsageError(
                f"the stack {self.name} has no output {key}: it was deployed from an older template, or from another "
                "one; deploy the present template.yaml, or name the stack with --stack"
            )
        return self.outputs[key]

    def client(self, service: str, **more: Any) -> Any:
        """A client of an AWS service where the stack is."""
        return self.session.client(service, endpoint_url=self.endpoint_url, **more)

    def variables(self) -> dict[str, str]:
        """The environment of the stack's function. Raises UsageError where it can't be had."""
        from botocore.exceptions import BotoCoreError, ClientError

        name = self.output("FunctionAliasArn")
        try:
            found = self.client("lambda").get_function_configuration(FunctionName=name)
        except (BotoCoreError, ClientError) as error:
            raise UsageError(f"the environment of {name} can't be read: {error}") from error
        return dict(found.get("Environment", {}).get("Variables", {}))


def find(stack: str, *, endpoint_url: str | None, region: str | None, profile: str | None) -> Deployed:
    """Look a stack up. Raises UsageError where there is none or AWS can't be asked."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        answer = session.client("cloudformation", endpoint_url=endpoint_url).describe_stacks(StackName=stack)
    except (BotoCoreError, ClientError) as error:
        raise UsageError(
            f"the stack {stack} can't be looked up ({error}): name it with --stack, its Region with --region, and the "
            "one-machine stack's endpoint with --endpoint-url"
        ) from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0].get("Outputs", [])}
    return Deployed(stack, outputs, session, endpoint_url)


def on_a_stack(command: Command) -> Command:
    """Give a command the options that name a stack; it is called with `deployed`, which looks the stack up."""

    @wraps(command)
    def wrapper(
        *args: Any, stack: str, endpoint_url: str | None, region: str | None, profile: str | None, **options: Any
    ) -> Any:
        def deployed() -> Deployed:
            return find(stack, endpoint_url=endpoint_url, region=region, profile=profile)

        return command(*args, deployed=deployed, **options)

    decorated: Any = wrapper
    for option in (
        click.option("--profile", help="A profile of the AWS configuration."),
        click.option("--region", help="The stack's Region; by default that of the environment or profile."),
        click.option("--endpoint-url", help="Another endpoint than AWS's, e.g. that of the one-machine stack."),
        click.option("--stack", default="aetherstream", show_default=True, help="Name of the deployed stack."),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]
