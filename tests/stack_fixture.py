"""Fixtures that start the one-machine stack, for every test that needs it.

A conftest.py takes what it needs: `from tests.stack_fixture import stack`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherstream.local.stack import Stack

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests" / "local" / "fixtures" / "tiny" / "template.yaml"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The repository's own template, deployed once for all tests of a run."""
    with Stack(
        ROOT / "template.yaml",
        state=tmp_path_factory.mktemp("stack"),
        stack_name="aetherstream-test",
        opensearch=False,
        redshift=False,
    ) as running:
        yield running


@pytest.fixture(scope="session")
def tiny_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A template of a few resources, whose function writes what it gets and misbehaves where a record asks for it."""
    with Stack(TINY, state=tmp_path_factory.mktemp("tiny")) as running:
        yield running
