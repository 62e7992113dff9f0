"""The `aetherstream` command, run in a process of its own on a stack."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stack_fixture import ROOT


class Commands:
    """Runs commands in a directory, on the stack of a name."""

    def __init__(self, name: str, directory: Path, environment: Mapping[str, str]) -> None:
        """`environment`: with which AWS is found."""
        self.name = name
        self._directory = directory
        self._environment = environment

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        command = [sys.executable, "-c", "from aetherstream.cli import main; main()", *arguments, "--stack", self.name]
        environment = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT), **self._environment}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self._directory, env=environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command; what it prints. It has to end with `code`."""
        process = self.start(*arguments)
        said, complained = process.communicate()
        assert process.returncode == code, said + complained
        return said

    def lines(self, *arguments: str, code: int = 0) -> list[Any]:
        """The same with `--json`."""
        return [json.loads(line) for line in self.run(*arguments, "--json", code=code).splitlines()]
