"""Import of a user's Python step by `module:function`, with messages that name the fix."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigurationError
from .mistakes import nearest


class PluginError(ConfigurationError):
    """A Python step cannot be imported."""


def load(reference: str, what: str = "function") -> Callable[..., Any]:
    """Import `module:function`; `what` it is, for messages.

    Raises:
        PluginError: no such module or function, the import fails, or it is nothing that can be called with an event.
    """
    module_name, colon, name = reference.partition(":")
    if not (module_name and colon and name):
        raise PluginError(f"{reference!r}: write module:function, for example pipelines.steps:known_carrier")
    module = import_module(module_name)
    function = getattr(module, name, None)
    if function is None:
        own = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise PluginError(f"{module_name} has no {what} {name!r}{nearest(name, own)}")
    if not callable(function):
        raise PluginError(f"{reference} is a {type(function).__name__}, no {what}")
    if inspect.iscoroutinefunction(function):
        raise PluginError(f"{reference} is an async function: a step is a plain one, it does no I/O")
    return function  # type: ignore[no-any-return]


def import_module(name: str) -> ModuleType:
    """Import the module; tell its own absence from that of something it imports, and from its bugs."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise PluginError(f"there is no module {name!r}{neighbours(name)}; looked in {looked_in()}") from None
        raise PluginError(f"{name} imports {error.name!r}, which is not there: add it to the requirements") from error
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
        line = error.lineno if isinstance(error, SyntaxError) else frames[-1].lineno
        file = (error.filename or name) if isinstance(error, SyntaxError) else frames[-1].filename
        raise PluginError(
            f"{name} cannot be imported: {type(error).__name__}: {error} ({Path(file).name}, line {line})"
        ) from error


def neighbours(name: str) -> str:
    """The nearest module beside the first part of the name that is not there."""
    parts = name.split(".")
    path: list[str] | None = None
    for depth, part in enumerate(parts):
        there = [found.name for found in pkgutil.iter_modules(path)]
        if part not in there:
            found = nearest(part, there)
            if depth == 0:  # everything that is installed is no help, only what is close
                return found if "did you mean" in found else ""
            return f" beside it{found}"
        spec = importlib.util.find_spec(".".join(parts[: depth + 1]))
        path = list(spec.submodule_search_locations or []) if spec else []
    return ""


def looked_in() -> str:
    """The directories that the user may have meant, without those of Python itself."""
    own = [entry or "." for entry in sys.path if "python3" not in entry and not entry.endswith(".zip")]
    return ", ".join(dict.fromkeys(own)) or "the installed packages"
