"""The stack for the fault tests: it outlives a restart, and proxies and grounds are made for each scenario."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aetherstream.local.destinations import Destinations
from aetherstream.local.environment import Clients, choose_port
from aetherstream.local.invoke import LambdaInvoker
from aetherstream.local.poller import Poller
from aetherstream.local.shards import source_of
from aetherstream.local.stack import Stack
from tests.integration.conftest import PARAMETERS, PARTS
from tests.integration.flow import Flow, ground_of
from tests.integration.ground import Ground, until
from tests.stack_fixture import ROOT

RATE = 20.0
"""Seconds of the mapping's clock to one of ours: so the pauses between its retries, up to 12 s, pass sooner."""


class Clock:
    """The event source mapping's clock: it runs at `rate`, from now on."""

    def __init__(self, rate: float = RATE) -> None:
        self._lock = threading.Lock()
        self._rate = rate
        self._since = time.monotonic()
        self._then = time.time()

    def __call__(self) -> float:
        """Seconds since 1970, as this clock goes."""
        with self._lock:
            return self._then + (time.monotonic() - self._since) * self._rate

    def run_at(self, rate: float) -> None:
        """Change the rate; what it shows does not jump."""
        now = self()
        with self._lock:
            self._then, self._since, self._rate = now, time.monotonic(), rate


class Timed(Flow):
    """A flow whose mapping has a clock of the test's."""

    clock: Clock

    def start(self) -> Self:
        """Begin to poll."""
        clients = self.stack.clients
        self.clock = Clock()
        self._poller = Poller(
            self.settings,
            source=source_of(clients, self.settings.stream_arn),
            invoker=LambdaInvoker(clients.lambda_),
            send=Destinations(clients),
            clock=self.clock,
        )
        self._poller.start()
        return self


class Microburst:
    """A microburst proxy before the stack, from `with` to its end."""

    def __init__(self, upstream: str) -> None:
        self._port = choose_port()
        self.url = f"http://127.0.0.1:{self._port}"
        command = [sys.executable, "-u", "-m", "microburst", "--host", "127.0.0.1", "--port", f"{self._port}"]
        self._process = subprocess.Popen(
            [*command, "--upstream", upstream], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> Self:
        until(self._answers, "the proxy answers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Asked to end, it would wait for the calls that it holds.
        self._process.kill()
        self._process.wait()

    def obey(self, *rules: dict[str, Any]) -> None:
        """Replace the rules."""
        body = json.dumps(rules).encode()
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/_microburst/rules", body, headers)).close()  # noqa: S310

    def injected(self) -> int:
        """How many calls have been spoilt since its start; a call that was only slowed down is not."""
        rules = self._get("stats")["by_rule"]
        return sum(int(rule["fired"]) for rule in rules if not rule["describe"].startswith("latency:"))

    def _answers(self) -> bool:
        try:
            return bool(self._get("health")["status"] == "ok")
        except OSError:
            return False

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/_microburst/{what}", timeout=10) as answer:  # noqa: S310
            return json.load(answer)


class Bench:
    """The template, built and deployed by sam into a MiniStack that keeps its state over a restart."""

    def __init__(self, directory: Path) -> None:
        project = directory / "project"
        project.mkdir(parents=True)
        for part in PARTS:
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, project / part)
        shutil.copytree(ROOT / "tests/integration/drill", project / "pipelines/drill")
        kept = {"PERSIST_STATE": "1", "STATE_DIR": f"{directory}/kept", "S3_DATA_DIR": f"{directory}/kept-s3"}
        self.stack = Stack(
            project / "template.yaml",
            state=directory / "stack",
            port=choose_port(),  # named, so that a restart takes the same
            stack_name="aetherstream-faults",
            parameters=PARAMETERS,
            environment=kept,
            opensearch=False,
            redshift=False,
        )
        self._numbers = count(1)

    def __enter__(self) -> Self:
        self.stack.start(poll=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.stop()

    def ground(self) -> Ground:
        """A stream of two shards, with buckets and a table, that no other scenario uses."""
        return ground_of(self.stack, f"faults-{next(self._numbers)}", "drill", shards=2)

    def client(self, endpoint: str | None = None) -> Any:
        """A Kinesis client for a producer."""
        return Clients(endpoint or self.stack.endpoint).kinesis

    def restart(self) -> None:
        """End MiniStack with every function that runs in it, and start it again with what it held."""
        emulator = self.stack.ministack
        pid = emulator.pid
        os.kill(pid, signal.SIGTERM)

        def ended() -> bool:
            # It writes its state, then waits for the functions that run: they end as on a machine that goes down.
            for worker in self.stack.worker_pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

        until(ended, "MiniStack has ended")
        emulator.stop()
        emulator.start()
