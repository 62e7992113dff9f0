"""How a table is reached through the Redshift Data API: its clients, and where its loads are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aetherstream.errors import ConfigurationError
from aetherstream.loader.data_api import DataApiWarehouse
from aetherstream.loader.data_api_client import CLIENT, DataApi
from aetherstream.loader.memory import DynamoLoadMemories, LoadMemories, LoadMemory, memory_key
from aetherstream.warehouse.options import LoadTarget

if TYPE_CHECKING:
    from boto3 import Session


class NoMemory:
    """`LoadMemories` of those who load nothing, but look at the table."""

    def read(self, key: str, /) -> LoadMemory:  # noqa: ARG002
        """See `LoadMemories.read`."""
        raise ConfigurationError(
            "the environment variable AETHERSTREAM_PROGRESS_TABLE is not set: `load: {through: data_api}` remembers in "
            "that DynamoDB table which load runs (the template makes one)"
        )

    def write(self, item: LoadMemory, /) -> LoadMemory | None:
        """See `LoadMemories.write`."""
        return self.read(item.key)


def data_api_warehouse(target: LoadTarget, session: Session, pipeline: str, table: str | None) -> DataApiWarehouse:
    """Return the table of a sink; nothing is asked yet. Raises ConfigurationError where its options lack something.

    `table`: of the progress items; None: nothing is loaded.
    """
    client = session.client("redshift-data", region_name=target.warehouse.region, config=CLIENT)
    memories: LoadMemories = NoMemory()
    if table is not None:
        memories = DynamoLoadMemories(session.client("dynamodb", config=CLIENT), table)
    return DataApiWarehouse(target, DataApi(client, target.warehouse), memories, memory_key(pipeline, target.sink))
