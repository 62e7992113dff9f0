"""One stack for all tests of a run: built and deployed once by sam, with pipelines of the tests' own in the package."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from aetherstream.local.environment import choose_port
from aetherstream.local.stack import Stack
from tests.deployment.conftest import lambda_libraries
from tests.integration.flow import ground_of
from tests.integration.ground import Ground, until
from tests.producer.conftest import Unreliable
from tests.stack_fixture import ROOT

__all__ = ["lambda_libraries"]

PARTS = ("aetherstream", "handlers", "pipelines", "requirements", "scripts", "template.yaml", "samconfig.toml")
# Nobody wants to wait for a batch to fill.
PARAMETERS = {"MaximumBatchingWindowInSeconds": "1"}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the drill pipelines among its own."""
    directory = tmp_path_factory.mktemp("project")
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, directory / part)
    shutil.copytree(Path(__file__).parent / "drill", directory / "pipelines" / "drill")
    return directory


@pytest.fixture(scope="session")
def stack(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The template, built and deployed by sam; nothing is polled before somebody starts it."""
    state = tmp_path_factory.mktemp("stack")
    running = Stack(
        project / "template.yaml",
        state=state,
        stack_name="aetherstream-test",
        parameters=PARAMETERS,
        opensearch=False,
        redshift=False,
    )
    running.start(poll=False)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def package(stack: Stack) -> Path:
    """The package that sam built."""
    return stack.directory / "build" / "StreamFunction"


@pytest.fixture(scope="session")
def new_ground(stack: Stack) -> Callable[..., Ground]:
    """Makes a ground that no other test uses."""
    numbers = count(1)

    def make(pipeline: str = "drill", *, shards: int = 1) -> Ground:
        return ground_of(stack, f"{pipeline}-{next(numbers)}", pipeline, shards)

    return make


@pytest.fixture
def ground(new_ground: Callable[..., Ground]) -> Ground:
    """A ground for the drill pipeline, of one shard."""
    return new_ground()


@pytest.fixture
def unreliable(stack: Stack) -> Iterator[Unreliable]:
    """A proxy before the stack that makes calls fail on the wire, or holds them."""
    port = choose_port()
    command = [sys.executable, "-u", "-m", "microburst", "--host", "127.0.0.1", "--port", f"{port}"]
    proxy = subprocess.Popen([*command, "--upstream", stack.endpoint], stdout=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port), "the proxy answers")
        yield Unreliable(f"http://127.0.0.1:{port}")
    finally:
        # Asked to end, it would wait for the calls that it holds.
        proxy.kill()
        proxy.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
