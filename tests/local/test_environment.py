from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.environment import (
    Clients,
    check_disk,
    choose_port,
    clean_environment,
    credentials,
    find_tool,
)


def test_the_callers_aws_settings_stay_out() -> None:
    shell = {
        "HOME": "/home/me",
        "PATH": "/bin",
        "AWS_PROFILE": "prod",
        "AWS_ENDPOINT_URL_S3": "x",
        "SAM_CLI_DEBUG": "1",
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), "/bin"])
    assert clean_environment(shell) == {"HOME": "/home/me", "PATH": path}


def test_a_certificate_bundle_stays_for_the_build() -> None:
    assert clean_environment({"AWS_CA_BUNDLE": "/ca.pem"})["AWS_CA_BUNDLE"] == "/ca.pem"


def test_credentials_name_the_endpoint_and_a_dummy_account() -> None:
    assert credentials("http://127.0.0.1:1", "eu-west-1") == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
    }


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 can't be used .*choose another with --port"):
            choose_port(port)


def test_a_free_port_is_found() -> None:
    assert 1024 <= choose_port() <= 65535


def test_a_missing_tool_is_named_with_its_package() -> None:
    with pytest.raises(UsageError, match=r"needs the command `no-such-tool`.*package a-package"):
        find_tool("no-such-tool", package="a-package")


def test_too_little_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MB free and the one-machine stack needs 1000000000000 MB"):
        check_disk(tmp_path, needed=10**18)


def test_clients_ignore_a_profile_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "https://kinesis.us-east-1.amazonaws.com")
    assert Clients("http://127.0.0.1:1").kinesis.meta.endpoint_url == "http://127.0.0.1:1"
