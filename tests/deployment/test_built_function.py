"""The package as it is built, under AWS's own runtime client, with the sample events."""

import json
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherstream.testing.runtime_api import FunctionProcess, Invocation
from tests.deployment.cloudformation import ROOT

VARIABLES = {
    "AETHERSTREAM_PIPELINE": "pipelines/flights.yaml",
    "AETHERSTREAM_DELIVERY": "exactly_once",
    "AETHERSTREAM_BUCKET": "data",
    "AETHERSTREAM_PROGRESS_TABLE": "progress",
    "AETHERSTREAM_DRY_RUN": "true",
    "AETHERSTREAM_TRACING": "false",
    "POWERTOOLS_SERVICE_NAME": "aetherstream",
    "POWERTOOLS_METRICS_NAMESPACE": "AetherStream",
    "POWERTOOLS_LOG_LEVEL": "INFO",
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "output"


@pytest.fixture(scope="module")
def function(built: Path, lambda_libraries: Path, log: Path) -> Iterator[FunctionProcess]:
    runtime = FunctionProcess(
        built, "handlers.stream.handler", output=log, environment=VARIABLES, libraries=(lambda_libraries,), timeout=120
    )
    with runtime as process:
        yield process


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / name).read_text())
    return event


@pytest.mark.parametrize("name", ["good.json", "poison.json", "gzip.json", "kpl-aggregated.json", "empty.json"])
def test_a_batch_is_settled_whatever_stands_in_it(function: FunctionProcess, log: Path, name: str) -> None:
    outcome = function.invoke(sample(name))
    assert outcome == Invocation(outcome.request_id, response={"batchItemFailures": []}), log.read_text()


def test_a_batch_of_too_many_partitions_is_reported_from_the_first_record_left(
    function: FunctionProcess, log: Path
) -> None:
    event = sample("partial-failure.json")
    outcome = function.invoke(event)
    ninth = event["Records"][8]["kinesis"]["sequenceNumber"]
    expected = {"batchItemFailures": [{"itemIdentifier": ninth}]}
    assert outcome == Invocation(outcome.request_id, response=expected), log.read_text()


