"""A command that never outlives the process that started it: `python -m aetherstream.local.tethered COMMAND...`.

This process becomes the command, after it has left a watcher behind in its process group. The parent holds the write
end of their standard input. When that closes, because the parent wants it, stopped, crashed or was killed, the watcher
asks the command to stop, and after a grace period kills the whole group.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

GRACE_SECONDS = 6.0


def _watch(leader: int) -> NoReturn:
    while os.read(0, 4096):
        pass
    # Nobody else can have got the number meanwhile: this process keeps it as its group.
    os.kill(leader, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(leader, signal.SIGKILL)
    os._exit(0)


def main(command: Sequence[str]) -> NoReturn:
    """Run `command`, a path and its arguments. Must lead a process group of its own."""
    leader = os.getpid()
    if os.getpgrp() != leader:
        raise SystemExit("aetherstream.local.tethered must lead its group: start it with start_new_session=True")
    if os.fork() == 0:
        _watch(leader)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execv(command[0], list(command))  # noqa: S606 (a shell is what this is not)


if __name__ == "__main__":
    main(sys.argv[1:])
