"""The directory of a running stack: who runs it, and what `status` shows.

The lock belongs to the kernel and ends with its process, however that dies: nothing stale can be mistaken for a running
stack, and no process id is trusted that may have been given to somebody else.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from aetherstream.errors import UsageError

DEFAULT_DIRECTORY = Path(".aetherstream/local")


class StateDirectory:
    """`stack.lock` (held while a stack runs, its owner inside) and `status.json` (what it last said of itself)."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock_path = self.path / "stack.lock"
        self._status_path = self.path / "status.json"
        self._lock: IO[str] | None = None

    def claim(self) -> None:
        """Take the directory for this process. Raises `UsageError` that says who has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = self._lock_path.open("a+")
        except OSError as error:
            raise UsageError(
                f"the state directory {self.path} can't be used ({error.strerror}): name another with --state-dir"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            endpoint = self.status().get("endpoint", "an endpoint it has not said yet")
            raise UsageError(
                f"a one-machine stack already runs in {self.path} (process {self.owner()}, {endpoint}): "
                "use it, stop it with `aetherstream local down`, or name another --state-dir"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._status_path.unlink(missing_ok=True)
        self._lock = lock

    def release(self) -> None:
        """Give the directory back. Does nothing when it isn't held."""
        lock, self._lock = self._lock, None
        if lock is not None:
            self._status_path.unlink(missing_ok=True)
            lock.close()

    def owner(self) -> int | None:
        """The id of the process that runs the stack here, or None."""
        if not self._lock_path.exists():
            return None
        with self._lock_path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = lock.read().strip()
                return int(text) if text else None
        return None

    def status(self) -> dict[str, Any]:
        """What the owner last wrote; empty when it wrote nothing yet."""
        try:
            said: dict[str, Any] = json.loads(self._status_path.read_text())
        except FileNotFoundError:
            return {}
        return said

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace what `status` shows, in one step."""
        fresh = self._status_path.with_suffix(".new")
        fresh.write_text(json.dumps(status, indent=2, default=str))
        fresh.replace(self._status_path)
