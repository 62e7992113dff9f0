"""Build the functions' packages: wheels for Lambda's platform, and the parts of this project that they run.

Called by the makefiles below `handlers/targets/`, which `sam build` picks by the template's parameters, so the name of
the makefile's directory is what the template wants. `AETHERSTREAM_PYTHON` and `AETHERSTREAM_ARCH` may say it as well;
where they disagree with the template, the build stops and names the command that agrees.

Equal inputs give equal bytes: locked wheels checked by hash, fixed modification times. Byte code comes along where a
Python of the target's version is at hand, because Lambda cannot keep what it compiles: a fifth of the cold start.
There are two packages (`PACKAGES`). `sam` asks for one once for each function; from the second on it is copied from
the first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.imported_modules import imported_files

ROOT = Path(__file__).resolve().parent.parent
BUILD_FILE = "aetherstream/_build.json"

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}

# The glibc of Lambda's runtimes: python3.11 runs on Amazon Linux 2, later ones on Amazon Linux 2023.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
GLIBC_MINOR = {"3.11": 26, "3.12": 34, "3.13": 34, "3.14": 34}

# What is no function's, or the loader's alone. The rest goes along: a pipeline's own steps may import it.
NOT_IN_FUNCTION = {"cli", "commands", "local", "producer", "testing", "loader", "loader_app"}
# Config tests stand beside their pipelines; changing one must not change the pipeline version.
NOT_A_PIPELINE = re.compile(r"(^|[._-])tests?([._-]|$)")
# 250 MB is Lambda's limit; this is ours.
MAX_BYTES = 60_000_000
# The first moment that a zip file can name.
EPOCH = 315_619_200


# Libraries that ask for their own version, which stands in their metadata, when they are imported.
KEEP_METADATA = {"scramp"}


class BuildError(Exception):
    """The package cannot be built; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Package:
    """What some of the functions are made of."""

    name: str
    handlers: tuple[str, ...]
    """Modules of `handlers`."""

    @property
    def requirements(self) -> str:
        """The lock of its libraries."""
        return f"requirements/{self.name}.txt"


FUNCTION = Package("function", ("closer", "drain", "emitter", "recovery", "stream", "window"))
LOADER = Package("loader", ("loader",))
PACKAGES = {package.name: package for package in (FUNCTION, LOADER)}


@dataclass(frozen=True, slots=True)
class Target:
    """What the package runs on: Lambda (a Python version and an architecture), or this machine's own Python."""

    python: str
    architecture: str
    host: bool = False

    @property
    def name(self) -> str:
        """As the directories of the makefiles are called."""
        return "host" if self.host else f"python{self.python}-{self.architecture}"

    def platforms(self) -> list[str]:
        """The wheel platforms that load there, best first (pip does not derive older ones from a newer one)."""
        machine = MACHINES[self.architecture]
        tags = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MINOR[self.python], 16, -1)]
        return [*tags, f"manylinux2014_{machine}"]

    def markers(self) -> dict[str, str]:
        """The environment markers of the target. pip itself evaluates them for the Python that runs it."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": MACHINES[self.architecture],
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }


def host_target() -> Target:
    """The target for a function that runs in this machine's Python, as the one-machine stack does."""
    machine = platform.machine().lower()
    architecture = "arm64" if machine in {"arm64", "aarch64"} else "x86_64"
    return Target(f"{sys.version_info[0]}.{sys.version_info[1]}", architecture, host=True)


