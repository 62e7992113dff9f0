"""microburst's PostgreSQL mode before the stand-in for Redshift."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

from aetherstream.local.environment import choose_port


class Microburst:
    """A proxy from `with` to its end: statements fail by rules, decided before they go on to the server."""

    def __init__(self, host: str, port: int) -> None:
        self.port, self._control = choose_port(), choose_port()
        command = [sys.executable, "-u", "-m", "microburst", "--protocol", "postgres", "--host", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, "--port", f"{self.port}", "--control-port", f"{self._control}", "--upstream", f"{host}:{port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        while said and "control API" not in said:
            said = self._process.stdout.readline()
        assert said, "microburst did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Asked to end, it would wait for the statements that it holds.
        self._process.kill()
        self._process.communicate()

    def obey(self, *rules: dict[str, Any]) -> None:
        """Replace the rules."""
        headers = {"Content-Type": "application/json"}
        self._ask("rules", urllib.request.Request(self._url("rules"), json.dumps(rules).encode(), headers))  # noqa: S310

    def fired(self) -> list[str]:
        """What has been done so far, oldest first."""
        return [one["action"] for one in json.loads(self._ask("fired", urllib.request.Request(self._url("fired"))))]  # noqa: S310

    def _url(self, what: str) -> str:
        return f"http://127.0.0.1:{self._control}/_microburst/{what}"

    def _ask(self, what: str, request: urllib.request.Request) -> bytes:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            body: bytes = answer.read()
        return body