def test_the_drain_function_starts_from_the_package_and_touches_nothing_in_a_dry_run(
    built: Path, lambda_libraries: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    runtime = FunctionProcess(
        built, "handlers.drain.handler", output=output, environment=VARIABLES, libraries=(lambda_libraries,)
    )
    with runtime as process:
        outcome = process.invoke(sample("drain.json"))
    expected = {"state": "done", "sinks": [], "orphans": {}, "dry_run": True}
    assert outcome == Invocation(outcome.request_id, response=expected), output.read_text()


def test_the_emitter_starts_from_the_package_and_touches_nothing_in_a_dry_run(
    built: Path, lambda_libraries: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    runtime = FunctionProcess(
        built, "handlers.emitter.handler", output=output, environment=VARIABLES, libraries=(lambda_libraries,)
    )
    with runtime as process:
        outcome = process.invoke(sample("emitter.json"))
    expected: dict[str, Any] = {"batchItemFailures": []}
    assert outcome == Invocation(outcome.request_id, response=expected), output.read_text()


def test_the_closer_starts_from_the_package_and_touches_nothing_in_a_dry_run(
    built: Path, lambda_libraries: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    variables = VARIABLES | {"AETHERSTREAM_STREAM": "arn:aws:kinesis:us-east-1:123456789012:stream/flights"}
    runtime = FunctionProcess(
        built, "handlers.closer.handler", output=output, environment=variables, libraries=(lambda_libraries,)
    )
    with runtime as process:
        outcome = process.invoke(sample("closer.json"))
    assert outcome.error is None, output.read_text()
    assert (outcome.response["state"], outcome.response["dry_run"]) == ("done", True)


@pytest.fixture(scope="module")
def managed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with a pipeline beside the others that has an aggregate with `state: lambda`."""
    package = tmp_path_factory.mktemp("managed") / "package"
    shutil.copytree(built, package)
    flights = (package / "pipelines/flights.yaml").read_text().partition("\naggregates:")[0]
    (package / "pipelines/managed.yaml").write_text(
        flights
        + textwrap.dedent("""
        aggregates:
          carrier_minutes:
            group_by: [carrier]
            window: {tumbling: 1m}
            state: lambda
            outputs: {flights: count}
            to: {archive: {prefix: flights/carrier-minutes}}
        """)
    )
    return package


def test_the_window_function_starts_from_the_package_and_gives_lambda_a_state_to_keep(
    managed: Path, lambda_libraries: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    variables = VARIABLES | {"AETHERSTREAM_PIPELINE": "pipelines/managed.yaml", "AETHERSTREAM_WINDOW_SECONDS": "60"}
    runtime = FunctionProcess(
        managed, "handlers.window.handler", output=output, environment=variables, libraries=(lambda_libraries,)
    )
    with runtime as process:
        outcome = process.invoke(sample("window.json"))
    assert outcome.error is None, output.read_text()
    assert outcome.response["batchItemFailures"] == []
    assert outcome.response["state"] != {}


def test_the_loader_starts_from_its_own_package_and_leaves_every_message_in_a_dry_run(
    built_loader: Path, lambda_libraries: Path, tmp_path: Path
) -> None:
    event = sample("loader.json")
    output = tmp_path / "output"
    variables = VARIABLES | {
        "AETHERSTREAM_REDSHIFT_ENDPOINT": "flights.123456789012.us-east-1.redshift-serverless.amazonaws.com/dev",
        "AETHERSTREAM_REDSHIFT_SECRET": "arn:aws:secretsmanager:us-east-1:123456789012:secret:flights-AbCdEf",
        "AETHERSTREAM_STREAM": "arn:aws:kinesis:us-east-1:123456789012:stream/flights",
        "AETHERSTREAM_LOAD_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/load",
        "AETHERSTREAM_LOAD_DEAD_LETTERS": "https://sqs.us-east-1.amazonaws.com/123456789012/dead",
    }
    runtime = FunctionProcess(
        built_loader, "handlers.loader.handler", output=output, environment=variables, libraries=(lambda_libraries,)
    )
    with runtime as process:
        outcome = process.invoke(event)
    left = [{"itemIdentifier": record["messageId"]} for record in event["Records"]]
    expected = {"batchItemFailures": left}
    assert outcome == Invocation(outcome.request_id, response=expected), output.read_text()


def test_a_missing_variable_of_the_loader_is_told_when_it_is_called(
    built_loader: Path, lambda_libraries: Path, tmp_path: Path
) -> None:
    variables = {name: value for name, value in VARIABLES.items() if name != "AETHERSTREAM_PIPELINE"}
    runtime = FunctionProcess(
        built_loader,
        "handlers.loader.handler",
        output=tmp_path / "output",
        environment=variables,
        libraries=(lambda_libraries,),
    )
    with runtime as process:
        outcome = process.invoke({"Records": []})
    assert outcome.error
    assert outcome.error["errorType"] == "ConfigurationError"
    assert "AETHERSTREAM_PIPELINE is not set" in outcome.error["errorMessage"]


@pytest.mark.parametrize("handler", ["stream", "recovery", "drain", "emitter", "closer", "window"])
def test_a_missing_variable_stops_the_initialisation_with_its_name(
    built: Path, lambda_libraries: Path, tmp_path: Path, handler: str
) -> None:
    variables = {name: value for name, value in VARIABLES.items() if name != "AETHERSTREAM_PIPELINE"}
    runtime = FunctionProcess(
        built,
        f"handlers.{handler}.handler",
        output=tmp_path / "output",
        environment=variables,
        libraries=(lambda_libraries,),
    )
    with runtime as process:
        outcome = process.invoke({"Records": []})
    assert outcome.error
    assert outcome.error["errorType"] == "ConfigurationError"
    assert "AETHERSTREAM_PIPELINE is not set" in outcome.error["errorMessage"]
