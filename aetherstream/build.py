"""What the package says of its own build, and whether it fits where it runs.

Imports nothing with native code: a package that was built for another platform is refused here by name, before one of
its libraries fails to load with a message about a missing module.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from aetherstream.errors import ConfigurationError

FILE = Path(__file__).parent / "_build.json"
"""Written by scripts/build_function.py."""

_ARCHITECTURES = {"aarch64": "arm64", "amd64": "x86_64"}


@dataclass(frozen=True, slots=True)
class Build:
    """What the package was built for."""

    pipeline_version: str
    """Twelve hex digits for everything in the package that decides what a record becomes."""
    python: str
    """For example `3.13`."""
    architecture: str
    """`arm64` or `x86_64`, as the template says it."""
    target: str
    """`python3.13-arm64`, or `host` for the one-machine stack."""


def about(file: Path = FILE) -> Build | None:
    """Read what the package was built for; None where the code runs from its repository."""
    return Build(**json.loads(file.read_bytes())) if file.exists() else None


def version(build: Build | None) -> str:
    """Name the build in the pipeline version."""
    return "unbuilt" if build is None else build.pipeline_version


def check(build: Build | None, *, on_aws: bool, python: str = "", machine: str = "") -> None:
    """Refuse a package that was built for something else.

    Args:
        build: what `about` read.
        on_aws: whether this is AWS Lambda, where only wheels chosen for its glibc are sure to load.
        python: the running version (`3.13`), if it is not this process's own.
        machine: the running machine (`aarch64`), if it is not this one.

    Raises:
        ConfigurationError: it names what was built, what runs, and the command that makes them agree.
    """
    if build is None:
        return
    python = python or f"{sys.version_info[0]}.{sys.version_info[1]}"
    machine = (machine or platform.machine()).lower()
    architecture = _ARCHITECTURES.get(machine, machine)
    fits = (build.python, build.architecture) == (python, architecture)
    if fits and not (on_aws and build.target == "host"):
        return
    wanted = f"BuildFor=lambda PythonVersion={python} Architecture={architecture}" if on_aws else "BuildFor=host"
    built_on = "the machine that built it (BuildFor=host), " if build.target == "host" else ""
    where = "Lambda with " if on_aws else ""
    raise ConfigurationError(
        f"this package was built for {built_on}Python {build.python} on {build.architecture}, but it runs in {where}"
        f"Python {python} on {architecture}: give `sam build` and `sam deploy` the same parameter overrides. "
        f"Rebuild with `sam build --parameter-overrides {wanted}` and deploy again"
    )
