"""From the aggregates of a pipeline file to what folds them: their declarations, and the columns that they read.

Imported where a pipeline has aggregates; a cold start without them does without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aetherstream.aggregates.aggregate import expressions
from aetherstream.aggregates.columns import ColumnReader
from aetherstream.aggregates.declaration import Declaration, Store
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.declarations import declaration, note_mistakes
from aetherstream.pipeline.document import read

if TYPE_CHECKING:
    from aetherstream.aggregation import Aggregation
    from aetherstream.delivery.aggregates.commits import Commits


def declarations_of(pipeline: Pipeline, store: Store | None = None) -> list[Declaration]:
    """Declare the aggregates of a pipeline, those of both stores or of one, in the file's order.

    Raises:
        PipelineMistakes: an accumulator can't be made, or states may grow too large; with the lines of all of them.
    """
    wrong: list[ConfigurationError] = []
    made = [
        declaration(name, written, lambda _, error: wrong.append(error))
        for name, written in pipeline.aggregates.items()
    ]
    if wrong:
        _say(pipeline)
        raise wrong[0]
    return [one for one in made if one is not None and store in (None, one.store)]


def columns_of(pipeline: Pipeline, declarations: Sequence[Declaration]) -> ColumnReader | None:
    """Make what reads the columns of these aggregates of a pipeline; None where there are none of them.

    Raises:
        PipelineMistakes: an expression is none; with its line.
    """
    if not declarations:
        return None
    try:
        return ColumnReader(expressions([one.aggregate for one in declarations]))
    except ConfigurationError:
        _say(pipeline)
        raise


def aggregation_of(
    pipeline: Pipeline, declarations: Sequence[Declaration], commits: Callable[[str], Commits]
) -> Aggregation:
    """Make the aggregates whose states are in the state table.

    Args:
        pipeline: Whose they are.
        declarations: All of them; those whose state Lambda keeps are left out.
        commits: Makes those of a stream, given its name.
    """
    from aetherstream.aggregation import Aggregation

    archives = [name for name, sink in pipeline.sinks.items() if sink.objects is not None and not sink.is_off]
    return Aggregation([one for one in declarations if one.store == "dynamodb"], commits, archives)


def _say(pipeline: Pipeline) -> None:
    """Raise everything that is wrong with the aggregates of the file, with the lines."""
    document = read(pipeline.path, None)
    note_mistakes(pipeline.aggregates, document)
    document.raise_mistakes()
