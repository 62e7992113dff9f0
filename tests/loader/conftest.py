from __future__ import annotations

from collections.abc import Iterator

import pytest

from aetherstream.local.redshift import LocalRedshift
from tests.loader.sql_bench import Bench
from tests.redshift_fixture import Objects, bucket, connect, connection, objects, schema, warehouse

__all__ = ["bench", "bucket", "connect", "connection", "objects", "schema", "warehouse"]


@pytest.fixture
def bench(warehouse: LocalRedshift, objects: Objects, schema: str) -> Iterator[Bench]:
    """A schema of the test's own in the stand-in for Redshift, and what belongs to it."""
    made = Bench(warehouse, objects, schema, warehouse.login)
    yield made
    made.close()
