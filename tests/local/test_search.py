from __future__ import annotations

import os
from pathlib import Path

import pytest

from aetherstream.local.search import Search


def unwritable(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing can be downloaded."""
    (tmp_path / "file").write_text("")
    return {"XDG_CACHE_HOME": str(tmp_path / "file")}


def test_an_existing_server_is_taken_as_it_is(tmp_path: Path) -> None:
    search = Search(tmp_path / "opensearch", {"OPENSEARCH_URL": "http://127.0.0.1:9"}, lambda _: None)
    search.launch()
    search.wait()
    search.stop()
    assert (search.server, search.url) == (None, "http://127.0.0.1:9")
    assert search.parameters == {"OpenSearchEndpoint": "http://127.0.0.1:9", "OpenSearchAuth": "none"}
    assert not (tmp_path / "opensearch").exists()


def test_a_server_that_cannot_be_had_leaves_a_reason_in_one_line(tmp_path: Path) -> None:
    search = Search(tmp_path / "opensearch", unwritable(tmp_path), lambda _: None)
    search.launch()
    search.wait()
    search.stop()
    assert (search.server, search.url, search.parameters) == (None, None, {})
    assert search.missing.startswith("the jars of OpenSearch can't be kept in ")
    assert "\n" not in search.missing


@pytest.mark.integration
def test_a_server_that_ends_while_it_starts_leaves_a_reason_in_one_line(tmp_path: Path, opensearch: str) -> None:
    settings = {"http.max_content_length": "nonsense"}
    search = Search(tmp_path / "opensearch", os.environ, lambda _: None, settings)
    search.launch()
    search.wait()
    assert (search.server, search.url, search.parameters) == (None, None, {})
    assert search.missing == f"OpenSearch ended while it started; its log is {tmp_path}/opensearch/opensearch.log"
