"""Redshift played by an embedded PostgreSQL as a child process: no Docker, no AWS account, loopback only.

    with LocalRedshift(Path("scratch"), s3_endpoint=stack.endpoint) as warehouse:
        redshift_connector.connect(**warehouse.login)

It is a stand-in: docs/reference/local-redshift.md lists where it differs. It ends when this process does.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from aetherstream.errors import UsageError
from aetherstream.local import child
from aetherstream.local.environment import LOOPBACK, REGION, choose_port, clean_environment

READY_SECONDS = 90.0
STOP_SECONDS = 15.0


class LocalRedshift:
    """One stand-in for a Redshift warehouse. Used from one thread.

    `directory` gets `redshift.log`, which stays. The data stand in a short path of their own under the directory for
    temporary files and go with `close`. `s3_endpoint` is where COPY fetches objects from. `isolation` is the
    database's: `snapshot` (AWS: the default of new clusters and workgroups) or `serializable`.

    `start` after `stop` or `kill` continues with the same data on the same port.
    """

    host = LOOPBACK

    def __init__(
        self,
        directory: Path,
        *,
        s3_endpoint: str,
        region: str = REGION,
        database: str = "dev",
        user: str = "awsuser",
        password: str = "",
        isolation: Literal["snapshot", "serializable"] = "snapshot",
        port: int = 0,
    ) -> None:
        self.directory = directory.resolve()
        self.log = self.directory / "redshift.log"
        self.database = database
        self.user = user
        self.password = password or secrets.token_urlsafe(12)
        self._endpoint = s3_endpoint
        self._region = region
        self._isolation = isolation
        self._wanted_port = port
        self._port = 0
        self._data: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where it listens, from the first start to `close`."""
        if not self._port:
            raise UsageError("this Redshift is not started: call start(), or use it in a `with` statement")
        return self._port

    @property
    def login(self) -> dict[str, Any]:
        """What `redshift_connector.connect` takes. There is no TLS."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "password": self.password,
            "ssl": False,
        }

    @property
    def pid(self) -> int:
        """The id of the process, which leads a group of its own; the embedded server is in it."""
        if self._process is None:
            raise UsageError("this Redshift is not running: call start() first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it takes clients; does nothing while it runs.

        Raises `UsageError` with its last words when it does not start.
        """
        if self.running:
            return
        self.kill()
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._data is None:
            self._data = self._make_data()
        self._port = choose_port(self._port or self._wanted_port)
        self._launch(self._data)
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop it: politely, then by force. Port and data stay for the next start."""
        process = self._process
        if process is None:
            return
        child.ask_to_stop(process, STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would. Port and data stay for the next start."""
        process, self._process = self._process, None
        if process is not None:
            child.kill(process)

    def close(self) -> None:
        """Stop it and remove its data. Twice does no harm."""
        self.stop()
        self._port = 0
        data, self._data = self._data, None
        if data is not None:
            shutil.rmtree(data, ignore_errors=True)
            for left in ("data", "redshift.json", "redshift.ready"):
                (self.directory / left).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_data(self) -> Path:
        """A directory for the data, with a link to it in `directory`, by which the next owner finds what is left."""
        link = self.directory / "data"
        if link.is_symlink():
            left = link.readlink()
            if left.name.startswith("aetherstream-rs-"):
                shutil.rmtree(left, ignore_errors=True)
            link.unlink()
        data = Path(tempfile.mkdtemp(prefix="aetherstream-rs-"))
        link.symlink_to(data)
        return data

    def _launch(self, data: Path) -> None:
        settings = self.directory / "redshift.json"
        ready = self.directory / "redshift.ready"
        ready.unlink(missing_ok=True)
        settings.touch(mode=0o600)
        settings.write_text(
            json.dumps(
                {
                    "data": str(data),
                    "user": self.user,
                    "password": self.password,
                    "database": self.database,
                    "isolation": self._isolation,
                    "port": self._port,
                    "s3_endpoint": self._endpoint,
                    "region": self._region,
                    "ready": str(ready),
                }
            )
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "aetherstream.local.tethered"),
                    *(sys.executable, "-m", "aetherstream.local.redshift.serve", str(settings)),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
                env={**clean_environment(), "PYTHONUNBUFFERED": "1"},
            )

    def _wait(self) -> None:
        ready = self.directory / "redshift.ready"
        pause = threading.Event()
        waited = 0.0
        while waited < READY_SECONDS:
            if not self.running:
                last = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                raise UsageError(f"the stand-in for Redshift ended while it started; its log is {self.log}:\n{last}")
            if ready.exists():
                return
            pause.wait(0.05)
            waited += 0.05
        raise UsageError(f"the stand-in for Redshift was not ready within {READY_SECONDS:.0f} s; its log is {self.log}")
