"""From the aggregates of a pipeline file to declarations, and what can't be made of them.

Imported where a pipeline has aggregates; a cold start without them does without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import UnsetType

from aetherstream.aggregates.accumulators import make
from aetherstream.aggregates.aggregate import Aggregate, Output
from aetherstream.aggregates.declaration import Declaration, Ranking
from aetherstream.aggregates.size import check_size
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline.checks_aggregates import windows_of
from aetherstream.pipeline.document import Document
from aetherstream.pipeline.mistakes import Path
from aetherstream.pipeline.model_aggregates import DeclaredAggregate
from aetherstream.pipeline.model_results import DeclaredOutput
from aetherstream.transforms.expressions import ExpressionError, compile_expression

Note = Callable[[Path, ConfigurationError], None]
"""Takes what is wrong with one part of an aggregate, and where it stands below `aggregates.<name>`."""


def declaration(name: str, written: DeclaredAggregate, note: Note) -> Declaration | None:
    """Make a declaration of an aggregate that `checks_aggregates` finds sound.

    Returns None where an accumulator can't be made, or the states may grow too large; `note` is told why then.
    """
    outputs: list[Output] = []
    for at, output in written.full_outputs.items():
        if (made := _output(at, output, note)) is not None:
            outputs.append(made)
    if len(outputs) < len(written.outputs):
        return None
    managed = written.state == "lambda"
    aggregate = Aggregate(
        name=name,
        group_by=tuple((part.name, part.expression) for part in written.group),
        windows=windows_of(written.window),
        outputs=tuple(outputs),
        lateness=written.lateness_seconds,
        correct=written.on_late == "correct",
        # The windows of the event source mapping follow the arrival, whatever the event time says.
        future=None if managed else written.max_ahead_seconds,
        max_groups=written.max_groups,
    )
    if not managed:
        try:
            check_size(aggregate)
        except ConfigurationError as error:
            note(("outputs",), error)
            return None
    ranking = None
    if not isinstance(written.rank, UnsetType):
        ranking = Ranking(written.rank.by, written.rank.most, written.rank.ascending)
    return Declaration(
        aggregate,
        on_late=written.on_late,
        emit="close" if managed else written.emit,
        ranking=ranking,
        store=written.state,
    )


def note_mistakes(aggregates: Mapping[str, DeclaredAggregate], document: Document) -> None:
    """Note what can't be made of the aggregates of a file: expressions, accumulators, states of some size."""
    for name, written in aggregates.items():
        path: Path = ("aggregates", name)

        def note(at: Path, error: ConfigurationError, path: Path = path) -> None:
            document.add((*path, *at), str(error))

        for at, text in expressions_of(written):
            try:
                compile_expression(text)
            except ExpressionError as error:
                note(at, error)
        for each, output in written.full_outputs.items():
            if _is_sound((*path, "outputs", each), document):
                _output(each, output, note)
        if _is_sound(path, document):
            declaration(name, written, note)


def _is_sound(path: Path, document: Document) -> bool:
    return not document.lost(path) and not any(one.path[: len(path)] == path for one in document.mistakes)


def expressions_of(written: DeclaredAggregate) -> Iterator[tuple[Path, str]]:
    """Yield the expressions of an aggregate, with their places."""
    for index, part in enumerate(written.group):
        if not isinstance(part.expr, UnsetType):
            yield ("group_by", index, "expr"), part.expr
    for name, output in written.full_outputs.items():
        if output.expression is not None:
            yield ("outputs", name, "of"), output.expression


def _output(name: str, output: DeclaredOutput, note: Note) -> Output | None:
    path: Path = ("outputs", name)
    try:
        accumulator = make(output.kind, **_options(output))
        return Output(name, accumulator, output.expression, output.unusable)
    except ConfigurationError as error:
        note((*path, "class") if output.kind == "custom" else path, error)
    except Exception as error:
        if output.kind != "custom":
            raise
        what = ConfigurationError(f"{output.given.get('class')} can't be made: {type(error).__name__}: {error}")
        note((*path, "class"), what)
    return None


def _options(output: DeclaredOutput) -> dict[str, Any]:
    options = dict(output.given)
    if output.kind == "custom":
        return {"reference": options["class"], "arguments": options.get("options", {})}
    if output.per_seconds is not None:
        options["per"] = output.per_seconds
    return options
