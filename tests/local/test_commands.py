from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from aetherstream.errors import UsageError
from aetherstream.local.commands import local
from aetherstream.local.state import StateDirectory
from tests.stack_fixture import TINY

COMMAND = [sys.executable, "-m", "aetherstream.local.commands"]


def test_status_says_that_nothing_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(local, ["status", "--state-dir", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == f"no one-machine stack runs in {tmp_path}: start one with `aetherstream local up`"


def test_down_says_that_nothing_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(local, ["down", "--state-dir", str(tmp_path)])
    assert result.output == f"no one-machine stack runs in {tmp_path}\n"


def test_a_parameter_without_value_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(local, ["up", "--state-dir", str(tmp_path), "-p", "Name"])
    assert str(result.exception) == "--parameter 'Name' is not NAME=VALUE"


def test_status_says_how_people_get_into_the_warehouse(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.claim()
    try:
        login = {"endpoint": "127.0.0.1:5439/dev", "user": "awsuser", "password": "p"}
        nothing: dict[str, str] = {}
        known = {"endpoint": "http://127.0.0.1:1", "directory": str(tmp_path), "redshift": login}
        state.write_status({**known, "outputs": nothing, "environment": nothing, "mappings": nothing})
        result = CliRunner().invoke(local, ["status", "--state-dir", str(tmp_path)])
    finally:
        state.release()
    assert "\nredshift   127.0.0.1:5439/dev, user awsuser, password p\n" in result.output


@pytest.mark.integration
def test_a_detached_stack_shows_its_status_and_goes_down(tmp_path: Path) -> None:
    place = ["--state-dir", str(tmp_path)]
    up = subprocess.run(
        [*COMMAND, "up", "--detach", "--template", str(TINY), *place], check=True, capture_output=True, text=True
    )
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:" in up.stdout
    status = subprocess.run([*COMMAND, "status", *place], check=True, capture_output=True, text=True)
    assert "shardId-000000000000: nothing finished yet" in status.stdout
    down = subprocess.run([*COMMAND, "down", *place], check=True, capture_output=True, text=True)
    assert down.stdout == f"stopped; the objects and logs are still in {tmp_path}\n"


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_stack_in_the_foreground_with_everything_it_started(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        [*COMMAND, "up", "--template", str(TINY), "--state-dir", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout is not None
        while "stop with Ctrl-C" not in up.stdout.readline():
            assert up.poll() is None
        up.send_signal(number)
        up.stdout.read()
        assert up.wait() == (0 if number == signal.SIGINT else 128 + signal.SIGTERM)
    assert not (tmp_path / "status.json").exists()
    assert not (tmp_path / "tmp").exists()
    assert os.path.lexists(tmp_path / "ministack.log")
