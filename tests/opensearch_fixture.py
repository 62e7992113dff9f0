"""Fixtures that give a real OpenSearch server, for every test that needs one; such tests are marked `integration`.

A conftest.py takes what it needs: `from tests.opensearch_fixture import opensearch`. Where the server can't be had the
tests are skipped with the reason, unless AETHERSTREAM_REQUIRE_OPENSEARCH=1, which makes that a failure.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NoReturn

import pytest

from aetherstream.local.opensearch import LocalOpenSearch, existing_url
from aetherstream.local.opensearch_jars import OpenSearchUnavailable

ServerFactory = Callable[..., LocalOpenSearch]


@pytest.fixture(scope="session")
def opensearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of one server for all tests of a run, or of that which OPENSEARCH_URL names. Others' indices stand in it."""
    if url := existing_url(os.environ):
        yield url
        return
    with started(LocalOpenSearch(tmp_path_factory.mktemp("opensearch"))) as server:
        yield server.url


@pytest.fixture
def index_prefix() -> str:
    """What the names of a test's own indices, templates and aliases start with."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def opensearch_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    """Starts a server of the test's own: `opensearch_server({"http.max_content_length": "1mb"})`.

    Its `stop`, `kill`, `start` and `signal` are the test's to use; port and data stay over them.
    """
    with ExitStack() as ends:

        def make(settings: dict[str, Any] | None = None) -> LocalOpenSearch:
            server = LocalOpenSearch(tmp_path_factory.mktemp("opensearch"), settings=settings)
            ends.callback(server.close)
            return started(server)

        yield make


def started(server: LocalOpenSearch) -> LocalOpenSearch:
    """The server, started; or the test skipped, saying why it can't be had."""
    try:
        server.start()
    except OpenSearchUnavailable as error:
        go_without(str(error))
    return server


def go_without(why: str) -> NoReturn:
    """Skip the test, or fail it where the server is required."""
    if os.environ.get("AETHERSTREAM_REQUIRE_OPENSEARCH") == "1":
        pytest.fail(why)
    pytest.skip(why)
