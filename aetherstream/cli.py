"""The `aetherstream` command.

A command's module is imported when the command is called, so `aetherstream check` needs neither boto3 nor the local
stack. An expected error is one message on stderr: exit code 2 for a wrong call or configuration, 1 for failed tests or
a world at fault.
"""

from importlib import import_module
from typing import Any

import click

from aetherstream.errors import AetherStreamError, ConfigurationError, UsageError

# name: module, attribute, the extra that its imports come with, what `aetherstream --help` says
COMMANDS = {
    "check": ("aetherstream.commands.pipeline", "check", "cli", "Check pipeline files; name every mistake."),
    "explain": ("aetherstream.commands.pipeline", "explain", "cli", "Print what a pipeline does, in words."),
    "test": ("aetherstream.commands.pipeline", "test", "cli", "Run the tests beside a pipeline."),
    "schema": ("aetherstream.commands.pipeline", "schema", "cli", "Print the JSON Schema of pipeline files."),
    "run": ("aetherstream.commands.run", "run", "cli", "Push events through a pipeline on this machine, without AWS."),
    "produce": ("aetherstream.producer.commands", "produce", "cli", "Put events from a file or stdin on a stream."),
    "tail": ("aetherstream.producer.commands", "tail", "cli", "Sample a stream, decoded."),
    "progress": ("aetherstream.commands.progress", "progress", "cli", "Show where each shard stands; set one back."),
    "replay": ("aetherstream.commands.replay", "replay", "cli", "Give sinks what they lack, from stream or archive."),
    "shadow": ("aetherstream.commands.shadow", "shadow", "cli", "Show what a changed pipeline would do differently."),
    "dlq": ("aetherstream.commands.dlq", "dlq", "cli", "Batches that Lambda gave up: show, bring back."),
    "quarantine": (
        "aetherstream.commands.quarantine",
        "quarantine",
        "cli",
        "Records that were refused: show, mend, bring back.",
    ),
    "opensearch": (
        "aetherstream.commands.opensearch",
        "opensearch",
        "cli",
        "Index templates and policies: set them up.",
    ),
    "breaker": ("aetherstream.commands.breaker", "breaker", "cli", "Sinks that are down, and their spills."),
    "aggregates": (
        "aetherstream.commands.aggregates",
        "aggregates",
        "cli",
        "Windows of live aggregates: show, recompute.",
    ),
    "redshift": ("aetherstream.commands.redshift", "redshift", "cli", "Tables of Redshift sinks, and their loads."),
    "local": ("aetherstream.local.commands", "local", "local", "Run the one-machine stack."),
}


class ExpectedError(click.ClickException):
    """An error that the person at the keyboard can do something about."""

    def __init__(self, error: AetherStreamError) -> None:
        super().__init__(str(error))
        self.exit_code = 2 if isinstance(error, ConfigurationError | UsageError) else 1


class LazyGroup(click.Group):
    """Imports a command when it is called, and shows expected errors as one message."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """See click."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """See click."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, extra, _ = COMMANDS[cmd_name]
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("aetherstream"):
                raise
            raise click.ClickException(
                f"`aetherstream {cmd_name}` needs the Python package {error.name}: pip install 'aetherstream[{extra}]'"
            ) from None
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is no click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click; an unknown command names the nearest."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from aetherstream.transforms.mistakes import nearest

            ctx.fail(f"No such command {args[0]!r}{nearest(args[0], COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """See click; without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, _, _, words) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """See click."""
        try:
            return super().invoke(ctx)
        except AetherStreamError as error:
            raise ExpectedError(error) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aetherstream")
def main() -> None:
    """Kinesis Data Streams to S3 on Lambda: every record once, or kept where you can find it."""
