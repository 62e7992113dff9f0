"""Ending what was started through `tethered`: a process that leads a group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading


def ask_to_stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask it to stop, and wait so long at most. It is not reaped: `kill` has to follow."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()  # see `tethered`
    # Without reaping it, so that its pid stays its own until the group is killed.
    ended = threading.Thread(target=os.waitid, args=(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT), daemon=True)
    ended.start()
    ended.join(seconds)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it with its group, and reap it."""
    # Before its pid is reaped the group id can't have been given to anybody else.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
