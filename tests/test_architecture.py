"""Imports point downwards, the core is pure, and one place reads the environment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aetherstream"

LAYERS: list[set[str]] = [
    {"records", "errors", "settings", "build", "telemetry", "report", "timings", "objects", "kpl"},
    {"decode", "transforms", "pipeline", "quarantine", "spill", "eventtime", "encoded", "warehouse", "aggregates"},
    {"delivery", "sinks"},
    {"core"},
    {"documents"},
    {"record_delivery", "aggregation"},
    {"plan"},
    {"engine"},
    {
        "compose",
        "compose_aggregates",
        "compose_loads",
        "compose_objects",
        "compose_opensearch",
        "compose_redshift",
        "compose_states",
    },
    {"results", "managed"},
    {"recovery", "drain", "loader", "emission"},
    {"app", "startup", "compose_results", "compose_results_redshift"},
    {"recovery_app", "drain_app", "loader_app", "window_app", "emitter_app", "closer_app"},
    {"producer"},
    {"cli", "commands", "local", "demo"},
]
"""From the ground up. A part imports its own layer and those below."""

PURE = {
    "records",
    "errors",
    "report",
    "timings",
    "objects",
    "kpl",
    "eventtime",
    "encoded",
    "quarantine",
    "spill",
    "decode",
    "transforms",
    "aggregates",
    "managed",
    "pipeline",
    "core",
    "documents",
    "plan",
    *(f"warehouse/{name}" for name in ("contract", "types", "fields", "columns", "check", "rows")),
    *(f"warehouse/{name}" for name in ("ddl", "sql", "options")),
    *(f"loader/{name}" for name in ("ledger", "failures", "data_api_sql")),
    *(f"delivery/aggregates/{name}" for name in ("places", "state", "size", "log", "results", "watermark")),
    *(f"results/{name}" for name in ("parts", "rows")),
    *(f"delivery/aggregates/{name}" for name in ("memory", "apply", "commits", "closing", "statements", "changes")),
}
"""No network, no clock, no environment: whole parts, and modules of a part."""

IMPURE_MODULES = {"boto3", "botocore", "requests", "socket", "urllib", "http", "random", "secrets", "subprocess"}
IMPURE_CALLS = {"os.environ", "os.getenv", "time.time", "time.time_ns", "time.monotonic", "datetime.now",
                "datetime.utcnow", "datetime.today", "date.today", "uuid.uuid1", "uuid.uuid4"}  # fmt: skip

CLOSED_TO = {
    "producer": {"engine", "plan", "core", "app", "compose", "delivery", "sinks", "quarantine"},
    "local": {"engine", "plan", "core", "delivery", "sinks", "quarantine"},
}
"""What these never import, though it lies below them: engine internals."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package that the layers speak of, with the part that it belongs to."""
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if part not in ("__init__", "testing"):
            yield part, path


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, also inside functions and under TYPE_CHECKING, with its line."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            name = ".".join(base + ([node.module] if node.module else []))
            if name == "aetherstream" or (node.level and not node.module):
                yield from ((node.lineno, f"{name}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, name


def at_run_time(path: Path) -> set[str]:
    """Top-level packages that a file imports when it runs (not only for the type checker)."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = [ast.Pass()]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def dotted(path: Path) -> set[str]:
    """Every `a.b` in a file, as written; of longer chains each end."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            parts = ast.unparse(node).split(".")
            found.update(".".join(pair) for pair in pairwise(parts))
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "time", "uuid"):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def layer(part: str) -> int:
    return next(index for index, parts in enumerate(LAYERS) if part in parts)


def test_every_part_has_a_layer() -> None:
    assert {part for part, _ in modules()} - set().union(*LAYERS) == set()


@pytest.mark.parametrize("path", [path for _, path in modules()], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    part = path.relative_to(PACKAGE).with_suffix("").parts[0]
    upwards = []
    for line, name in imported(path):
        head, *rest = name.split(".")
        if head != "aetherstream" or not rest or rest[0] == "__version__":
            continue
        target = rest[0]
        if target == "testing" or layer(target) > layer(part) or target in CLOSED_TO.get(part, ()):
            upwards.append(f"{path.name}:{line} imports {name}")
    assert upwards == []


@pytest.mark.parametrize(
    "path",
    [path for part, path in modules() if PURE & {part, path.relative_to(PACKAGE).with_suffix("").as_posix()}],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_the_core_is_pure(path: Path) -> None:
    assert (at_run_time(path) & IMPURE_MODULES, dotted(path) & IMPURE_CALLS) == (set(), set())


def test_only_settings_reads_the_environment_of_the_functions() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for part, path in modules()
        if part not in {"cli", "commands", "local", "settings"} and dotted(path) & {"os.environ", "os.getenv"}
    ]
    readers += [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "handlers").rglob("*.py"))
        if dotted(path) & {"os.environ", "os.getenv"}
    ]
    assert readers == []


def test_one_place_composes_the_engine() -> None:
    makers = [
        str(path.relative_to(ROOT))
        for _, path in modules()
        if any(
            isinstance(node, ast.Call) and ast.unparse(node.func) in ("Engine", "engine.Engine")
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]
    assert len(makers) == 1, makers
    assert makers[0] in ("aetherstream/app.py", "aetherstream/compose.py")


def test_handlers_are_short() -> None:
    long = [path.name for path in (ROOT / "handlers").glob("*.py") if len(path.read_text().splitlines()) > 30]
    assert long == []
