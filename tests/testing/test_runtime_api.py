import importlib.util
import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aetherstream.testing.runtime_api import FunctionProcess, Invocation

Start = Callable[..., FunctionProcess]

HANDLERS = """
import json, os, sys, threading

def context(event, context):
    return {
        "event": event,
        "arn": context.invoked_function_arn,
        "request": context.aws_request_id,
        "left": context.get_remaining_time_in_millis(),
    }

def environment(event, context):
    return dict(os.environ)

def path(event, context):
    return sys.path

def fail(event, context):
    raise ValueError("no such event")

def hang_once(event, context):
    if event["hang"]:
        threading.Event().wait()
    return os.getpid()

def die(event, context):
    os._exit(7)

def fill(event, context):
    try:
        return len(bytes(1 << 30))
    except MemoryError:
        return "out of memory"
"""


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    directory = tmp_path / "libraries"
    directory.mkdir()
    for name in ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py"):
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        source = Path(spec.origin)
        source = source.parent if source.name == "__init__.py" else source
        (directory / source.name).symlink_to(source)
    return directory


@pytest.fixture
def start(tmp_path: Path, libraries: Path) -> Iterator[Start]:
    package = tmp_path / "package"
    package.mkdir()
    (package / "app.py").write_text(textwrap.dedent(HANDLERS))
    (package / "broken.py").write_text("import a_module_that_nobody_has\n")
    processes: list[FunctionProcess] = []

    def begin(handler: str, **options: object) -> FunctionProcess:
        process = FunctionProcess(package, handler, output=tmp_path / "output", libraries=(libraries,), **options)  # type: ignore[arg-type]
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()


def test_a_handler_gets_its_event_and_a_true_context(start: Start) -> None:
    outcome = start("app.context", timeout=10.0, name="stream").invoke({"Records": []})
    left = outcome.response.pop("left")
    assert outcome == Invocation(
        outcome.request_id,
        response={
            "event": {"Records": []},
            "arn": "arn:aws:lambda:us-east-1:123456789012:function:stream",
            "request": outcome.request_id,
        },
    )
    assert 0 < left <= 10_000


def test_an_execution_environment_serves_many_invocations(start: Start) -> None:
    function = start("app.hang_once")
    assert function.invoke({"hang": False}).response == function.invoke({"hang": False}).response == function.pid


def test_the_function_sees_its_variables_and_none_of_ours(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    seen = start("app.environment", environment={"AETHERSTREAM_PIPELINE": "pipelines/flights.yaml"}).invoke({}).response
    assert seen["AETHERSTREAM_PIPELINE"] == "pipelines/flights.yaml"
    assert "AWS_SECRET_ACCESS_KEY" not in seen


def test_the_function_finds_its_package_first_and_nothing_of_this_environment(start: Start, tmp_path: Path) -> None:
    path = start("app.path").invoke({}).response
    assert path[0] == str(tmp_path / "package")
    assert [entry for entry in path if "site-packages" in entry] == []


def test_an_exception_is_reported_as_lambda_reports_it(start: Start) -> None:
    outcome = start("app.fail").invoke({})
    assert outcome.error
    assert (outcome.error["errorType"], outcome.error["errorMessage"]) == ("ValueError", "no such event")


def test_a_handler_that_does_not_import_is_an_error_of_the_initialisation(start: Start) -> None:
    function = start("broken.handler")
    outcome = function.invoke({})
    assert outcome.request_id == "init"
    assert outcome.error
    assert outcome.error["errorType"] == "Runtime.ImportModuleError"
    assert function.pid is None


def test_a_function_is_killed_at_its_deadline_and_replaced_for_the_next_event(start: Start) -> None:
    function = start("app.hang_once", timeout=2.0)
    first = function.invoke({"hang": False}).response
    outcome = function.invoke({"hang": True})
    assert outcome.error == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {outcome.request_id} Error: Task timed out after 2.00 seconds",
    }
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert function.invoke({"hang": False}).response == function.pid != first


def test_a_function_that_ends_its_process_is_an_exit_error(start: Start) -> None:
    outcome = start("app.die").invoke({})
    assert outcome.error == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {outcome.request_id} Error: Runtime exited with status 7",
    }


def test_a_function_is_held_to_its_memory(start: Start) -> None:
    assert start("app.fill", memory_mb=512).invoke({}).response == "out of memory"


def test_no_process_is_left_behind(start: Start) -> None:
    with start("app.hang_once") as function:
        pid = function.invoke({"hang": False}).response
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