def parse_target(name: str, env: Mapping[str, str]) -> Target:
    """The target that the template names (`python3.13-arm64`, or `host`), checked against the variables.

    Raises:
        BuildError: the name is none of ours, or `AETHERSTREAM_PYTHON` or `AETHERSTREAM_ARCH` says something else.
    """
    if name == "host":
        target = host_target()
    else:
        match = re.fullmatch(r"python(3\.\d+)-(arm64|x86_64)", name)
        if not match or match[1] not in PYTHONS:
            names = ", ".join(f"python{python}-{arch}" for python in PYTHONS for arch in MACHINES)
            raise BuildError(f"unknown build target {name!r}; it is one of {names}, host")
        target = Target(match[1], match[2])
    python = env.get("AETHERSTREAM_PYTHON") or target.python
    architecture = env.get("AETHERSTREAM_ARCH") or target.architecture
    architecture = {"aarch64": "arm64", "amd64": "x86_64"}.get(architecture, architecture)
    if (python, architecture) == (target.python, target.architecture):
        return target
    asked = f"AETHERSTREAM_PYTHON={python} AETHERSTREAM_ARCH={architecture}"
    if python not in PYTHONS or architecture not in MACHINES:
        raise BuildError(
            f"{asked} is not a platform of the template (template.yaml: PythonVersion {', '.join(PYTHONS)}; "
            f"Architecture {', '.join(MACHINES)}). Unset the variables to build what the template says."
        )
    if target.host:
        raise BuildError(
            f"{asked}, but the template is built with BuildFor=host, which takes this machine's Python {target.python} "
            f"on {target.architecture}. Unset the variables, or build for Lambda: sam build --parameter-overrides "
            f"BuildFor=lambda PythonVersion={python} Architecture={architecture}"
        )
    raise BuildError(
        f"{asked}, but the template is built with PythonVersion={target.python} Architecture={target.architecture}. "
        f"Unset the variables, or give the template the same, to `sam build` and to `sam deploy`: "
        f"sam build --parameter-overrides PythonVersion={python} Architecture={architecture}"
    )


def locked_requirements(text: str, target: Target) -> str:
    """The lock without environment markers, and without the lines whose marker is false for the target."""
    from pip._vendor.packaging.markers import Marker

    kept = []
    for line in text.replace("\\\n", " ").splitlines():
        requirement, _, hashes = line.strip().partition(" --hash=")
        if not requirement or requirement.startswith("#"):
            continue
        pin, _, marker = requirement.partition(";")
        if target.host or not marker or Marker(marker.strip()).evaluate(target.markers()):
            pin = requirement if target.host else pin
            kept.append(f"{pin.strip()} --hash={hashes}")
    return "\n".join(kept) + "\n"


