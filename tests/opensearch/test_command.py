"""`aetherstream opensearch setup` on a real server: shown, applied, gone."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aetherstream.cli import main
from aetherstream.sinks.opensearch.client import Client

pytestmark = pytest.mark.integration

SEPARATE: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}


@pytest.fixture
def file(tmp_path: Path, opensearch: str, index_prefix: str) -> Path:
    return written(tmp_path, opensearch, f"index: {index_prefix}, mappings: {{origin: keyword}}", index_prefix)


def written(folder: Path, url: str, target: str, pipeline: str) -> Path:
    path = folder / "p.yaml"
    path.write_text(
        f"pipeline: {pipeline}\nsinks:\n  search: {{opensearch: {{endpoint: '{url}', {target}}}}}\n"
        "quarantine: {s3: {bucket: data}}\n"
    )
    return path


def call(*arguments: object) -> Result:
    return CliRunner(**SEPARATE).invoke(main, ["opensearch", "setup", *map(str, arguments)])


def test_what_is_missing_is_shown_and_left_alone(file: Path, opensearch: str, index_prefix: str) -> None:
    for _ in range(2):
        result = call(file)
        assert (result.exit_code, result.stdout.splitlines()) == (
            0,
            [
                f"search, at {opensearch}",
                f"  index template {index_prefix}-search: missing",
                "  Nothing was changed. Add --apply to do it.",
            ],
        )


def test_what_is_missing_is_created_once(file: Path, opensearch: str, index_prefix: str) -> None:
    assert call(file, "--apply").stdout.splitlines() == [
        f"search, at {opensearch}",
        f"  index template {index_prefix}-search: created",
    ]
    assert call(file, "--apply").stdout.splitlines() == [
        f"search, at {opensearch}",
        "  the cluster has what the pipeline wants",
    ]


def test_what_differs_is_shown_line_by_line_and_changed(
    tmp_path: Path, file: Path, opensearch: str, index_prefix: str
) -> None:
    call(file, "--apply")
    changed = written(tmp_path, opensearch, f"index: {index_prefix}, mappings: {{origin: text}}", index_prefix)
    line = "    template.mappings.properties.origin.type: keyword → text"
    assert call(changed).stdout.splitlines()[1:] == [
        f"  index template {index_prefix}-search: differs",
        line,
        "  Nothing was changed. Add --apply to do it.",
    ]
    assert call(changed, "--apply").stdout.splitlines()[1:] == [
        f"  index template {index_prefix}-search: changed",
        line,
        "  It holds for indices made from now on; those that stand keep what they were made with.",
    ]
    assert call(changed).stdout.splitlines()[1:] == ["  the cluster has what the pipeline wants"]


def test_a_difference_is_an_exit_code_where_that_is_asked_for(file: Path) -> None:
    assert [
        call(file, *more).exit_code for more in ([], ["--exit-code"], ["--exit-code", "--apply"], ["--exit-code"])
    ] == [
        0,
        1,
        0,
        0,
    ]


def test_an_index_in_the_way_of_an_alias_is_an_exit_code(tmp_path: Path, opensearch: str, index_prefix: str) -> None:
    assert Client(opensearch).request("PUT", f"/{index_prefix}", b"{}", 10).status == 200
    path = written(tmp_path, opensearch, f"alias: {index_prefix}", index_prefix)
    result = call(path, "--apply")
    assert (result.exit_code, result.stdout.splitlines()[1:]) == (
        1,
        [
            f"  index template {index_prefix}-search: created",
            f"  alias {index_prefix}: blocked",
            f"    an index of the name {index_prefix} is in its way",
        ],
    )


def test_json_tells_what_was_applied(file: Path, opensearch: str, index_prefix: str) -> None:
    assert json.loads(call(file, "--apply", "--json").stdout) == {
        "sink": "search",
        "endpoint": opensearch,
        "differences": [
            {"what": f"index template {index_prefix}-search", "state": "missing", "lines": [], "applied": True}
        ],
    }


def test_a_data_stream_has_the_time_of_the_events(tmp_path: Path, opensearch: str, index_prefix: str) -> None:
    path = written(tmp_path, opensearch, f"data_stream: {index_prefix}", index_prefix)
    path.write_text(path.read_text() + "event_time: {field: seen, format: epoch_s}\n")
    assert call(path, "--apply").exit_code == 0
    client = Client(opensearch)
    body = b'{"create": {"_id": "1"}}\n{"seen": 1359590400}\n'
    stored = json.loads(client.request("POST", f"/{index_prefix}/_bulk?refresh=true", body, 10).text)
    assert [item["create"]["status"] for item in stored["items"]] == [201]
    found = json.loads(client.request("GET", f"/{index_prefix}/_search?q=seen:%3C2000000000", None, 10).text)
    assert [hit["_source"] for hit in found["hits"]["hits"]] == [{"seen": 1359590400}]


def test_the_time_of_the_events_is_searched_as_a_date(tmp_path: Path, opensearch: str, index_prefix: str) -> None:
    path = written(tmp_path, opensearch, f"index: {index_prefix}", index_prefix)
    path.write_text(path.read_text() + "event_time: {field: meta.at}\n")
    assert call(path, "--apply").exit_code == 0
    client = Client(opensearch)
    rows = [{"meta": {"at": text}} for text in ("2013-01-31T05:00:00Z", "2013-02-01T05:00:00+01:00", "20130203T05")]
    body = "".join(f'{{"create": {{}}}}\n{json.dumps(row)}\n' for row in rows).encode()
    stored = json.loads(client.request("POST", f"/{index_prefix}-2013.01/_bulk?refresh=true", body, 10).text)
    assert [item["create"]["status"] for item in stored["items"]] == [201, 201, 201]
    query = "/_search?q=meta.at:%5B2013-02-01%20TO%20*%5D"
    found = json.loads(client.request("GET", f"/{index_prefix}-2013.01{query}", None, 10).text)
    assert [hit["_source"] for hit in found["hits"]["hits"]] == [rows[1]]
