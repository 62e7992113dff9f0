import tomllib
from typing import Any

import pytest

from tests.deployment.cloudformation import ROOT, defaults, refused


def overrides(environment: str) -> dict[str, str]:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    listed = config[environment]["global"]["parameters"].get("parameter_overrides", [])
    return dict(entry.split("=", 1) for entry in listed)


def test_the_environments_are_default_local_and_prod() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert list(config) == ["version", "default", "local", "prod"]


@pytest.mark.parametrize("environment", ["default", "local", "prod"])
def test_overrides_are_parameters_with_values_that_the_template_takes(
    template: dict[str, Any], environment: str
) -> None:
    wrong = []
    for name, value in overrides(environment).items():
        about = template["Parameters"][name]
        if "AllowedValues" in about and value not in map(str, about["AllowedValues"]):
            wrong.append((name, value))
    assert wrong == []
    assert refused(template, defaults(template, **overrides(environment))) == []


@pytest.mark.parametrize("environment", ["default", "local", "prod"])
def test_overrides_stand_where_build_and_deploy_both_read_them(environment: str) -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    commands = [
        command for command, table in config[environment].items() if "parameter_overrides" in table["parameters"]
    ]
    assert commands in ([], ["global"])


def test_the_local_environment_builds_for_this_machine_and_leaves_polling_to_the_stack() -> None:
    local = overrides("local")
    assert (local["BuildFor"], local["EventSourceMappingEnabled"]) == ("host", "false")


def test_the_local_environment_can_be_deleted() -> None:
    assert overrides("local")["TableDeletionProtection"] == "false"
