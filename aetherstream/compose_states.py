"""Where the states of aggregates are, and the numbered commits on them: composed once, for every function that folds.

The stream function, redrives and closing all have to name the same table, owners and logs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from aetherstream.aggregates.declaration import Declaration
from aetherstream.delivery.aggregates.apply import Stores
from aetherstream.delivery.aggregates.commits import Commits, Logs
from aetherstream.delivery.aggregates.dynamodb import CLIENT, DynamoStates
from aetherstream.delivery.aggregates.windows_dynamodb import DynamoWindows
from aetherstream.delivery.put import ObjectStore
from aetherstream.delivery.reader import ObjectReader
from aetherstream.errors import ConfigurationError
from aetherstream.pipeline import Pipeline
from aetherstream.settings import Settings

if TYPE_CHECKING:
    import boto3


def stores_of(settings: Settings, session: boto3.Session, executor: Executor) -> Stores:
    """Make the stores on the state table; nothing is asked of it yet.

    `executor` runs the writes while the caller waits: who calls from one of its own threads waits for ever.

    Raises ConfigurationError where the table is not named. To be called for pipelines with such aggregates only.
    """
    table = state_table(settings)
    client = session.client("dynamodb", config=CLIENT)
    states = DynamoStates(client, table, executor, batched=not settings.single_writes)
    return Stores(states, DynamoWindows(client, table, executor))


def state_table(settings: Settings) -> str:
    """Name of the table. Raises ConfigurationError where it is not set."""
    if settings.state_table is None:
        raise ConfigurationError(
            "the environment variable AETHERSTREAM_STATE_TABLE is not set: the pipeline's `aggregates:` need the "
            "DynamoDB table of their states (the template makes one)"
        )
    return settings.state_table


def commits_for(
    pipeline: Pipeline,
    declarations: Iterable[Declaration],
    stores: Stores,
    objects: ObjectStore,
    reader: ObjectReader,
    now: Callable[[], float],
) -> Callable[[str], Commits]:
    """Return what makes the commits of a stream, given its name.

    Args:
        pipeline: Whose aggregates they are; logs stand in its quarantine's bucket.
        declarations: All; those whose state Lambda keeps are left out.
        stores: Where states are.
        objects: Where logs are put, and
        reader: read.
        now: Epoch seconds.
    """
    aggregates = [one.aggregate for one in declarations if one.store == "dynamodb"]

    def commits(stream: str) -> Commits:
        logs = Logs(objects, reader, pipeline.quarantine.bucket, logs_prefix(pipeline.name, stream))
        return Commits(owner_of(pipeline.name, stream), aggregates, stores, logs, now=now)

    return commits


def owner_of(pipeline: str, stream: str) -> str:
    """Whose states they are (`places.Scope.owner`); `stream` is a name or an ARN."""
    return f"{pipeline}#{stream.rpartition('/')[2]}"


def logs_prefix(pipeline: str, stream: str) -> str:
    """Where the redo logs of a stream stand; `stream` is a name or an ARN."""
    return f"{pipeline}/.aggregates/{stream.rpartition('/')[2]}"
