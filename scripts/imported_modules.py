"""The modules of this project that a program imports, found by reading its sources: also inside functions.

Imports under `if TYPE_CHECKING` are not made when the program runs, and are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path


def imported_files(root: Path, modules: Iterable[str]) -> set[Path]:
    """The files below `root`, relative to it, of these modules, of all that they import, and of the packages around."""
    waiting = list(modules)
    seen: set[str] = set()
    found: set[Path] = set()
    while waiting:
        module = waiting.pop()
        file = _file(root, module)
        if module in seen or file is None:
            continue
        seen.add(module)
        found.add(file.relative_to(root))
        around = module.rpartition(".")[0]
        waiting.append(around)
        waiting += _imports(ast.parse(file.read_text()), module if file.stem == "__init__" else around)
    return found


def _file(root: Path, module: str) -> Path | None:
    """Where a module of the project stands; None for others', and for names in modules, which look the same."""
    path = root.joinpath(*module.split("."))
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((each for each in candidates if module and each.is_file()), None)


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) - child.level + 1] if child.level else []
            source = ".".join([*around, *([child.module] if child.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in child.names)
        else:
            yield from _imports(child, package)