def install(target: Target, into: Path, requirements: Path) -> None:
    """Install the locked wheels for the target into a directory.

    Raises:
        BuildError: pip is missing, or refused (no wheel for the platform, a wrong hash, no network).
    """
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch, "requirements.txt")
        lock.write_text(locked_requirements(requirements.read_text(), target))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile"]
        command += ["--target", str(into), "--requirement", str(lock)]
        if not target.host:
            command += ["--implementation", "cp", "--python-version", target.python]
            command += [f"--platform={tag}" for tag in target.platforms()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        name = f"{requirements.parent.name}/{requirements.name}"
        raise BuildError(f"pip could not install {name} for {target.name}:\n{done.stderr.strip()}")


def prune(directory: Path) -> None:
    """Remove what a function never reads: byte code, stubs, sources of extensions, tests, scripts, package metadata."""
    for path in sorted(directory.rglob("*"), reverse=True):
        if path.is_dir() and (path.name in {"__pycache__", "tests"} or _is_needless_metadata(path)):
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in {".pyc", ".pyi", ".pyx", ".pxd", ".c", ".h"}:
            path.unlink()
    shutil.rmtree(directory / "bin", ignore_errors=True)


def _is_needless_metadata(path: Path) -> bool:
    return path.suffix == ".dist-info" and path.name.partition("-")[0] not in KEEP_METADATA


def interpreter(target: Target) -> str | None:
    """A Python of the target's version on this machine, whose byte code the target can read."""
    for name in (sys.executable, f"python{target.python}"):
        path = shutil.which(name)
        probe = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"
        if path:
            # A version manager's shim exists also for versions that are not there, and fails.
            done = subprocess.run([path, "-I", "-c", probe], capture_output=True, text=True, check=False)  # noqa: S603
            if done.stdout.split() == ["cpython", target.python]:
                return path
    return None


def compile_sources(python: str, directory: Path) -> None:
    """Compile a package to byte code that is taken without a look at its source, which never changes on Lambda."""
    command = [python, "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(directory), "-p", "/var/task", str(directory)]
    # The order of a set's constants, and so the bytes, hang on the hash seed.
    done = subprocess.run(command, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise BuildError(f"the package does not compile with {python}:\n{done.stdout.strip()}{done.stderr.strip()}")


def project_files(root: Path, package: Package = FUNCTION) -> Iterator[Path]:
    """The files of this project that run in the functions of a package, relative to the root, sorted.

    Of the library all that `NOT_IN_FUNCTION` does not exclude; for the loader, which runs no steps of a pipeline, what
    it imports.
    """
    handlers = [f"handlers.{name}" for name in package.handlers]
    if package is FUNCTION:
        found = {root / "handlers/__init__.py", *(root / f"handlers/{name}.py" for name in package.handlers)}
        for path in (root / "aetherstream").rglob("*"):
            within = path.relative_to(root / "aetherstream")
            if path.suffix in {".py", ".json"} and within.with_suffix("").parts[0] not in NOT_IN_FUNCTION:
                found.add(path)
        found.discard(root / BUILD_FILE)
    else:
        found = {root / path for path in imported_files(root, handlers)}
    pipelines = root / "pipelines"
    found |= {path for path in pipelines.rglob("*") if not _is_test(path.relative_to(pipelines))}
    for path in sorted(found):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield path.relative_to(root)


def _is_test(path: Path) -> bool:
    return any(NOT_A_PIPELINE.search(part) for part in path.parts)


def pipeline_version(root: Path, files: Iterable[Path], package: Package = FUNCTION) -> str:
    """Twelve hex digits over what decides what a record becomes: code, pipelines, tables, locked libraries."""
    digest = hashlib.sha256()
    for path in sorted({*files, Path(package.requirements)}):
        content = (root / path).read_bytes()
        digest.update(f"{path.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def build(target: Target, into: Path, root: Path = ROOT, package: Package = FUNCTION) -> dict[str, str]:
    """Build a package into a directory and return what stands in its `aetherstream/_build.json`.

    Raises:
        BuildError: see `install`; or a source does not compile; or the package has grown beyond its limit.
    """
    into.mkdir(parents=True, exist_ok=True)
    files = list(project_files(root, package))
    about = {
        "pipeline_version": pipeline_version(root, files, package),
        "python": target.python,
        "architecture": target.architecture,
        "target": target.name,
    }
    python = interpreter(target)
    made = json.dumps(about, indent=2) + "\n"
    twin = _twin(into, made)
    if twin:
        shutil.copytree(twin, into, dirs_exist_ok=True)
    else:
        install(target, into, root / package.requirements)
        prune(into)
        for path in files:
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, into / path)
        if python:
            compile_sources(python, into)
        # Last, since it is what a twin is told by.
        (into / BUILD_FILE).write_text(made)
    size = _settle(into)
    if size > MAX_BYTES:
        raise BuildError(f"the package has {size:,} bytes; {MAX_BYTES:,} are allowed. See {package.requirements}")
    return about | {"bytes": f"{size}", "compiled": "yes" if python else "no"}


def _twin(into: Path, made: str) -> Path | None:
    """The same package, built beside this one for another function; `sam build` empties their directory before."""
    if any(into.iterdir()):
        return None
    for sibling in sorted(into.parent.iterdir()):
        about = sibling / BUILD_FILE
        if sibling != into and about.is_file() and about.read_text() == made:
            return sibling
    return None


def _settle(directory: Path) -> int:
    """Give every file the same time and mode, so that equal content makes an equal zip; return the total size."""
    size = 0
    for path in directory.rglob("*"):
        if path.is_file():
            size += path.stat().st_size
        path.chmod(0o755 if path.is_dir() or path.suffix == ".so" else 0o644)
        os.utime(path, (EPOCH, EPOCH))
    return size


def main(arguments: list[str] | None = None) -> int:
    """Build one package; what went wrong goes to stderr, where `sam build` shows it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", help="python3.11 to python3.14, a dash, arm64 or x86_64; or host")
    parser.add_argument("into", type=Path, help="directory to build into (sam's ARTIFACTS_DIR)")
    parser.add_argument("--package", choices=sorted(PACKAGES), default=FUNCTION.name, help="which of the packages")
    options = parser.parse_args(arguments)
    try:
        target = parse_target(options.target, os.environ)
        about = build(target, options.into.resolve(), package=PACKAGES[options.package])
    except BuildError as error:
        sys.stderr.write(f"aetherstream build: {error}\n")
        return 1
    megabytes = int(about["bytes"]) / 1e6
    if about["compiled"] == "no":
        sys.stdout.write(f"no Python {about['python']} here, so no byte code: cold starts take a quarter longer\n")
    made = f"{about['target']}: {options.package}, {megabytes:.1f} MB"
    sys.stdout.write(f"{made}, pipeline version {about['pipeline_version']}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
