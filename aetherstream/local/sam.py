"""`sam build` and `sam deploy`, exactly as a person would run them, against the one-machine endpoint."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from aetherstream.errors import UsageError
from aetherstream.local.environment import REGION, clean_environment, credentials, find_tool
from aetherstream.local.ministack import tail


@dataclass(frozen=True, slots=True)
class Application:
    """A SAM application: where it stands and how it is deployed."""

    template: Path
    """The template as written, not the built one."""
    config_env: str = "local"
    """The environment of the `samconfig.toml` beside the template."""
    stack_name: str = "aetherstream-local"

    @property
    def directory(self) -> Path:
        """Where sam runs: beside the template."""
        return self.template.parent

    @property
    def config_file(self) -> Path:
        """The `samconfig.toml` beside the template."""
        return self.directory / "samconfig.toml"


class Sam:
    """Runs sam for one application with a build directory of its own, so that parallel runs don't meet.

    Parameters of the template come, each overriding the one before, from the template's defaults, from
    `samconfig.toml`, from what this machine dictates (Python version, architecture, MiniStack's poller off; as far as
    the template declares them), and from `parameters`.
    """

    def __init__(
        self,
        application: Application,
        directory: Path,
        *,
        parameters: Mapping[str, str] | None = None,
        region: str = REGION,
    ) -> None:
        if not application.template.is_file():
            raise UsageError(
                f"no SAM template at {application.template}: run this in the directory of template.yaml, "
                "or name it with --template"
            )
        self.application = application
        self.region = region
        self.build_directory = directory / "build"
        self.log = directory / "sam.log"
        self._executable = find_tool("sam", package="aws-sam-cli")
        self.parameters: Mapping[str, str] = self._resolve_parameters(parameters or {})
        """What sam is told, by name."""

    def override(self, parameters: Mapping[str, str]) -> None:
        """Set parameters for what follows, over all others."""
        self.parameters = {**self.parameters, **parameters}

    def build(self) -> None:
        """`sam build`, without Docker. Raises `UsageError` with sam's last words."""
        # The makefile build learns the target by variables; the functions run on this machine.
        target = {"AETHERSTREAM_PYTHON": python_version(), "AETHERSTREAM_ARCH": architecture()}
        self._run(
            ["build", "--template-file", str(self.application.template), "--build-dir", str(self.build_directory)],
            target,
            mode="wb",
        )

    def deploy(self, endpoint: str) -> None:
        """`sam deploy` of what was built. Raises `UsageError` with sam's last words."""
        self._run(
            [
                "deploy",
                *("--template-file", str(self.build_directory / "template.yaml")),
                *("--stack-name", self.application.stack_name),
                *("--region", self.region),
                "--no-confirm-changeset",
                "--no-fail-on-empty-changeset",
                "--no-progressbar",
            ],
            # sam asks for the stack's events every 5 s, which is most of a local deployment.
            {**credentials(endpoint, self.region), "SAM_CLI_POLL_DELAY": "0.3"},
            mode="ab",
        )

    def _run(self, arguments: list[str], environment: Mapping[str, str], *, mode: str) -> None:
        command = [self._executable, *arguments]
        if self.application.config_file.is_file():
            command += ["--config-file", str(self.application.config_file)]
            command += ["--config-env", self.application.config_env]
        if self.parameters:
            command += ["--parameter-overrides", *(f"{name}={_quoted(v)}" for name, v in self.parameters.items())]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        everything = {**clean_environment(), "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": self.region, **environment}
        with self.log.open(mode) as log:
            returncode = _run_in_group(command, self.application.directory, everything, log)
        if returncode:
            raise UsageError(
                f"`sam {arguments[0]}` of {self.application.template} failed (exit code {returncode}); "
                f"the whole output is in {self.log}, its end:\n{tail(self.log, 25)}"
            )

    def _resolve_parameters(self, given: Mapping[str, str]) -> dict[str, str]:
        declared = declared_parameters(self.application.template)
        machine = {
            "PythonVersion": python_version(),
            "Architecture": architecture(),
            "EventSourceMappingEnabled": "false",
        }
        known = {name: value for name, value in machine.items() if name in declared}
        return {**self._configured(), **known, **given}

    def _configured(self) -> dict[str, str]:
        """`parameter_overrides` of samconfig.toml: on the command line they'd be replaced as a whole."""
        if not self.application.config_file.is_file():
            return {}
        config = tomllib.loads(self.application.config_file.read_text())
        commands = config.get(self.application.config_env, {})
        merged: dict[str, str] = {}
        for command in ("global", "build", "deploy"):
            overrides = commands.get(command, {}).get("parameters", {}).get("parameter_overrides", [])
            merged.update(_pairs(overrides))
        return merged


def _run_in_group(command: list[str], directory: Path, environment: Mapping[str, str], log: IO[bytes]) -> int:
    """Run to the end; when this process is interrupted meanwhile, end the command with everything it started."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def python_version() -> str:
    """This Python's version as Lambda writes it: `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def architecture() -> str:
    """This machine's architecture as Lambda writes it: `arm64` or `x86_64`."""
    return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"


def declared_parameters(template: Path) -> dict[str, Any]:
    """The `Parameters` section of a template. Raises `UsageError` when it isn't YAML."""
    try:
        document = yaml.load(template.read_text(), Loader=_TemplateLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise UsageError(f"{template} is not a template that can be read: {error}") from error
    parameters: dict[str, Any] = (document or {}).get("Parameters") or {}
    return parameters


class _TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's short tags (`!Ref`, `!Sub`, ...) as nothing: only `Parameters` is wanted here."""


_TemplateLoader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def _pairs(overrides: str | list[str]) -> Iterator[tuple[str, str]]:
    for pair in shlex.split(overrides) if isinstance(overrides, str) else overrides:
        name, separator, value = pair.partition("=")
        if separator:
            yield name, value.strip('"')


def _quoted(value: str) -> str:
    return value if value and not set(value) & set(' ",=') else '"' + value.replace('"', '\\"') + '"'
