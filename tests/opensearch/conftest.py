from __future__ import annotations

from tests.opensearch_fixture import index_prefix, opensearch, opensearch_server

__all__ = ["index_prefix", "opensearch", "opensearch_server"]
