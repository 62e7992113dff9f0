from pathlib import Path

import pytest

from aetherstream.errors import ConfigurationError
from aetherstream.settings import Settings, from_environment, on_aws


def test_everything_but_the_pipeline_has_a_default() -> None:
    environ = {"AETHERSTREAM_PIPELINE": "pipelines/flights.yaml"}
    assert from_environment(environ) == Settings(
        pipeline=Path("pipelines/flights.yaml"), progress_table=None, dry_run=False, tracing=False, variables=environ
    )


def test_every_variable_is_read() -> None:
    environ = {
        "AETHERSTREAM_PIPELINE": "pipelines/flights.yaml",
        "AETHERSTREAM_PROGRESS_TABLE": "progress",
        "AETHERSTREAM_DRY_RUN": "true",
        "AETHERSTREAM_TRACING": "true",
        "LAMBDA_TASK_ROOT": "/var/task",
        "MY_OWN": "x",
    }
    assert from_environment(environ) == Settings(
        pipeline=Path("/var/task/pipelines/flights.yaml"),
        progress_table="progress",
        dry_run=True,
        tracing=True,
        variables=environ,
    )


@pytest.mark.parametrize("environ", [{}, {"AETHERSTREAM_PIPELINE": ""}], ids=["absent", "empty"])
def test_a_missing_pipeline_names_the_variable_and_shows_one(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        from_environment(environ)
    assert str(raised.value) == (
        "the environment variable AETHERSTREAM_PIPELINE is not set: it names the pipeline file, "
        "for example pipelines/flights.yaml"
    )


@pytest.mark.parametrize(
    ("value", "on"),
    [("true", True), ("True", True), ("1", True), ("YES", True), ("false", False), ("0", False), ("", False)],
)
def test_switches_are_words(value: str, on: bool) -> None:
    found = from_environment(
        {"AETHERSTREAM_PIPELINE": "p.yaml", "AETHERSTREAM_DRY_RUN": value, "AETHERSTREAM_TRACING": value}
    )
    assert (found.dry_run, found.tracing) == (on, on)


def test_an_empty_table_name_is_none() -> None:
    found = from_environment({"AETHERSTREAM_PIPELINE": "p.yaml", "AETHERSTREAM_PROGRESS_TABLE": ""})
    assert found.progress_table is None


@pytest.mark.parametrize(
    ("environ", "there"),
    [
        ({"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"}, True),
        ({"AWS_EXECUTION_ENV": "CloudShell"}, False),
        ({"AWS_LAMBDA_FUNCTION_NAME": "stream", "LAMBDA_TASK_ROOT": "/tmp/code"}, False),  # noqa: S108
        ({}, False),
    ],
    ids=["lambda", "cloud shell", "one-machine stack", "a shell"],
)
def test_aws_is_told_by_its_runtime(environ: dict[str, str], there: bool) -> None:
    assert on_aws(environ) is there
