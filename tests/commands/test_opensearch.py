"""`aetherstream opensearch` as far as it needs no cluster; tests/opensearch/test_command.py has the rest."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aetherstream.cli import main
from aetherstream.commands.deployed import Deployed
from aetherstream.errors import UsageError
from aetherstream.testing.kinesis import client_error

SEPARATE: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
PIPELINE = """\
pipeline: p
sinks:
  archive: {s3: {bucket: data}}
  search:
    opensearch: {endpoint: "${SEARCH:-}", optional: true, index: flights, mappings: {origin: keyword}}
  logs:
    opensearch: {endpoint: "${LOGS:-}", optional: true, alias: logs, rollover: {age: 1d}, auth: "${AUTH:-none}"}
quarantine: {s3: {bucket: data}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text(PIPELINE)
    return path


def call(*arguments: object) -> Result:
    return CliRunner(**SEPARATE).invoke(main, ["opensearch", *map(str, arguments)])


def requests(printed: str) -> dict[str, Any]:
    """The bodies that are shown, by request line."""
    found: dict[str, Any] = {}
    for part in printed.split("\n\n"):
        line, _, body = "\n".join(row for row in part.splitlines() if not row.startswith("#")).partition("\n")
        if line:
            found[line] = json.loads(body)
    return found


def test_what_the_sinks_want_is_shown_as_requests(file: Path) -> None:
    result = call("show", file, "--env", "SEARCH=http://one", "--env", "LOGS=https://two")
    assert (result.exit_code, result.stderr) == (0, "")
    shown = requests(result.stdout)
    assert list(shown) == [
        "PUT /_index_template/p-search",
        "PUT /_plugins/_ism/policies/p-logs",
        "PUT /_index_template/p-logs",
        "PUT /logs-000001",
    ]
    assert shown["PUT /_index_template/p-search"]["template"]["mappings"]["properties"] == {
        "_event_id": {"type": "keyword"},
        "_identity": {"type": "keyword"},
        "origin": {"type": "keyword"},
    }
    assert shown["PUT /logs-000001"] == {"aliases": {"logs": {"is_write_index": True}}}


AGGREGATES = """\
event_time: {field: at}
aggregates:
  hours: {window: {tumbling: 1h}, outputs: {flights: count}, to: {search: {index: hours}}}
  visits: {window: {session: 1h}, outputs: {flights: count}, to: {logs: {index: visits}}}
"""


def test_the_indices_of_results_are_shown_with_the_sink_by_which_they_go(file: Path) -> None:
    file.write_text(PIPELINE + AGGREGATES)
    shown = requests(call("show", file, "--env", "SEARCH=http://one", "--env", "LOGS=http://two").stdout)
    assert [line for line in shown if "." in line] == [
        "PUT /_index_template/p-hours.search",
        "PUT /_index_template/p-visits.logs",
    ]
    only = call("show", file, "--env", "SEARCH=http://one", "--env", "LOGS=http://two", "--sink", "search").stdout
    assert list(requests(only)) == ["PUT /_index_template/p-search", "PUT /_index_template/p-hours.search"]
    assert requests(only)["PUT /_index_template/p-hours.search"]["index_patterns"] == ["hours"]


def test_serverless_is_asked_for_no_policy(file: Path) -> None:
    result = call("show", file, "--sink", "logs", "--env", "LOGS=https://two", "--env", "AUTH=aoss")
    assert list(requests(result.stdout)) == ["PUT /_index_template/p-logs", "PUT /logs-000001"]


def test_a_sink_that_is_switched_off_is_named(file: Path) -> None:
    result = call("show", file, "--env", "SEARCH=http://one")
    assert result.exit_code == 0
    assert result.stderr == "logs: switched off, because its endpoint is empty\n"
    assert result.stdout.startswith("# search, at http://one\n")


def test_without_any_endpoint_it_is_said_how_to_name_one(file: Path) -> None:
    result = call("setup", file, "--sink", "logs")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "logs: switched off, because its endpoint is empty\n"
        f"Error: name the cluster with --env AETHERSTREAM_OPENSEARCH_ENDPOINT=https://host (or as {file} calls it),"
        " or take what a stack has with --stack NAME\n"
    )


def test_an_unknown_sink_is_named_with_the_nearest(file: Path) -> None:
    result = call("setup", file, "--sink", "serch")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: {file} has no OpenSearch sink 'serch' (did you mean 'search'?)\n",
    )


def test_a_pipeline_without_such_a_sink_says_so(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "pipeline: p\nsinks: {a: {s3: {bucket: data}}}\nquarantine: {s3: {bucket: data}}\n"
    )
    result = call("setup", tmp_path / "p.yaml")
    assert (result.exit_code, result.stderr) == (2, f"Error: {tmp_path / 'p.yaml'} has no OpenSearch sink\n")


def test_a_cluster_that_does_not_answer_is_a_world_at_fault(file: Path) -> None:
    result = call("setup", file, "--sink", "search", "--env", "SEARCH=http://127.0.0.1:9")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: search: http://127.0.0.1:9 can't be reached: ")


class Functions:
    """Plays the session and the Lambda client of a stack."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self._answer = answer

    def client(self, service: str, **_: Any) -> Functions:
        assert service == "lambda"
        return self

    def get_function_configuration(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803 - AWS
        assert FunctionName == "arn:f"
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def variables(answer: dict[str, Any] | Exception) -> dict[str, str]:
    return Deployed("s", {"FunctionAliasArn": "arn:f"}, Functions(answer), None).variables()


def test_a_stack_has_the_variables_of_its_function() -> None:
    assert variables({"Environment": {"Variables": {"A": "1"}}}) == {"A": "1"}
    assert variables({}) == {}


def test_a_function_that_may_not_be_read_is_named() -> None:
    with pytest.raises(UsageError, match="the environment of arn:f can't be read"):
        variables(client_error("AccessDeniedException", "GetFunctionConfiguration"))
