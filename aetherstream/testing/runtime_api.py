"""AWS's side of a Lambda execution environment, for one function on this machine.

`FunctionProcess` starts AWS's own Python runtime client (`awslambdaric`) on a package, as Lambda does, and answers it
through the Runtime API: one invocation at a time, a true context, a process that is killed at its deadline and can be
held to its memory. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import queue
import resource
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

PREFIX: Final = "/2018-06-01/runtime/"
ARN: Final = "arn:aws:lambda:us-east-1:123456789012:function:"
# Lambda gives the initialisation 10 seconds before it starts over under the function's own time-out.
INIT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Invocation:
    """What became of an invocation: `response` when the handler returned, else `error` as Lambda reports it."""

    request_id: str
    response: Any = None
    error: Mapping[str, Any] | None = None


class Signal(Enum):
    """What a runtime client does besides answering."""

    READY = "it has initialised and asks for its first invocation"
    GONE = "its process has ended"


@dataclass(frozen=True, slots=True)
class _Pending:
    request_id: str
    body: bytes
    deadline_ms: int


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that was killed while it waited."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class RuntimeApi:
    """The HTTP server of the Runtime API, on a free port of the loopback interface, for one runtime client."""

    def __init__(self, function_arn: str) -> None:
        self.function_arn = function_arn
        self._to_do: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._seen: queue.SimpleQueue[Invocation | Signal] = queue.SimpleQueue()
        self._ready = False
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api._next(self)

            def do_POST(self) -> None:
                api._post(self)

            def log_message(self, *args: object) -> None:
                """Nothing: the function's own output is what matters."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port, for `AWS_LAMBDA_RUNTIME_API`."""
        return f"127.0.0.1:{self._server.server_port}"

    def send(self, event: Any, deadline: float) -> str:
        """Queue an event with its deadline (seconds since 1970) and return its request id."""
        pending = _Pending(str(uuid.uuid4()), json.dumps(event).encode(), int(deadline * 1000))
        self._to_do.put(pending)
        return pending.request_id

    def receive(self, timeout: float) -> Invocation | Signal | None:
        """What the client did next, or None when it did nothing in so many seconds."""
        try:
            return self._seen.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return None

    def gone(self) -> None:
        """Say that the client's process has ended, to whoever waits for its answer."""
        self._seen.put(Signal.GONE)

    def close(self) -> None:
        """Stop the server."""
        self._to_do.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, request: BaseHTTPRequestHandler) -> None:
        if request.path != f"{PREFIX}invocation/next":
            return _answer(request, 404, b"{}")
        if not self._ready:
            self._ready = True
            self._seen.put(Signal.READY)
        pending = self._to_do.get()
        if pending is None:
            return _answer(request, 410, b"{}")
        headers = {
            "Lambda-Runtime-Aws-Request-Id": pending.request_id,
            "Lambda-Runtime-Deadline-Ms": str(pending.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
        }
        return _answer(request, 200, pending.body, headers)

    def _post(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        match request.path.removeprefix(PREFIX).split("/"):
            case ["invocation", request_id, "response"]:
                self._seen.put(Invocation(request_id, response=json.loads(body)))
            case ["invocation", request_id, "error"]:
                self._seen.put(Invocation(request_id, error=json.loads(body)))
            case ["init", "error"]:
                self._seen.put(Invocation("init", error=json.loads(body)))
            case _:
                return _answer(request, 404, b"{}")
        return _answer(request, 202, b'{"status":"OK"}')


def _answer(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    request.send_response(status)
    for name, value in {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


class FunctionProcess:
    """A package run as Lambda runs it; a context manager that leaves no process behind.

    A process that was killed (deadline, memory, `kill`) is replaced by the next `invoke`, as Lambda replaces its
    execution environment. `output` is the file that stdout and stderr of all of them go to.

    Args:
        package: directory of the unzipped package; the only project code on the path.
        handler: `module.function`, as in the template.
        environment: the function's variables. Nothing else of this process's environment is passed, except PATH.
        timeout: seconds that an invocation may take.
        memory_mb: most address space of the process, or None. Lambda bounds resident memory, the kernel here only
            addresses, so give it room: an interpreter with boto3 maps some 500 MB.
        libraries: directories with what the Lambda runtime brings itself (boto3, awslambdaric), after the package on
            the path.
    """

    def __init__(
        self,
        package: Path,
        handler: str,
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        memory_mb: int | None = None,
        libraries: tuple[Path, ...] = (),
        name: str = "function",
    ) -> None:
        self.output = output
        self._package = package
        self._handler = handler
        self._environment = dict(environment or {})
        self._timeout = timeout
        self._memory_mb = memory_mb
        self._libraries = libraries
        self._name = name
        self._api: RuntimeApi | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the execution environment, None before the first invocation and after a kill."""
        return self._process.pid if self._process else None

    def invoke(self, event: Any) -> Invocation:
        """Invoke synchronously. A time-out kills the process and is an error of type `Sandbox.Timedout`.

        Any other end of the process is `Runtime.ExitError`; a handler that does not import is what awslambdaric says.
        """
        if self._api is None:
            self._api = self._start()
            # The initialisation has a time of its own, before the invocation's.
            seen = self._api.receive(INIT_SECONDS)
            if seen is not Signal.READY:
                return self._failed("init", seen, INIT_SECONDS)
        deadline = time.time() + self._timeout
        request_id = self._api.send(event, deadline)
        seen = self._api.receive(deadline - time.time())
        return seen if isinstance(seen, Invocation) else self._failed(request_id, seen, self._timeout)

    def kill(self) -> None:
        """Kill the execution environment as Lambda does: at once, without a word to the function."""
        process, api, self._process, self._api = self._process, self._api, None, None
        if process:
            process.kill()
            process.wait()
        if api:
            api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _failed(self, request_id: str, seen: Invocation | Signal | None, seconds: float) -> Invocation:
        status = self._process.poll() if self._process else None
        self.kill()
        if isinstance(seen, Invocation):
            return seen
        kind, message = (
            ("Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds")
            if seen is None
            else ("Runtime.ExitError", f"Runtime exited with status {status}")
        )
        message = f"RequestId: {request_id} Error: {message}"
        return Invocation(request_id, error={"errorType": kind, "errorMessage": message})

    def _start(self) -> RuntimeApi:
        api = self._api = RuntimeApi(ARN + self._name)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_LAMBDA_FUNCTION_NAME": self._name,
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._memory_mb or 1024),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self._name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "1",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "LAMBDA_TASK_ROOT": str(self._package),
            "_HANDLER": self._handler,
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join(map(str, (self._package, *self._libraries))),
            # The package must not change under its own test.
            "PYTHONDONTWRITEBYTECODE": "1",
            **self._environment,
        }
        # The entry point is given by text, not `-m`, so that sys.path has no working directory of ours.
        command = [sys.executable, "-P", "-S", "-c", _ENTRY, self._handler]
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                cwd=self._package,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_limit(self._memory_mb),
            )
        threading.Thread(target=_watch, args=(self._process, api), daemon=True).start()
        return api


# -S leaves site-packages out: what the package does not bring, and Lambda does not, must fail here as it would there.
_ENTRY: Final = "import sys; from awslambdaric.__main__ import main; main([sys.argv[0], sys.argv[1]])"


def _watch(process: subprocess.Popen[bytes], api: RuntimeApi) -> None:
    process.wait()
    api.gone()


def _limit(memory_mb: int | None) -> Callable[[], None] | None:
    if memory_mb is None:
        return None
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
