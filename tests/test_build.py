import subprocess
import sys
from pathlib import Path

import pytest

from aetherstream import build
from aetherstream.build import Build
from aetherstream.errors import ConfigurationError
from scripts.build_function import host_target

ROOT = Path(__file__).parent.parent
FOR_LAMBDA = Build("0123456789ab", "3.13", "arm64", "python3.13-arm64")
FOR_HOST = Build("0123456789ab", "3.13", "arm64", "host")
FILE = '{"pipeline_version": "0123456789ab", "python": "3.13", "architecture": "arm64", "target": "python3.13-arm64"}'


def refusal(made: Build, *, on_aws: bool, python: str, machine: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        build.check(made, on_aws=on_aws, python=python, machine=machine)
    return str(raised.value)


def test_a_package_says_what_it_was_built_for(tmp_path: Path) -> None:
    (tmp_path / "_build.json").write_text(FILE)
    assert build.about(tmp_path / "_build.json") == FOR_LAMBDA


def test_code_that_runs_from_its_repository_was_not_built(tmp_path: Path) -> None:
    assert build.about(tmp_path / "_build.json") is None
    assert (build.version(None), build.version(FOR_LAMBDA)) == ("unbuilt", "0123456789ab")
    build.check(None, on_aws=True)


@pytest.mark.parametrize(
    ("made", "on_aws"), [(FOR_LAMBDA, True), (FOR_LAMBDA, False), (FOR_HOST, False)], ids=["aws", "sam local", "host"]
)
@pytest.mark.parametrize("machine", ["aarch64", "arm64"])
def test_a_package_that_fits_is_let_through(made: Build, on_aws: bool, machine: str) -> None:
    build.check(made, on_aws=on_aws, python="3.13", machine=machine)


def test_this_process_is_what_a_package_for_this_machine_fits() -> None:
    here = host_target()
    build.check(Build("0123456789ab", here.python, here.architecture, "host"), on_aws=False)


def test_another_python_is_refused_with_the_command_that_agrees() -> None:
    assert refusal(FOR_LAMBDA, on_aws=True, python="3.12", machine="aarch64") == (
        "this package was built for Python 3.13 on arm64, but it runs in Lambda with Python 3.12 on arm64: give "
        "`sam build` and `sam deploy` the same parameter overrides. Rebuild with `sam build --parameter-overrides "
        "BuildFor=lambda PythonVersion=3.12 Architecture=arm64` and deploy again"
    )


def test_another_architecture_is_refused_with_the_command_that_agrees() -> None:
    assert "PythonVersion=3.13 Architecture=x86_64" in refusal(FOR_LAMBDA, on_aws=True, python="3.13", machine="x86_64")


def test_a_package_for_this_machine_is_refused_on_aws_even_where_it_seems_to_fit() -> None:
    assert refusal(FOR_HOST, on_aws=True, python="3.13", machine="aarch64") == (
        "this package was built for the machine that built it (BuildFor=host), Python 3.13 on arm64, but it runs in "
        "Lambda with Python 3.13 on arm64: give `sam build` and `sam deploy` the same parameter overrides. Rebuild "
        "with `sam build --parameter-overrides BuildFor=lambda PythonVersion=3.13 Architecture=arm64` and deploy again"
    )


def test_on_the_one_machine_stack_the_fix_is_a_build_for_this_machine() -> None:
    message = refusal(FOR_LAMBDA, on_aws=False, python="3.11", machine="AMD64")
    assert "it runs in Python 3.11 on x86_64" in message
    assert "`sam build --parameter-overrides BuildFor=host`" in message


def run_beside(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where nothing can be imported but the standard library and what stands in the folder."""
    command = [sys.executable, "-S", "-P", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package without any library, as if none of them loaded on this platform."""
    (tmp_path / "aetherstream").symlink_to(ROOT / "aetherstream")
    (tmp_path / "handlers").symlink_to(ROOT / "handlers")
    return tmp_path


def test_the_check_runs_before_any_library_is_imported(package: Path) -> None:
    done = run_beside(package, "import handlers; print('checked')")
    assert (done.stdout, done.stderr) == ("checked\n", "")


def test_the_handler_of_a_package_for_elsewhere_ends_in_the_message_and_not_in_an_import_error(tmp_path: Path) -> None:
    (tmp_path / "aetherstream").mkdir()
    for name in ("__init__.py", "build.py", "settings.py", "errors.py"):
        (tmp_path / "aetherstream" / name).write_bytes((ROOT / "aetherstream" / name).read_bytes())
    (tmp_path / "aetherstream" / "_build.json").write_text(FILE.replace("3.13", "3.9"))
    (tmp_path / "handlers").symlink_to(ROOT / "handlers")
    done = run_beside(tmp_path, "import handlers.stream")
    assert "ConfigurationError: this package was built for Python 3.9 on arm64, but it runs in" in done.stderr
    assert "ImportError" not in done.stderr
