import hashlib
import importlib.util
import json
import re
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from aetherstream.testing.runtime_api import FunctionProcess
from scripts import build_function
from scripts.build_function import BuildError, Target, host_target, parse_target
from tests.deployment.cloudformation import ROOT

NAMES = [
    f"python{python}-{architecture}" for python in build_function.PYTHONS for architecture in build_function.MACHINES
]


def tree(directory: Path) -> dict[str, tuple[str, int, float]]:
    """Every file with the digest of its content, its mode and its time: what makes up a zip."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            about = path.stat()
            name = path.relative_to(directory).as_posix()
            found[name] = (hashlib.sha256(path.read_bytes()).hexdigest(), about.st_mode, about.st_mtime)
    return found


def project(directory: Path, files: dict[str, str]) -> Path:
    locks = {package.requirements: "" for package in build_function.PACKAGES.values()}
    for name, content in (locks | files).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


def version(root: Path) -> str:
    return build_function.pipeline_version(root, build_function.project_files(root))


def test_there_is_a_makefile_for_every_platform_of_the_template_and_for_this_machine(template: dict[str, Any]) -> None:
    pythons = template["Parameters"]["PythonVersion"]["AllowedValues"]
    architectures = template["Parameters"]["Architecture"]["AllowedValues"]
    wanted = {f"handlers/targets/python{python}-{arch}" for python in pythons for arch in architectures}
    found = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("handlers/targets/*/Makefile")}
    assert found == wanted | {"handlers/targets/host"}
    context = template["Resources"]["StreamFunction"]["Metadata"]["ContextPath"]
    named = {"Fn::Sub": "handlers/targets/python${PythonVersion}-${Architecture}"}
    assert context == {"Fn::If": ["ForHost", "handlers/targets/host", named]}


def test_the_runtime_and_the_architecture_of_the_function_are_the_parameters_that_choose_the_makefile(
    template: dict[str, Any],
) -> None:
    function = template["Resources"]["StreamFunction"]["Properties"]
    assert (function["Runtime"], function["Architectures"]) == (
        {"Fn::Sub": "python${PythonVersion}"},
        [{"Ref": "Architecture"}],
    )


def test_a_target_is_what_the_template_says() -> None:
    assert parse_target("python3.12-x86_64", {}) == Target("3.12", "x86_64")


def test_variables_that_agree_with_the_template_are_taken() -> None:
    agreeing = {"AETHERSTREAM_PYTHON": "3.12", "AETHERSTREAM_ARCH": "aarch64"}
    assert parse_target("python3.12-arm64", agreeing) == Target("3.12", "arm64")


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({"AETHERSTREAM_PYTHON": "3.14"}, "PythonVersion=3.14 Architecture=arm64"),
        ({"AETHERSTREAM_ARCH": "x86_64"}, "PythonVersion=3.13 Architecture=x86_64"),
    ],
)
def test_variables_that_contradict_the_template_name_the_command_that_agrees(
    variables: dict[str, str], asked: str
) -> None:
    with pytest.raises(BuildError) as caught:
        parse_target("python3.13-arm64", variables)
    assert "the template is built with PythonVersion=3.13 Architecture=arm64" in str(caught.value)
    assert str(caught.value).endswith(f"sam build --parameter-overrides {asked}")


def test_a_platform_that_the_template_does_not_know_is_refused_with_those_that_it_knows() -> None:
    with pytest.raises(BuildError, match=re.escape("PythonVersion 3.11, 3.12, 3.13, 3.14; Architecture arm64, x86_64")):
        parse_target("python3.13-arm64", {"AETHERSTREAM_PYTHON": "3.9"})


def test_a_host_build_refuses_variables_for_another_machine() -> None:
    other = "arm64" if host_target().architecture == "x86_64" else "x86_64"
    with pytest.raises(BuildError, match="BuildFor=host, which takes this machine's Python"):
        parse_target("host", {"AETHERSTREAM_ARCH": other})


def test_an_unknown_target_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BuildError, match=re.escape(f"it is one of {', '.join(NAMES)}, host")):
        parse_target("python3.10-arm64", {})


def test_markers_are_judged_for_the_target_and_not_for_the_python_that_builds() -> None:
    lock = 'old==1 ; python_full_version < "3.14" \\\n    --hash=sha256:aa\nnew==2 \\\n    --hash=sha256:bb\n'
    assert build_function.locked_requirements(lock, Target("3.13", "arm64")) == (
        "old==1 --hash=sha256:aa\nnew==2 --hash=sha256:bb\n"
    )
    assert build_function.locked_requirements(lock, Target("3.14", "arm64")) == "new==2 --hash=sha256:bb\n"


def test_every_hash_of_a_locked_requirement_is_kept() -> None:
    lock = "one==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    [line] = build_function.locked_requirements(lock, Target("3.13", "arm64")).splitlines()
    assert line.split() == ["one==1", "--hash=sha256:aa", "--hash=sha256:bb"]


@pytest.mark.parametrize(("python", "newest"), [("3.11", "manylinux_2_26_aarch64"), ("3.12", "manylinux_2_34_aarch64")])
def test_wheels_are_no_newer_than_the_runtimes_glibc(python: str, newest: str) -> None:
    assert Target(python, "arm64").platforms()[0] == newest


def test_a_package_that_cannot_be_installed_says_for_what(tmp_path: Path) -> None:
    root = project(tmp_path / "root", {build_function.FUNCTION.requirements: "no-hash==1 \\\n    --hash=sha256:zz\n"})
    with pytest.raises(BuildError, match=r"pip could not install requirements/function\.txt for python3\.13-arm64"):
        build_function.install(Target("3.13", "arm64"), tmp_path / "out", root / build_function.FUNCTION.requirements)


def test_only_what_the_function_runs_is_taken_from_the_project(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "aetherstream/app.py": "",
            "aetherstream/kinds.json": "{}",
            "aetherstream/decode/kpl.py": "",
            "aetherstream/decode/__pycache__/kpl.cpython-311.pyc": "",
            "aetherstream/cli.py": "",
            "aetherstream/commands/run.py": "",
            "aetherstream/local/stack.py": "",
            "aetherstream/producer/core.py": "",
            "aetherstream/testing/stores.py": "",
            "aetherstream/loader_app.py": "",
            "aetherstream/loader/loader.py": "",
            "handlers/stream.py": "",
            "handlers/loader.py": "",
            "handlers/build.mk": "",
            "handlers/targets/host/Makefile": "",
            "pipelines/flights.yaml": "",
            "pipelines/flights_test.yaml": "",
            "pipelines/tests/flights.yaml": "",
            "pipelines/reference/airlines.csv": "",
        },
    )
    assert [path.as_posix() for path in build_function.project_files(root)] == [
        "aetherstream/app.py",
        "aetherstream/decode/kpl.py",
        "aetherstream/kinds.json",
        "handlers/stream.py",
        "pipelines/flights.yaml",
        "pipelines/reference/airlines.csv",
    ]


def test_of_the_library_the_loader_takes_what_it_imports_and_no_more(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "aetherstream/__init__.py": "",
            "aetherstream/app.py": "",
            "aetherstream/errors.py": "import json",
            "aetherstream/loader_app.py": "from aetherstream import loader\nfrom typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from aetherstream.app import App\n",
            "aetherstream/loader/__init__.py": "from .parts import Part",
            "aetherstream/loader/parts.py": "def f():\n    from aetherstream.errors import Refused",
            "aetherstream/loader/unused.py": "",
            "handlers/__init__.py": "",
            "handlers/loader.py": "import aetherstream.loader_app",
            "handlers/stream.py": "import aetherstream.app",
            "pipelines/flights.yaml": "",
        },
    )
    assert [path.as_posix() for path in build_function.project_files(root, build_function.LOADER)] == [
        "aetherstream/__init__.py",
        "aetherstream/errors.py",
        "aetherstream/loader/__init__.py",
        "aetherstream/loader/parts.py",
        "aetherstream/loader_app.py",
        "handlers/__init__.py",
        "handlers/loader.py",
        "pipelines/flights.yaml",
    ]


@pytest.mark.parametrize(
    "changed",
    [
        "aetherstream/app.py",
        "handlers/stream.py",
        "pipelines/a.yaml",
        "pipelines/reference/a.csv",
        "requirements/function.txt",
    ],
)
def test_the_pipeline_version_changes_with_code_pipelines_tables_and_libraries(tmp_path: Path, changed: str) -> None:
    names = ("aetherstream/app.py", "handlers/stream.py", "pipelines/a.yaml", "pipelines/reference/a.csv")
    files = dict.fromkeys(names, "")
    before = version(project(tmp_path / "before", files))
    after = version(project(tmp_path / "after", files | {changed: "changed"}))
    assert before != after


@pytest.mark.parametrize(
    "beside",
    [
        "pipelines/a_test.yaml",
        "aetherstream/cli.py",
        "aetherstream/app.pyc",
        "aetherstream/loader/loader.py",
        "handlers/loader.py",
    ],
)
def test_the_pipeline_version_does_not_change_with_what_no_record_meets(tmp_path: Path, beside: str) -> None:
    files = {"aetherstream/app.py": "", "pipelines/a.yaml": ""}
    before = version(project(tmp_path / "before", files))
    assert version(project(tmp_path / "after", files | {beside: "new"})) == before


def test_the_package_says_what_it_is(built: Path, sources: Path) -> None:
    host = host_target()
    about = json.loads((built / build_function.BUILD_FILE).read_text())
    assert about == {
        "pipeline_version": version(sources),
        "python": host.python,
        "architecture": host.architecture,
        "target": "host",
    }


def test_the_locks_agree_on_the_versions_that_are_tested() -> None:
    pins = {}
    for name in ("dev", "function", "loader"):
        text = (ROOT / f"requirements/{name}.txt").read_text()
        pins[name] = set(re.findall(r"^([a-z0-9-]+==\S+)", text, re.MULTILINE))
    assert pins["function"] <= pins["dev"]
    assert pins["loader"] <= pins["dev"]


def test_the_loader_has_the_driver_of_redshift_and_not_what_that_never_imports(built_loader: Path) -> None:
    tops = {
        path.name.removesuffix(".py") for path in built_loader.iterdir() if path.suffix not in {".so", ".dist-info"}
    }
    own = {"aetherstream", "handlers", "pipelines", "__pycache__"}
    assert tops - own == {
        "_yaml",
        "asn1crypto",
        "aws_lambda_powertools",
        "ddsketch",
        "isal",
        "jmespath",
        "msgspec",
        "orjson",
        "packaging",
        "redshift_connector",
        "scramp",
        "six",
        "typing_extensions",
        "yaml",
    }


def test_no_other_function_has_the_driver_of_redshift(built: Path) -> None:
    names = ("redshift_connector", "scramp", "handlers/loader.py", "aetherstream/loader", "aetherstream/loader_app.py")
    assert [name for name in names if (built / name).exists()] == []


def test_the_loader_brings_the_certificates_of_redshift(built_loader: Path) -> None:
    assert (built_loader / "redshift_connector/files/redshift-ca-bundle.crt").read_text().startswith("-----BEGIN")


def test_the_package_stays_under_60_mb(built: Path) -> None:
    size = sum(path.stat().st_size for path in built.rglob("*") if path.is_file())
    assert size < 60_000_000


def test_the_package_has_nothing_that_a_function_never_imports(built: Path) -> None:
    unwanted = ["boto3", "botocore", "pandas", "pyarrow", "click", "rich", "ministack", "samcli", "bin", "tests"]
    unwanted += [f"aetherstream/{name}" for name in ("local", "producer", "testing", "commands", "cli.py")]
    assert [name for name in unwanted if (built / name).exists()] == []
    assert list(built.rglob("*.dist-info")) == []


def test_byte_code_comes_along_and_is_never_checked_against_its_source(built: Path) -> None:
    code = Path(importlib.util.cache_from_source(str(built / "handlers/stream.py"))).read_bytes()
    # PEP 552: the magic number, then flags: 1 is "by hash", 2 would be "check the source".
    assert (code[:4], code[4:8]) == (importlib.util.MAGIC_NUMBER, b"\x01\0\0\0")


def test_no_byte_code_comes_from_a_python_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3.99").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build_function.interpreter(Target("3.99", "arm64")) is None


def test_a_source_that_does_not_compile_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text("def broken(:\n")
    with pytest.raises(BuildError, match=r"does not compile[\s\S]*step\.py"):
        build_function.compile_sources(sys.executable, tmp_path)


def test_equal_inputs_make_equal_packages(built: Path, sources: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"  # where no other package stands beside it to be copied
    build_function.build(host_target(), again, sources)
    assert tree(again) == tree(built)


def test_the_package_of_another_function_of_the_same_build_is_copied(tmp_path: Path) -> None:
    root = project(tmp_path / "root", {"aetherstream/app.py": "", "handlers/stream.py": ""})
    first, second = tmp_path / "build/StreamFunction", tmp_path / "build/DrainFunction"
    build_function.build(host_target(), first, root)
    (first / "from_the_first.py").touch()
    build_function.build(host_target(), second, root)
    assert tree(second).keys() == tree(first).keys()
    assert (second / "from_the_first.py").exists()


def test_a_package_of_other_sources_is_not_copied(tmp_path: Path) -> None:
    root = project(tmp_path / "root", {"aetherstream/app.py": "", "handlers/stream.py": ""})
    first, second = tmp_path / "build/StreamFunction", tmp_path / "build/DrainFunction"
    build_function.build(host_target(), first, root)
    (first / "from_the_first.py").touch()
    (root / "aetherstream/app.py").write_text("changed = True")
    build_function.build(host_target(), second, root)
    assert not (second / "from_the_first.py").exists()
    assert (second / "aetherstream/app.py").read_text() == "changed = True"


@pytest.mark.parametrize("package_of", build_function.PACKAGES.values(), ids=build_function.PACKAGES)
def test_every_module_of_the_package_imports_in_lambdas_runtime(
    package_of: build_function.Package,
    built: Path,
    built_loader: Path,
    sources: Path,
    lambda_libraries: Path,
    tmp_path: Path,
) -> None:
    package = tmp_path / "package"
    shutil.copytree(built_loader if package_of is build_function.LOADER else built, package)
    (package / "probe.py").write_text(
        textwrap.dedent("""
        import importlib, pkgutil
        import aetherstream

        def handler(event, context):
            names = [module.name for module in pkgutil.walk_packages(aetherstream.__path__, "aetherstream.")]
            failed = {}
            for name in names:
                try:
                    importlib.import_module(name)
                except Exception as error:
                    failed[name] = repr(error)
            return {"file": aetherstream.__file__, "modules": len(names), "failed": failed}
        """)
    )
    output = tmp_path / "output"
    runtime = FunctionProcess(package, "probe.handler", output=output, libraries=(lambda_libraries,), timeout=60)
    with runtime as function:
        outcome = function.invoke({})
    assert outcome.error is None, output.read_text()
    files = build_function.project_files(sources, package_of)
    modules = [path for path in files if path.parts[0] == "aetherstream" and path.suffix == ".py"]
    assert outcome.response["file"] == str(package / "aetherstream/__init__.py")
    assert outcome.response["failed"] == {}
    # Every module but the root package itself.
    assert outcome.response["modules"] == len(modules) - 1


@pytest.mark.integration
@pytest.mark.parametrize("package", build_function.PACKAGES.values(), ids=build_function.PACKAGES)
@pytest.mark.parametrize("name", NAMES)
def test_the_package_builds_for_every_platform_of_the_template(
    name: str, package: build_function.Package, tmp_path: Path
) -> None:
    target = parse_target(name, {})
    about = build_function.build(target, tmp_path, package=package)
    extensions = {path.name.split(".")[-2] for path in tmp_path.rglob("*.so")}
    machine = build_function.MACHINES[target.architecture]
    tag = "cpython-" + target.python.replace(".", "") + f"-{machine}-linux-gnu"
    assert (about["python"], about["architecture"], about["target"]) == (target.python, target.architecture, name)
    assert extensions <= {tag, "abi3"}
    assert int(about["bytes"]) < 60_000_000
