"""What the sinks that write objects are made from: the levels of their partition path."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UnsetType

from aetherstream.pipeline import Pipeline
from aetherstream.pipeline.compiled import expression_of
from aetherstream.pipeline.mistakes import Path as Place
from aetherstream.pipeline.model_objects import PartitionPart
from aetherstream.sinks.s3 import PartitionKey, by_field, by_time, by_value


def partition_of(pipeline: Pipeline, place: Place, parts: Sequence[PartitionPart]) -> list[PartitionKey]:
    """Make the levels of the partition path of a sink, whose options stand at `place`.

    Raises PipelineMistakes for an expression that is none.
    """
    return [_key(pipeline, (*place, "partition", index, "expr"), part) for index, part in enumerate(parts)]


def _key(pipeline: Pipeline, place: Place, part: PartitionPart) -> PartitionKey:
    if not isinstance(part.time, UnsetType):
        return by_time(part.time, part.name)
    if not isinstance(part.field, UnsetType):
        return by_field(part.field, part.name)
    return by_value(expression_of(pipeline, place, str(part.expr)), part.name)
