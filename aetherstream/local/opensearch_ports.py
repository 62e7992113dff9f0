"""A port of its own for each OpenSearch server of this user, kept over the server's restarts."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from aetherstream.errors import UsageError
from aetherstream.local.environment import choose_port

PORTS = range(9201, 9300)
"""The runner listens one above its base port, and gives up above 9299."""


class Port:
    """A reserved port, until `release` or the end of this process, however that comes."""

    def __init__(self, number: int, lock: int) -> None:
        self.number = number
        self._lock = lock

    def release(self) -> None:
        """Give it back."""
        os.close(self._lock)


def reserve(directory: Path, ports: range = PORTS) -> Port:
    """The first port that no other process has reserved in `directory` and nobody listens on.

    Raises `UsageError` when there is none.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for number in ports:
        lock = os.open(directory / str(number), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            choose_port(number)
        except (BlockingIOError, UsageError):
            os.close(lock)
        else:
            return Port(number, lock)
    raise UsageError(f"every port from {ports[0]} to {ports[-1]} is taken: stop an OpenSearch that nobody needs")
