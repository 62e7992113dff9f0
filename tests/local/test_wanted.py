from __future__ import annotations

from pathlib import Path

import pytest

from aetherstream.local.sam import Application
from aetherstream.local.wanted import OPENSEARCH, REDSHIFT, Server, submits, wanted

TEMPLATE = """
Parameters:
  PipelineFile: {Type: String, Default: pipelines/a.yaml}
  OpenSearchEndpoint: {Type: String, Default: ""}
  RedshiftEndpoint: {Type: String, Default: ""}
"""
OURS = "sinks: {search: {opensearch: {endpoint: '${AETHERSTREAM_OPENSEARCH_ENDPOINT:-}', index: a}}}"
LOADED = "sinks: {rows: {redshift: {endpoint: '${AETHERSTREAM_REDSHIFT_ENDPOINT:-}', table: a}}}"
THEIRS = "sinks: {search: {opensearch: {endpoint: 'https://search.example.com', index: a}}}"
NONE = "sinks: {archive: {s3: {bucket: '${AETHERSTREAM_BUCKET}'}}}"


def application(directory: Path, pipeline: str, template: str = TEMPLATE) -> Application:
    (directory / "pipelines").mkdir()
    (directory / "pipelines" / "a.yaml").write_text(pipeline)
    (directory / "template.yaml").write_text(template)
    return Application(directory / "template.yaml")


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        (OURS, True),
        (THEIRS, False),
        (LOADED, False),
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
    assert wanted(OPENSEARCH, application(tmp_path, pipeline), {}) is expected


def test_the_pipeline_is_the_one_that_is_deployed(tmp_path: Path) -> None:
    made = application(tmp_path, NONE)
    (tmp_path / "pipelines" / "b.yaml").write_text(OURS)
    assert wanted(OPENSEARCH, made, {"PipelineFile": "pipelines/b.yaml"})
    assert not wanted(OPENSEARCH, made, {"PipelineFile": "pipelines/missing.yaml"})


def test_an_endpoint_that_somebody_gave_is_enough(tmp_path: Path) -> None:
    assert not wanted(OPENSEARCH, application(tmp_path, OURS), {"OpenSearchEndpoint": "http://127.0.0.1:9200"})


def test_a_template_that_takes_no_endpoint_wants_none(tmp_path: Path) -> None:
    assert not wanted(
        OPENSEARCH, application(tmp_path, OURS, "Parameters: {PipelineFile: {Default: pipelines/a.yaml}}"), {}
    )


@pytest.mark.parametrize(("server", "pipeline"), [(OPENSEARCH, OURS), (REDSHIFT, LOADED)])
def test_each_kind_of_server_is_told_by_its_own_sinks_and_its_own_parameter(
    tmp_path: Path, server: Server, pipeline: str
) -> None:
    made = application(tmp_path, pipeline)
    others = {each.parameter: "given" for each in (OPENSEARCH, REDSHIFT) if each is not server}
    assert [wanted(each, made, others) for each in (OPENSEARCH, REDSHIFT)] == [
        each is server for each in (OPENSEARCH, REDSHIFT)
    ]
    assert not wanted(server, made, {server.parameter: "given"})


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ("sinks: {rows: {redshift: {load: {through: data_api}}}}", True),
        ("sinks: {a: {s3: {}}, rows: {redshift: {load: {through: data_api}}}}", True),
        ("sinks: {rows: {redshift: {load: {through: connection}}}}", False),
        (LOADED, False),
        ("sinks: {rows: {redshift: {load:}}}", False),
        ("sinks: [", False),
    ],
)
def test_a_pipeline_that_loads_through_the_data_api_is_told_from_others(
    tmp_path: Path, pipeline: str, expected: bool
) -> None:
    assert submits(application(tmp_path, pipeline), {}) is expected
