from __future__ import annotations

from pathlib import Path

import pytest

from aetherstream.errors import UsageError
from aetherstream.local.sam import Application, Sam, architecture, declared_parameters, python_version

TEMPLATE = """
Parameters:
  PythonVersion: {Type: String}
  EventSourceMappingEnabled: {Type: String}
  BatchSize: {Type: Number, Default: 100}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties: {BucketName: !Sub "${AWS::StackName}-x", Tags: !If [A, [], !Ref AWS::NoValue]}
"""
CONFIG = """
version = 0.1
[local.deploy.parameters]
parameter_overrides = "BatchSize=7 Text=\\"two words\\" PythonVersion=3.14"
"""


def application(directory: Path) -> Application:
    (directory / "template.yaml").write_text(TEMPLATE)
    (directory / "samconfig.toml").write_text(CONFIG)
    return Application(directory / "template.yaml")


def test_parameters_come_from_samconfig_the_machine_and_the_caller_in_this_order(tmp_path: Path) -> None:
    sam = Sam(application(tmp_path), tmp_path / "state", parameters={"BatchSize": "9"})
    assert sam.parameters == {
        "BatchSize": "9",
        "Text": "two words",
        "PythonVersion": python_version(),
        "EventSourceMappingEnabled": "false",
    }


def test_a_template_with_short_tags_tells_its_parameters(tmp_path: Path) -> None:
    parameters = declared_parameters(application(tmp_path).template)
    assert list(parameters) == ["PythonVersion", "EventSourceMappingEnabled", "BatchSize"]


def test_a_template_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no SAM template at .*none.yaml: .*--template"):
        Sam(Application(tmp_path / "none.yaml"), tmp_path)


def test_a_template_that_is_not_yaml_is_said(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("a: [")
    with pytest.raises(UsageError, match="is not a template that can be read"):
        Sam(Application(tmp_path / "template.yaml"), tmp_path)


def test_the_architecture_is_written_as_lambda_writes_it() -> None:
    assert architecture() in {"arm64", "x86_64"}


@pytest.mark.integration
def test_a_failing_build_shows_the_end_of_its_output(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("Resources: {F: {Type: 'AWS::Serverless::Function', Properties: {}}}")
    with pytest.raises(UsageError, match=r"`sam build` of .*template.yaml failed \(exit code \d+\)"):
        Sam(Application(tmp_path / "template.yaml"), tmp_path / "state").build()
