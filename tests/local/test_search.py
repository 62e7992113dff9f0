from __future__ import annotations

import os
from pathlib import Path

import pytest

from aetherstream.local.sam import Application
from aetherstream.local.search import Search, wanted

TEMPLATE = """
Parameters:
  PipelineFile: {Type: String, Default: pipelines/a.yaml}
  OpenSearchEndpoint: {Type: String, Default: ""}
  OpenSearchAuth: {Type: String, Default: es}
"""
OURS = "sinks: {search: {opensearch: {endpoint: '${AETHERSTREAM_OPENSEARCH_ENDPOINT:-}', index: a}}}"
THEIRS = "sinks: {search: {opensearch: {endpoint: 'https://search.example.com', index: a}}}"
NONE = "sinks: {archive: {s3: {bucket: '${AETHERSTREAM_BUCKET}'}}}"


def application(directory: Path, pipeline: str, template: str = TEMPLATE) -> Application:
    (directory / "pipelines").mkdir()
    (directory / "pipelines" / "a.yaml").write_text(pipeline)
    (directory / "template.yaml").write_text(template)
    return Application(directory / "template.yaml")


def unwritable(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing can be downloaded."""
    (tmp_path / "file").write_text("")
    return {"XDG_CACHE_HOME": str(tmp_path / "file")}


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        (OURS, True),
        (THEIRS, False),
        (NONE, False),
        ("sinks: [", False),
        ("sinks: {search: {opensearch:}}", False),
        ("sinks: search", False),
        ("", False),
    ],
)
def test_a_pipeline_with_a_sink_for_the_deployments_opensearch_wants_one(
    tmp_path: Path, pipeline: str, expected: bool
) -> None:
    assert wanted(application(tmp_path, pipeline), {}) is expected


def test_the_pipeline_is_the_one_that_is_deployed(tmp_path: Path) -> None:
    made = application(tmp_path, NONE)
    (tmp_path / "pipelines" / "b.yaml").write_text(OURS)
    assert wanted(made, {"PipelineFile": "pipelines/b.yaml"})
    assert not wanted(made, {"PipelineFile": "pipelines/missing.yaml"})


def test_an_endpoint_that_somebody_gave_is_enough(tmp_path: Path) -> None:
    assert not wanted(application(tmp_path, OURS), {"OpenSearchEndpoint": "http://127.0.0.1:9200"})


def test_a_template_that_takes_no_endpoint_wants_none(tmp_path: Path) -> None:
    assert not wanted(application(tmp_path, OURS, "Parameters: {PipelineFile: {Default: pipelines/a.yaml}}"), {})


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
