"""What the commands on aggregates share: the pipeline's declarations, and the stack's table of states."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from aetherstream.commands.deployed import Deployed
from aetherstream.commands.pipeline import environment, importable
from aetherstream.errors import UsageError

if TYPE_CHECKING:
    from aetherstream.aggregates.declaration import Declaration
    from aetherstream.delivery.aggregates.apply import Stores
    from aetherstream.delivery.aggregates.places import Scope
    from aetherstream.delivery.progress import Progress
    from aetherstream.emission.clock import Clock
    from aetherstream.pipeline import Pipeline

pipeline_option = click.option(
    "--pipeline",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The deployed pipeline file; by default the one that the stack's function names, from this folder.",
)


@dataclass
class Aggregated:
    """The aggregates of a deployed pipeline."""

    stack: Deployed
    pipeline: Pipeline
    variables: Mapping[str, str]

    @cached_property
    def declarations(self) -> list[Declaration]:
        """Those whose states are in the table, in the file's order. Raises UsageError where there is none."""
        from aetherstream.compose_aggregates import declarations_of

        found = declarations_of(self.pipeline, "dynamodb")
        if not found:
            raise UsageError(f"{self.pipeline.path} declares no aggregate whose states are in DynamoDB")
        return found

    def declaration(self, name: str) -> Declaration:
        """One of them. Raises UsageError that names the nearest."""
        from aetherstream.transforms.mistakes import nearest

        by_name = {one.name: one for one in self.declarations}
        if name not in by_name:
            raise UsageError(f"{self.pipeline.path} declares no aggregate {name!r}{nearest(name, by_name)}")
        return by_name[name]

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return self.stack.output("StreamArn").rpartition("/")[2]

    def scope(self, declaration: Declaration) -> Scope:
        """Where an aggregate's states stand."""
        from aetherstream.compose_states import owner_of
        from aetherstream.delivery.aggregates.places import scope_of

        return scope_of(owner_of(self.pipeline.name, self.stream), declaration.aggregate)

    @cached_property
    def stores(self) -> Stores:
        """The table of states. Raises UsageError where the stack has none."""
        from aetherstream.compose_states import stores_of
        from aetherstream.settings import from_environment

        if "StateTableName" not in self.stack.outputs:
            raise UsageError(
                f"the stack {self.stack.name} has no table of states: deploy it with aggregates in its pipeline file"
            )
        table = {"AETHERSTREAM_PIPELINE": "-", "AETHERSTREAM_STATE_TABLE": self.stack.output("StateTableName")}
        executor = ThreadPoolExecutor(8, thread_name_prefix="states")
        return stores_of(from_environment(table), cast("Any", self.stack), executor)

    def progress(self) -> list[Progress]:
        """The progress item of every shard of the stream, by shard."""
        from aetherstream.recovery.progress_view import ProgressTable

        table = ProgressTable(self.stack.client("dynamodb"), self.stack.output("ProgressTableName"))
        views = table.shards(self.pipeline.name)
        return [view.item for view in views if (view.pipeline, view.stream) == (self.pipeline.name, self.stream)]

    def clock(self) -> Clock:
        """How far the shards have come, as the closer sees it. Raises Retryable, ConfigurationError."""
        from aetherstream.emission.clock import Clocks
        from aetherstream.emission.shards import StreamShards

        stream = self.stack.output("StreamArn")
        with ThreadPoolExecutor(8) as executor:
            shards = StreamShards(self.stack.client("kinesis"), stream)
            return Clocks(self.pipeline.name, stream, shards, _Read(self.progress()), executor, now=self.now).look()

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()


class _Read:
    """`ProgressStore` of items that were read: whoever peeks is told what is stored, as by a write that fails."""

    def __init__(self, items: Sequence[Progress]) -> None:
        self._items = {item.key: item for item in items}

    def write(self, item: Progress, /) -> Progress | None:
        """See `ProgressStore`."""
        return self._items.get(item.key, replace(item, revision=0))


def opened(stack: Deployed, file: Path | None, env: tuple[str, ...]) -> Aggregated:
    """Read the deployed pipeline's file. Raises UsageError where it is not at hand."""
    from aetherstream.pipeline import load

    theirs = stack.variables()
    path = Path(theirs.get("AETHERSTREAM_PIPELINE", "")) if file is None else file
    if not path.is_file():
        named = f" ({path})" if path.name else ""
        raise UsageError(f"the deployed pipeline file{named} is not in this folder: name it with --pipeline")
    importable()
    variables = environment(env, {**theirs, "AETHERSTREAM_BUCKET": stack.output("BucketName")})
    return Aggregated(stack, load(path, variables), variables)
