from __future__ import annotations

from tests.opensearch_fixture import opensearch_server

__all__ = ["opensearch_server"]
