"""OpenSearch takes the longest names that a pipeline file may have, and refuses what the file's check refuses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from aetherstream.compose import opensearch_of, placements_of
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline import Pipeline, load
from aetherstream.records import Events
from aetherstream.sinks.opensearch.client import Client
from aetherstream.sinks.opensearch.setup import Setup

pytestmark = pytest.mark.integration


def loaded(folder: Path, pipeline: str, target: str) -> Pipeline:
    path = folder / "p.yaml"
    path.write_text(
        f"pipeline: {pipeline}\nevent_time: {{field: at}}\n"
        f"sinks: {{search: {{opensearch: {{endpoint: 'https://host', {target}}}}}}}\n"
        "quarantine: {s3: {bucket: data}}\n"
    )
    return load(path, {})


@pytest.mark.parametrize(
    ("target", "longest"),
    [
        ("period: hour, index: ", 241),
        ("period: day, index: ", 244),
        ("period: month, index: ", 247),
        ("period: year, index: ", 250),
        ("data_stream: ", 244),
        ("alias: ", 248),
    ],
)
def test_the_longest_name_is_taken_and_one_byte_more_is_not(
    tmp_path: Path, opensearch: str, index_prefix: str, target: str, longest: int
) -> None:
    name = index_prefix + "x" * (longest - len(index_prefix))
    pipeline = loaded(tmp_path, index_prefix, target + name)
    (options,), (placement,) = opensearch_of(pipeline), placements_of(pipeline)
    client = Client(opensearch)
    Setup(client, options.spec).apply()
    (place,), _ = placement.partition(Events([{}], [0], [0], [0], times=[1_359_590_400.0]), [0])
    body = b'{"create": {"_id": "1"}}\n{"at": "2013-01-31T00:00:00Z"}\n'
    assert '"status":201' in client.request("POST", f"/{place}/_bulk", body, 10).text
    with pytest.raises(ConfigurationError, match=f"has {longest + 1} bytes"):
        loaded(tmp_path, index_prefix, f"{target}{name}x")


@pytest.mark.parametrize("name", ["Ab", "_a", "-a", "+a", *(f"a{character}b" for character in '\\/*?"<>| ,#:')])
def test_opensearch_refuses_what_the_file_may_not_have(tmp_path: Path, opensearch: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match="OpenSearch"):
        loaded(tmp_path, "p", f"index: '{name}'")
    assert Client(opensearch).request("PUT", f"/{quote(name, safe='')}", b"{}", 10).status == 400
