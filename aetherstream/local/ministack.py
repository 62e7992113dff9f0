"""The AWS emulator as a child process: started on loopback, waited for, stopped with all its Lambda workers."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from aetherstream.errors import UsageError
from aetherstream.local.environment import LOOPBACK, REGION, choose_port, clean_environment

SERVICES = (
    "cloudformation",
    "dynamodb",
    "dynamodbstreams",
    "events",
    "glue",
    "iam",
    "kinesis",
    "kms",
    "lambda",
    "logs",
    "monitoring",
    "s3",
    "scheduler",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "sts",
)
"""What the templates use; MiniStack loads nothing else."""

READY_SECONDS = 60.0
STOP_SECONDS = 10.0


class MiniStack:
    """One MiniStack process.

    Its state lives in `directory`: `s3/<account>/<bucket>/<key>` are the objects as files, `ministack.log` its log, and
    `tmp` the unpacked functions. Log and objects stay after `stop`; the next start in the directory begins anew.
    """

    def __init__(
        self, directory: Path, *, port: int = 0, region: str = REGION, environment: Mapping[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.region = region
        self.log = directory / "ministack.log"
        self.objects = directory / "s3"
        self._scratch = directory / "tmp"
        self._lock = directory / "ministack.lock"
        self._wanted_port = port
        self._extra = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def endpoint(self) -> str:
        """The URL of every service."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id, which is also the id of the process group."""
        if self._process is None:
            raise UsageError("MiniStack is not running: call start() first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start and wait until every service answers.

        Raises `UsageError` when the package is missing, the port is taken, or a predecessor still runs here.
        """
        if find_spec("ministack") is None:
            raise UsageError(
                f"the one-machine stack needs the package ministack: "
                f"install it with `{sys.executable} -m pip install 'aetherstream[local]'`"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._wait_for_predecessor()
        for stale in (self.objects, self._scratch):
            shutil.rmtree(stale, ignore_errors=True)
            stale.mkdir()
        self.port = choose_port(self._wanted_port)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "aetherstream.local.guarded", str(self._lock)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
                env=self._environment(),
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it and its workers: politely, then by force. Does nothing when it isn't running."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        ended = threading.Thread(
            target=os.waitid, args=(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT), daemon=True, name="ministack-end"
        )
        ended.start()
        ended.join(STOP_SECONDS)
        # Before its pid is reaped the group id can't have been given to anybody else.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def worker_pids(self) -> list[int]:
        """The processes of the Lambda workers that live now (of every function), oldest first."""
        return sorted(pid for pid, parent, state in _processes() if parent == self.pid and not state.startswith("Z"))

    def _environment(self) -> dict[str, str]:
        # Functions inherit MiniStack's variables, so what the caller's shell sets for itself stays out.
        return {
            **clean_environment(),
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "SERVICES": ",".join(SERVICES),
            "MINISTACK_REGION": self.region,
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.objects),
            "TMPDIR": str(self._scratch),
            "LOG_LEVEL": "INFO",
            "PYTHONUNBUFFERED": "1",
            **self._extra,
        }

    def _wait_for_predecessor(self) -> None:
        """A predecessor whose parent was killed ends within its grace period; wait for that."""
        with self._lock.open("w") as lock:
            waiter = threading.Thread(target=_lock_quietly, args=(lock.fileno(),), daemon=True, name="ministack-lock")
            waiter.start()
            waiter.join(STOP_SECONDS)
            if waiter.is_alive():
                raise UsageError(
                    f"a MiniStack still runs in {self.directory}: stop it with `aetherstream local down`, "
                    "or name another --state-dir"
                )

    def _wait_until_ready(self) -> None:
        pause = threading.Event()
        waited = 0.0
        while waited < READY_SECONDS:
            if not self.running:
                raise UsageError(f"MiniStack ended while it started; its last words:\n{tail(self.log)}")
            if self._ready():
                return
            pause.wait(0.05)
            waited += 0.05
        raise UsageError(f"MiniStack did not get ready within {READY_SECONDS:.0f} s; its last words:\n{tail(self.log)}")

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", "/_ministack/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _lock_quietly(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _processes() -> Iterator[tuple[int, int, str]]:
    """Process id, parent's id and state of all processes. Linux is read from /proc: slim images lack `ps`."""
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True)
        for line in listing.stdout.splitlines():
            pid, parent, state = line.split()
            yield int(pid), int(parent), state
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The command's name, in parentheses, may itself hold spaces and parentheses.
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                yield int(entry.name), int(parent), state


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log file."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
