from __future__ import annotations

from tests.opensearch_fixture import opensearch_server
from tests.redshift_fixture import bucket, warehouse

__all__ = ["bucket", "opensearch_server", "warehouse"]
