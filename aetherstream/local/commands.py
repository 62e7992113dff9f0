"""`aetherstream local up | status | down`: the one-machine stack from a shell."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from aetherstream.errors import AetherStreamError, UsageError
from aetherstream.local.environment import choose_port
from aetherstream.local.ministack import tail
from aetherstream.local.stack import Stack
from aetherstream.local.state import DEFAULT_DIRECTORY, StateDirectory

START_SECONDS = 600.0
STOP_SECONDS = 60.0

_state_option = click.option(
    "--state-dir",
    "state_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DIRECTORY,
    show_default=True,
    help="Where the stack keeps its logs, the built package and the objects of S3 as files.",
)


@click.group()
def local() -> None:
    """Run the whole application on this machine, without Docker and without an AWS account."""


@local.command()
@_state_option
@click.option(
    "--template",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("template.yaml"),
    show_default=True,
    help="The SAM template to deploy; samconfig.toml is taken from its directory.",
)
@click.option("--config-env", default="local", show_default=True, help="The environment of samconfig.toml.")
@click.option("--port", default=0, help="The port on 127.0.0.1; without it a free one.")
@click.option(
    "--parameter", "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the template."
)
@click.option(
    "--detach", "-d", is_flag=True, help="Return when the stack is ready; stop it with `aetherstream local down`."
)
@click.option("--in-process", is_flag=True, help="Run the handlers in this process, for a debugger.")
@click.option(
    "--opensearch/--no-opensearch",
    default=True,
    show_default=True,
    help="Start a real OpenSearch for a pipeline that has a sink for it, or take that of OPENSEARCH_URL.",
)
@click.option(
    "--redshift/--no-redshift",
    default=True,
    show_default=True,
    help="Start a stand-in for Redshift for a pipeline that has a sink for it.",
)
def up(
    state_dir: Path,
    template: Path,
    config_env: str,
    port: int,
    parameters: tuple[str, ...],
    detach: bool,
    in_process: bool,
    opensearch: bool,
    redshift: bool,
) -> None:
    """Start the stack, deploy the template and process the stream until Ctrl-C."""
    given = dict(_pair(parameter) for parameter in parameters)
    if detach:
        if in_process:
            raise UsageError("--in-process is for a debugger in the foreground: leave out --detach")
        choose_port(port)
        options = ["--template", str(template), "--config-env", config_env, "--port", str(port)]
        for parameter in parameters:
            options += ["--parameter", parameter]
        if not opensearch:
            options.append("--no-opensearch")
        if not redshift:
            options.append("--no-redshift")
        _detach(state_dir, options)
        return
    # A shell without job control starts background commands with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, _terminate)
    stack = Stack(
        template,
        state=state_dir,
        port=port,
        parameters=given,
        config_env=config_env,
        source=template.resolve().parent if in_process else None,
        opensearch=opensearch,
        redshift=redshift,
        say=lambda step: click.echo(f"{step} ..."),
    )
    try:
        with stack:
            _describe(stack.status())
            click.echo("\nProcessing the stream; stop with Ctrl-C.")
            _watch(stack)
    except KeyboardInterrupt:
        click.echo("\nstopped")


@local.command()
@_state_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def status(state_dir: Path, as_json: bool) -> None:
    """Show the endpoint, the outputs, and for each mapping its settings and checkpoints."""
    state = StateDirectory(state_dir)
    said = state.status() if state.owner() is not None else {}
    if not said:
        raise UsageError(f"no one-machine stack runs in {state.path}: start one with `aetherstream local up`")
    if as_json:
        click.echo(json.dumps(said, indent=2))
        return
    _describe(said)
    for name, mapping in {**said["mappings"], **said.get("table_mappings", {})}.items():
        click.echo(f"\n{name}: {_line(mapping['progress'])}")
        for setting, value in mapping["settings"].items():
            click.echo(f"  {setting}: {value}")
        click.echo("  checkpoints:")
        for shard_id, checkpoint in mapping["checkpoints"].items():
            click.echo(f"    {shard_id}: {checkpoint or 'nothing finished yet'}")


@local.command()
@_state_option
def down(state_dir: Path) -> None:
    """Stop the stack of a state directory."""
    state = StateDirectory(state_dir)
    owner = state.owner()
    if owner is None:
        click.echo(f"no one-machine stack runs in {state.path}")
        return
    os.kill(owner, signal.SIGTERM)
    if not _wait_until(lambda: state.owner() is None, STOP_SECONDS):
        raise UsageError(
            f"process {owner} does not stop within {STOP_SECONDS:.0f} s: end it with `kill -9 {owner}`; "
            "MiniStack then ends itself"
        )
    click.echo(f"stopped; the objects and logs are still in {state.path}")


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    # One signal is enough: a second one must not interrupt the orderly end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _watch(stack: Stack) -> None:
    """Show how things stand, each second, until something ends it."""
    shown = ""
    while True:
        stack.check()
        stack.write_status()
        line = "   ".join(_line(mapping["progress"]) for mapping in stack.status()["mappings"].values())
        if sys.stdout.isatty():
            click.echo(f"\r\033[K{line}", nl=False)
        elif line != shown:
            click.echo(line)
        shown = line
        time.sleep(1)


def _detach(state_dir: Path, options: list[str]) -> None:
    """Start the same command in the background and wait until it is ready."""
    state = StateDirectory(state_dir)
    state.claim()  # says who has it, if somebody has
    state.release()
    log_path = state.path / "up.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "aetherstream.local.commands", "up", "--state-dir", str(state.path), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _wait_until(lambda: process.poll() is not None or bool(state.status().get("endpoint")), START_SECONDS)
    if process.poll() is not None or not state.status():
        raise UsageError(f"the stack did not start; the end of {log_path}:\n{tail(log_path)}")
    _describe(state.status())
    click.echo(
        f"\nrunning in the background (process {process.pid}, log {log_path}); stop with `aetherstream local down`"
    )


def _wait_until(condition: Any, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _describe(said: Mapping[str, Any]) -> None:
    click.echo(f"\nendpoint   {said['endpoint']}")
    if said.get("opensearch"):
        click.echo(f"opensearch {said['opensearch']}")
    if login := said.get("redshift"):
        click.echo(f"redshift   {login['endpoint']}, user {login['user']}, password {login['password']}")
    click.echo(f"files      {said['directory']}")
    for name, value in said["outputs"].items():
        click.echo(f"{name:<28} {value}")
    click.echo("\nFor boto3, the AWS CLI and sam:")
    for name, value in said["environment"].items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _line(progress: Mapping[str, Any]) -> str:
    text = (
        f"{progress['finished']} of {progress['read']} records, {progress['invocations']} invocations, "
        f"{progress['failed']} failed, {progress['discarded']} given up, {progress['behind_seconds']:.0f} s behind"
    )
    return f"{text}; last error: {progress['last_error']}" if progress["last_error"] else text


def _pair(parameter: str) -> tuple[str, str]:
    name, separator, value = parameter.partition("=")
    if not separator:
        raise UsageError(f"--parameter {parameter!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":  # the background process of --detach
    try:
        local()
    except AetherStreamError as error:
        raise SystemExit(f"error: {error}") from None
