from __future__ import annotations

from collections.abc import Iterator

import pytest

from aetherstream.local.redshift import LocalRedshift
from aetherstream.local.redshift.data_api import LocalDataApi
from tests.loader.data_api.bench import DataBench
from tests.redshift_fixture import Objects


@pytest.fixture
def api(warehouse: LocalRedshift) -> Iterator[LocalDataApi]:
    with LocalDataApi(warehouse) as server:
        yield server


@pytest.fixture
def bench(warehouse: LocalRedshift, objects: Objects, schema: str, api: LocalDataApi) -> Iterator[DataBench]:
    """A schema of the test's own in the stand-in for Redshift, and what belongs to it."""
    made = DataBench(warehouse, objects, schema, api)
    yield made
    made.close()
