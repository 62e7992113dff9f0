"""What tests of the Data API share: its client, and how it is told which database is meant."""

from __future__ import annotations

from typing import Any

from botocore.config import Config

from aetherstream.local.environment import Clients
from aetherstream.local.redshift.data_api import LocalDataApi

ENTERED = {"WorkgroupName": "group", "Database": "dev"}


def client_of(server: LocalDataApi) -> Any:
    """boto3's own client, which asks once."""
    made: Any = Clients(server.endpoint).session.client
    return made("redshift-data", endpoint_url=server.endpoint, config=Config(retries={"total_max_attempts": 1}))
