"""Kinesis by MiniStack, and the same behind a proxy that makes calls fail on the wire."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest

from aetherstream.local.ministack import MiniStack

CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


class Unreliable:
    """The proxy: a URL, and the rules by which calls fail."""

    def __init__(self, url: str) -> None:
        self.url = url

    def obey(self, *rules: dict[str, Any]) -> None:
        """Replace the rules."""
        body = json.dumps(rules).encode()
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/_microburst/rules", body, headers)).close()  # noqa: S310

    def fired(self) -> list[str]:
        """What has been done to calls so far, oldest first."""
        with urllib.request.urlopen(f"{self.url}/_microburst/fired") as answer:  # noqa: S310
            return [one["action"] for one in json.load(answer)]


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    stack = MiniStack(tmp_path_factory.mktemp("ministack"))
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def kinesis(ministack: MiniStack) -> Any:
    return boto3.client("kinesis", endpoint_url=ministack.endpoint, **CREDENTIALS)  # type: ignore[call-overload]


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


_numbers = count()


@pytest.fixture
def new_stream(kinesis: Any) -> Callable[[int], str]:
    def create(shards: int) -> str:
        name = f"stream-{next(_numbers)}"
        kinesis.create_stream(StreamName=name, ShardCount=shards)
        kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        return name

    return create


@pytest.fixture
def unreliable(ministack: MiniStack, tmp_path: Path) -> Iterator[Unreliable]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "proxy.log"
    with log.open("wb") as errors:
        proxy = subprocess.Popen(
            [sys.executable, "-u", "-m", "microburst", "--host", "127.0.0.1", "--port", f"{port}"]  # noqa: RUF005
            + ["--upstream", ministack.endpoint],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert proxy.stdout is not None
    try:
        said = proxy.stdout.readline()
        assert "listening on" in said, said + log.read_text()
        yield Unreliable(f"http://127.0.0.1:{port}")
    finally:
        proxy.terminate()
        proxy.communicate()
