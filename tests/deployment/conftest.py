import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts import build_function
from tests.deployment.cloudformation import ROOT, load_template

# What Lambda's Python runtime has beside the function's own package: boto3 with what it needs, and its runtime client.
RUNTIME_MODULES = [
    "awslambdaric",
    "boto3",
    "botocore",
    "dateutil",
    "jmespath",
    "runtime_client",
    "s3transfer",
    "simplejson",
    "six",
    "snapshot_restore_py",
    "urllib3",
]


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return load_template()


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the packages are built from, as it was when the tests began."""
    directory = tmp_path_factory.mktemp("sources")
    wanted = set()
    for package in build_function.PACKAGES.values():
        wanted |= {*build_function.project_files(ROOT, package), Path(package.requirements)}
    for path in wanted:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, directory / path)
    return directory


@pytest.fixture(scope="session")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of all functions but the loader, built for this machine's Python."""
    directory = tmp_path_factory.mktemp("package")
    build_function.build(build_function.host_target(), directory, sources)
    return directory


@pytest.fixture(scope="session")
def built_loader(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the loader, built for this machine's Python."""
    directory = tmp_path_factory.mktemp("loader")
    build_function.build(build_function.host_target(), directory, sources, build_function.LOADER)
    return directory


@pytest.fixture(scope="session")
def lambda_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with nothing but what the Lambda runtime brings."""
    directory = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME_MODULES:
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        source = Path(spec.origin)
        source = source.parent if source.name == "__init__.py" else source
        (directory / source.name).symlink_to(source)
    return directory
