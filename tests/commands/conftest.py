from __future__ import annotations

from tests.redshift_fixture import bucket, connect, connection, objects, schema, warehouse

__all__ = ["bucket", "connect", "connection", "objects", "schema", "warehouse"]
