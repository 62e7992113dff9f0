"""The real `sam build`, which needs no stack, but the sam CLI and a second or two each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.cloudformation import ROOT

pytestmark = pytest.mark.integration


def sam_build(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AETHERSTREAM_")}
    environment |= {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"} | variables
    command = [str(Path(sys.executable).with_name("sam")), "build", "--build-dir", str(directory), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def target(directory: Path) -> str:
    about = json.loads((directory / "StreamFunction/aetherstream/_build.json").read_text())
    assert isinstance(about["target"], str)
    return about["target"]


def test_the_default_build_is_for_the_templates_own_platform(tmp_path: Path) -> None:
    done = sam_build(tmp_path)
    assert (done.returncode, target(tmp_path)) == (0, "python3.13-arm64"), done.stderr


def test_overridden_parameters_choose_the_platform(tmp_path: Path) -> None:
    done = sam_build(tmp_path, "--parameter-overrides", "PythonVersion=3.12", "Architecture=x86_64")
    assert (done.returncode, target(tmp_path)) == (0, "python3.12-x86_64"), done.stderr


def test_the_local_environment_builds_for_this_machine(tmp_path: Path) -> None:
    done = sam_build(tmp_path, "--config-env", "local")
    assert (done.returncode, target(tmp_path)) == (0, "host"), done.stderr


def test_variables_that_contradict_the_template_stop_the_build(tmp_path: Path) -> None:
    done = sam_build(tmp_path, AETHERSTREAM_ARCH="x86_64")
    assert done.returncode != 0
    assert "sam build --parameter-overrides PythonVersion=3.13 Architecture=x86_64" in done.stderr


def test_the_build_takes_neither_the_virtual_environment_nor_the_tests(tmp_path: Path) -> None:
    sam_build(tmp_path, "--config-env", "local")
    package = tmp_path / "StreamFunction"
    assert [name for name in (".venv", "tests", "template.yaml", ".git", "scripts") if (package / name).exists()] == []


def test_the_loader_is_built_with_the_driver_of_redshift_and_the_others_without(tmp_path: Path) -> None:
    sam_build(tmp_path, "--config-env", "local")
    others = [
        "StreamFunction",
        "RecoveryFunction",
        "EmitterFunction",
        "CloserFunction",
        "WindowFunction",
        "DrainFunction",
    ]
    functions = [*others, "LoaderFunction"]
    assert [name for name in functions if (tmp_path / name / "redshift_connector").exists()] == ["LoaderFunction"]
    assert [name for name in functions if (tmp_path / name / "jsonschema_rs").exists()] == others
