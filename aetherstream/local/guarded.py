"""MiniStack in a process that never outlives the one that started it: `python -m aetherstream.local.guarded LOCK`.

The parent holds the write end of this process's standard input. When it closes, because the parent stopped, crashed or
was killed, MiniStack is asked to stop, and after a grace period the whole process group (its Lambda workers too) is
killed. A pipe serves better than Linux's parent-death signal, which also fires when merely the starting *thread* ends.
LOCK is held as long as this process lives, so that a later start can wait for it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 4.0


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main(lock_path: str) -> None:
    """Serve until SIGTERM or the end of standard input. Must lead a process group of its own."""
    if os.getpgrp() != os.getpid():
        raise SystemExit("aetherstream.local.guarded must lead its process group: start it with start_new_session=True")
    lock = Path(lock_path).open("w")  # noqa: SIM115 (held for the process's life)
    fcntl.flock(lock, fcntl.LOCK_EX)
    threading.Thread(target=_end_with_parent, daemon=True, name="end-with-parent").start()
    # Ctrl-C in a terminal is the parent's to handle, in its order: poller first, then this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from ministack.app import main as serve

    sys.argv = ["ministack"]
    try:
        serve()
    finally:
        # A worker in the middle of its handler doesn't notice that its pipes are closed.
        sys.stdout.flush()
        os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
