"""From the steps of the file to a `Transform`; all mistakes at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import UNSET

from .context import Context
from .fields import compile_drop, compile_flatten, compile_rename, compile_select
from .flow import compile_filter, compile_route, compile_split
from .lookup import compile_lookup
from .mistakes import StepMistake, StepMistakes
from .model import Step
from .privacy import compile_hash, compile_mask
from .python import compile_python
from .runner import Runner
from .tables import Table
from .transform import Transform
from .values import compile_cast, compile_parse_time, compile_set

COMPILERS: dict[str, Callable[[Any, Context], Runner | None]] = {
    "select": compile_select,
    "drop": compile_drop,
    "rename": compile_rename,
    "set": compile_set,
    "cast": compile_cast,
    "flatten": compile_flatten,
    "parse_time": compile_parse_time,
    "filter": compile_filter,
    "split": compile_split,
    "mask": compile_mask,
    "hash": compile_hash,
    "lookup": compile_lookup,
    "route": compile_route,
    "python": compile_python,
}


def compile_steps(
    steps: Sequence[Step], *, tables: Mapping[str, Table], sinks: Sequence[str], secrets: Mapping[str, str]
) -> Transform:
    """Compile the steps.

    Args:
        steps: As they stand in the file.
        tables: By name; looked into at each batch, so a `ReferenceTables` may change them between two.
        sinks: The names that a route may send to.
        secrets: Values of the environment variables that `key_env` options name.

    Raises:
        StepMistakes: with every mistake and its path.
    """
    mistakes: list[StepMistake] = []
    context = Context(tables, sinks, secrets, mistakes)
    runners = []
    for number, step in enumerate(steps):
        context.base = (number, step.kind)
        runner = COMPILERS[step.kind](step.options, context)
        if runner is not None:
            runner.where = context.where
            runners.append(runner)
    if mistakes:
        raise StepMistakes(mistakes)
    return Transform(runners)


def secret_names(steps: Sequence[Step]) -> list[str]:
    """The environment variables that the steps want as secrets, for the composition root to read."""
    found = [getattr(step.options, "key_env", None) for step in steps]
    return list(dict.fromkeys(name for name in found if name))


def table_columns(steps: Sequence[Step]) -> dict[str, tuple[str, ...]]:
    """The columns that the steps take of each table, for `TableSource.columns`."""
    taken: dict[str, dict[str, None]] = {}
    for step in steps:
        if step.kind == "lookup":
            options: Any = step.options
            columns = () if options.take is UNSET else options.take
            taken.setdefault(options.table, {}).update(dict.fromkeys(columns))
    return {table: tuple(columns) for table, columns in taken.items()}
